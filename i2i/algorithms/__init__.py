"""Algorithms, and the table in which a config's `algorithm` is looked up."""

from i2i.algorithms.base import Algorithm
from i2i.algorithms.cyclegan import CycleGAN
from i2i.algorithms.gan import GAN
from i2i.algorithms.pix2pix import Pix2Pix
from i2i.config import did_you_mean, parse
from i2i.errors import ConfigError
from i2i.settings import Config

__all__ = ["ALGORITHMS", "Algorithm", "resolve"]

ALGORITHMS: dict[str, type[Algorithm]] = {"pix2pix": Pix2Pix, "cyclegan": CycleGAN, "gan": GAN}


def resolve(config: Config) -> Config:
    """Return `config` with the algorithm's own settings checked and filled in; raises ConfigError."""
    if config.algorithm not in ALGORITHMS:
        nearest = did_you_mean(config.algorithm, ALGORITHMS)
        raise ConfigError(f"algorithm {config.algorithm} is not known.{nearest} Known: {', '.join(ALGORITHMS)}.")
    settings = parse(ALGORITHMS[config.algorithm].Settings, config.loss, config.algorithm, "loss.")
    return config.model_copy(update={"loss": settings.model_dump(mode="json")})
