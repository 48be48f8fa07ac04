"""Which alarms does a run raise? Healthy and ill GANs on the ring of 8 Gaussians.

Each seed, 0 to 4 by default, trains three times: healthy (the preset `ring`), with twenty times the discriminator's
learning rate, and with a generator that ignores its noise. Prints the modes, the diversity and the warnings of each.

    python tools/bench/ring_alarms.py OUT [SEED ...]
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from i2i import load_config, train
from i2i.files import read_json_lines
from i2i.networks import GENERATORS, MLPGenerator
from i2i.report.record import WARNING


class BlindGenerator(MLPGenerator):
    """A generator that ignores z."""

    def forward(self, latent: Tensor) -> Tensor:
        """Map (N, latent) to N times the same point, (N, out_channels)."""
        return super().forward(torch.zeros_like(latent))


ILLNESSES: dict[str, tuple[type[MLPGenerator], list[str]]] = {
    "healthy": (MLPGenerator, []),
    "D rate x 20": (MLPGenerator, ["optimizer.lr_discriminator=0.01"]),
    "ignores z": (BlindGenerator, []),
}


def main(out: Path, seeds: list[int]) -> None:
    """Train every case into `out`, and print a line for each."""
    for seed in seeds:
        for name, (generator, changes) in ILLNESSES.items():
            GENERATORS["mlp"] = generator
            run = out / f"{seed} {name}"
            train(load_config("ring", [f"train.seed={seed}", *changes]), run)
            rows = read_json_lines(run / "metrics.jsonl")
            last = [row for row in rows if row["split"] == "samples"][-1]
            warnings = [f"{row['images']} {row['text'].split(':')[0]}" for row in rows if row["split"] == WARNING]
            print(
                f"seed {seed}, {name}: {last['modes']:.0f} modes, {last['good']:.1%} good, "
                f"diversity {last['diversity']:.2f}; warned: {'; '.join(warnings) or 'nothing'}",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]] or list(range(5)))
