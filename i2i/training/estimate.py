"""An estimate of the time and memory of a training, from a few real steps. Nothing is written."""

import itertools
import statistics
import sys
import time
from collections.abc import Iterator

import torch

from i2i import status
from i2i.algorithms import ALGORITHMS, Algorithm
from i2i.algorithms.base import Batch
from i2i.config.settings import Config, DataKind
from i2i.data.labels import encode_text
from i2i.data.loader import batches
from i2i.data.sets import make_set, refuse_settings
from i2i.data.training_set import TrainingSet
from i2i.networks import Discriminator
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from i2i.training.memory import memory_explained
from i2i.training.optim import resolve_schedule
from i2i.words import show_duration

MEASURED = 5
"""How many steps, or cycles of different steps, are timed at most, after those to warm up ..."""
PATIENCE_SECONDS = 20.0
"""... unless that takes longer than this; at least one is timed."""


def describe(algorithm: Algorithm) -> Iterator[str]:
    """Yield a line for each network: its parameters and, for discriminators, the receptive field of a logit."""
    for name, network in algorithm.networks.items():
        count = sum(parameter.numel() for parameter in network.parameters())
        field = network.receptive_field_px if isinstance(network, Discriminator) else None
        seen = f", one logit sees {field} x {field} px" if field else ""
        yield f"{name}: {count:,} parameters{seen}"


def find_data(config: Config) -> TrainingSet | None:
    """Find and check the data of a resolved config, without a cache; None where it names none."""
    kind = ALGORITHMS[config.algorithm].data
    if not config.data.path and not config.data.toy:
        refuse_settings(kind, config)
        return None
    config = config.model_copy(update={"data": config.data.model_copy(update={"cache": "none"})})
    with status.doing("Checking the data"):
        return make_set(kind, config)


def estimate(config: Config, data: TrainingSet | None) -> Iterator[str]:
    """Yield lines on time and memory, measured by training on `data`, or on noise where there is none.

    config: resolved, with the facts of the data. Raises what a training raises.
    """
    kind = ALGORITHMS[config.algorithm].data
    several = config.train.devices * config.train.nodes
    alone = config.train.model_copy(update={"devices": 1, "nodes": 1})  # no other processes are started
    fabric = make_fabric(config.model_copy(update={"train": alone}))
    before = _memory_bytes(fabric.device)
    torch.manual_seed(config.train.seed)
    with memory_explained(config, fabric.device), status.doing("Measuring steps of training"):
        engine = Engine(fabric, ALGORITHMS[config.algorithm](config))
        engine.algorithm.begin(sys.maxsize, sys.maxsize)  # as at the end, when networks that grow are largest
        source = _made_up(config, kind) if data is None else _real(config, data, fabric.device.type)
        seconds, steps = _time_steps(engine, source)
    yield from data.notes if data else ()
    images = config.train.step_images
    yield (
        f"Estimates, from steps on {steps} x {images} images of "
        f"{'made-up noise' if data is None else data.what}, on {fabric.device.type}"
        f"{f', one of {several} alone' if several > 1 else ''}:"
    )
    line = f"{show_duration(1000 * seconds / images)} for 1,000 images"
    if data is not None:
        total = resolve_schedule(config.schedule, data.epoch_images).total_images
        line += f", {show_duration(total * seconds / images)} for all {total:,}, without samples and checkpoints"
    yield line
    after = _memory_bytes(fabric.device)
    if before is not None and after is not None:
        yield f"{(after - before) / 2**30:.2f} GiB of memory at most, in addition to Python and its libraries"


def _time_steps(engine: Engine, source: Iterator[Batch]) -> tuple[float, int]:
    """Return the median seconds of a step, loading included, and how many were timed."""
    cycle = max(phase.every_steps for phase in engine.algorithm.phases)  # steps until they repeat
    # Longer turns at the start say little of the whole.
    engine.steps = max(phase.long.first * phase.long.steps if phase.long else 0 for phase in engine.algorithm.phases)
    times: list[float] = []
    begin, warm_up = time.monotonic(), engine.warm_up_steps
    for done in range(warm_up + MEASURED):
        status.count(done, warm_up + MEASURED)
        start = time.monotonic()
        for batch in itertools.islice(source, cycle):
            engine.train_step({name: tensor.to(engine.fabric.device) for name, tensor in batch.items()})
        times.append((time.monotonic() - start) / cycle)
        if len(times) > warm_up and time.monotonic() - begin > PATIENCE_SECONDS:
            break
    return statistics.median(times[warm_up:]), cycle * (len(times) - warm_up)


def _real(config: Config, data: TrainingSet, device: str) -> Iterator[Batch]:
    """Yield batches as in training, without kornia's augmentation, a small part of a step."""
    crop = config.data.crop_px
    for batch, _ in filter(None, batches(data, config, 0, sys.maxsize, device)):
        cut = {name: batch[name][..., :crop, :crop] for name in data.image_names}
        yield {**batch, **cut}


def _made_up(config: Config, kind: DataKind) -> Iterator[Batch]:
    """Yield noise in the shape of the batches."""
    data = config.data
    sides = {side: data.clip_frames * one for side, one in zip("ab", data.side_channels, strict=True)}
    channels = {"image": data.channels} if kind == "images" else sides
    shape = (data.crop_px, data.crop_px)
    while True:
        batch = {name: torch.rand(config.train.step_images, one, *shape) * 2 - 1 for name, one in channels.items()}
        if data.texts:
            texts = [torch.from_numpy(encode_text(text)) for text in data.texts]
            batch["text"] = torch.stack([texts[place % len(texts)] for place in range(config.train.step_images)])
        if data.classes:
            sizes = torch.tensor([len(classes) for classes in data.classes.values()])
            for name in ("label",) if kind != "unpaired" else ("label_a", "label_b"):
                batch[name] = (torch.rand(config.train.step_images, len(sizes)) * sizes).long()
        yield batch


def _memory_bytes(device: torch.device) -> int | None:
    """Return the peak memory so far: of tensors on a GPU, of the whole process on a CPU; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu":
        return None
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
