"""Algorithms, and the table in which a config's `algorithm` is looked up."""

from typing import Any

from i2i.algorithms.base import Algorithm
from i2i.algorithms.conditional_gan import ConditionalGAN
from i2i.algorithms.context_encoder import ContextEncoder
from i2i.algorithms.cut import CUT, PairedCUT
from i2i.algorithms.cyclegan import CycleGAN
from i2i.algorithms.gan import GAN
from i2i.algorithms.infogan import InfoGAN
from i2i.algorithms.pix2pix import Pix2Pix
from i2i.algorithms.plug_and_play import PlugAndPlay
from i2i.algorithms.progressive import Progressive
from i2i.algorithms.stackgan import StackGAN
from i2i.algorithms.style import Style
from i2i.algorithms.terms import refuse_colours
from i2i.algorithms.vae import VAE
from i2i.algorithms.vae_gan import VAEGAN
from i2i.algorithms.vid2vid import Vid2Vid
from i2i.config import did_you_mean, parse
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.networks import DISCRIMINATORS

__all__ = ["ALGORITHMS", "Algorithm", "find_algorithm", "resolve"]

ALGORITHMS: dict[str, type[Algorithm]] = {
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "cut": CUT,
    "paired_cut": PairedCUT,
    "gan": GAN,
    "conditional_gan": ConditionalGAN,
    "infogan": InfoGAN,
    "context_encoder": ContextEncoder,
    "vae": VAE,
    "vae_gan": VAEGAN,
    "plug_and_play": PlugAndPlay,
    "stackgan": StackGAN,
    "progressive": Progressive,
    "style": Style,
    "vid2vid": Vid2Vid,
}


def find_algorithm(name: str) -> type[Algorithm]:
    """Return an algorithm by its name; raises ConfigError."""
    if name not in ALGORITHMS:
        nearest = did_you_mean(name, ALGORITHMS)
        plugin = "" if nearest else " If a plugin brings it, add --plugin FILE."
        raise ConfigError(f"Unknown algorithm {name}.{nearest} Known: {', '.join(ALGORITHMS)}.{plugin}")
    return ALGORITHMS[name]


def resolve(config: Config) -> Config:
    """Return `config` with the algorithm's own settings checked and filled in; raises ConfigError."""
    algorithm = find_algorithm(config.algorithm)
    source = config.layers if config.layers.file else config.algorithm
    settings = parse(algorithm.Settings, config.loss, source, "loss.")
    update: dict[str, Any] = {"loss": settings.model_dump(mode="json")}
    if not algorithm.has_discriminator:
        if "discriminator" in config.model_fields_set and config.discriminator is not None:
            raise ConfigError(f"discriminator is set, but {config.algorithm} has none. Leave it out, or make it null.")
        if config.optimizer.lr_discriminator is not None:
            raise ConfigError(
                f"optimizer.lr_discriminator is {config.optimizer.lr_discriminator:g}, but {config.algorithm} has no "
                "discriminator. Leave it out."
            )
        update["discriminator"] = None
    elif config.discriminator is None:
        raise ConfigError(f"discriminator is null, but {config.algorithm} needs one: {', '.join(DISCRIMINATORS)}.")
    if (config.data.clip_frames > 1) != algorithm.of_clips:
        learns = "frames in order. Set it to 2 or more" if algorithm.of_clips else "single pictures. Leave it out"
        given = f"data.clip_frames is {config.data.clip_frames}"
        raise ConfigError(f"{given}, but {config.algorithm} learns from {learns}.")
    if config.data.labels and not algorithm.reads_labels:
        raise ConfigError(f"data.labels is {config.data.labels}, but {config.algorithm} reads no labels. Leave it out.")
    if algorithm.needs_labels and not config.data.labels:
        raise ConfigError(
            f"{config.algorithm} needs labelled pictures. Set data.labels to folders, where each subfolder is a class, "
            "or to a CSV file with the columns name and label."
        )
    refuse_colours(config, getattr(settings, "terms", None), getattr(settings, "diffaugment", ()))
    return config.model_copy(update=update)
