"""What tests/training/test_ranks.py runs in two processes: `torchrun --nproc-per-node 2 -m tests.training.two_ranks`.

One launch for all of it, since starting a process costs more than these trainings.
"""

import atexit
import os
import shutil
import sys
from pathlib import Path

import torch

import i2i
from i2i import losses
from i2i.training import ranks
from i2i.training.checkpoint import list_checkpoints
from i2i.training.engine import Engine
from tests.conftest import SMALLEST, smallest_config

# Batch norm, and nothing drawn: the same training as on one device, but for rounding. The last step has one image.
_TERMS = ["loss.terms.random_features=9", "loss.terms.feature_matching=5", "loss.terms.nlpd=2"]
SAME_AS_ONE = ["generator.dropout=0", "train.accumulate=2", "schedule.images=13", *_TERMS]
# Devices draw different points; here all points are halfway, and the networks draw nothing.
PENALISED = ["generator.dropout=0", "generator.norm=instance", "discriminator.norm=instance", "train.accumulate=2"]
# The last step has three images: rank 0 has two parts, rank 1 one and must fill up, or one would wait for ever.
# While rank 0 scores val, rank 1 waits for the result.
UNEVEN = ["train.batch=1", "train.accumulate=2", "schedule.images=15", "train.keep=best"]
# The weights stay as they are, and so does the score: patience ends the training after its second score.
PATIENT = [
    "train.keep=best",
    "train.patience_images=8",
    "optimizer.lr=1e-30",
    "generator.norm=instance",
    "train.batch=2",
]


def halves(*shape, **options):
    """Replaces torch.rand: always one half."""
    return torch.full(shape, 0.5, **options)


def tell_connection(folder: Path) -> None:
    """Write whether this rank is still connected."""
    (folder / f"connected.{os.environ['RANK']}").write_text(str(torch.distributed.is_initialized()), encoding="utf-8")


def main(few_pairs: str, folder: Path) -> None:
    """Train every algorithm straight, and resumed from its middle; write each rank's networks to <run>.<rank>.pt."""
    atexit.register(tell_connection, folder)  # called after what trainings register
    ended: list[dict] = []
    original = Engine.state_dict

    def state_dict(engine):
        ended.append({name: network.state_dict() for name, network in engine.networks.items()})
        return original(engine)

    def train(config, out, resume=False):
        i2i.train(config, out, resume)
        torch.save(ended[-1], folder / f"{out.name}.{ranks.rank()}.pt")

    Engine.state_dict = state_dict  # type: ignore[method-assign]
    for kind in SMALLEST:
        config = smallest_config(kind, few_pairs, "train.batch=2")
        train(config, folder / kind)
        if ranks.rank() == 0:
            shutil.copytree(folder / kind, folder / f"{kind}.cut")
            list_checkpoints(folder / f"{kind}.cut" / "checkpoints")[-1].unlink()
        train(config, folder / f"{kind}.cut", resume=True)
    train(smallest_config("pix2pix", few_pairs, "train.batch=1", *SAME_AS_ONE), folder / "same")
    train(smallest_config("pix2pix", few_pairs, *UNEVEN), folder / "uneven")
    train(smallest_config("pix2pix", few_pairs, *PATIENT, "schedule.images=32"), folder / "patient")
    train(smallest_config("pix2pix", folder / "broken_pairs", "train.batch=2"), folder / "broken")
    rand, torch.rand = torch.rand, halves
    for name in losses.PENALTIES:
        penalised = smallest_config("pix2pix", few_pairs, "train.batch=1", *PENALISED, f"loss.penalty={name}")
        train(penalised, folder / name)
    torch.rand = rand
    longer = ["train.batch=2", "schedule.images=24", "schedule.decay_images=8"]
    train(smallest_config("cyclegan", few_pairs, *longer), folder / "from_one", resume=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
