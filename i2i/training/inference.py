"""The networks of a training as the model file will hold them, on the path of `i2i translate` and `i2i generate`."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from i2i.models.spec import ENCODE, GENERATE
from i2i.runtime.backends import TorchBackend
from i2i.runtime.encoder import ImageEncoder
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator
from i2i.training.engine import Engine

if TYPE_CHECKING:
    from i2i.training.run import Run


@contextlib.contextmanager
def at_inference(engine: Engine) -> Iterator[None]:
    """Put the generators into eval mode."""
    generators = [engine.model_networks[name] for name in engine.algorithm.generators.values()]
    for generator in generators:
        generator.eval()
    try:
        yield
    finally:
        for generator in generators:
            generator.train()


def translators(run: "Run", engine: Engine, images: int) -> dict[str, Translator]:
    """Return a translator for each direction."""
    spec, device = run.spec(engine.algorithm, images), str(engine.fabric.device)
    return {
        direction: Translator(spec, TorchBackend(engine.model_networks[name], device), direction)
        for direction, name in engine.algorithm.generators.items()
    }


def image_generator(run: "Run", engine: Engine, images: int) -> ImageGenerator:
    """Return the generator of an algorithm that learns from noise."""
    network = engine.model_networks[engine.algorithm.generators[GENERATE]]
    return ImageGenerator(run.spec(engine.algorithm, images), TorchBackend(network, str(engine.fabric.device)))


def image_encoder(run: "Run", engine: Engine, images: int) -> ImageEncoder:
    """Return the encoder of an algorithm that has one."""
    network = engine.model_networks[engine.algorithm.generators[ENCODE]]
    return ImageEncoder(run.spec(engine.algorithm, images), TorchBackend(network, str(engine.fabric.device)))


def truth_channels(translator: Translator) -> int:
    """Return the channels in which truths are compared: RGB, with alpha on white unless the model makes alpha.

    Bands are compared as they are.
    """
    part = translator.generator
    return part.out_channels if part.out_bands else max(3, part.out_channels)
