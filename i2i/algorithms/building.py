"""Networks as a config describes them, and what does not fit is refused."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from i2i.algorithms.unrolling import refuse_unrolling
from i2i.config.derive import Mask
from i2i.config.discriminators import DiscriminatorSettings
from i2i.config.generators import CoupledGeneratorSettings, ModernUNetSettings, StyleGeneratorSettings
from i2i.config.settings import Config, by_direction
from i2i.data.recolouring import inverse
from i2i.errors import ConfigError
from i2i.models.spec import PHASE, LatentBlock, Part, classifying, encoding, generating
from i2i.models.styles import SHARE
from i2i.networks import (
    CLASSIFIERS,
    DISCRIMINATORS,
    ENCODERS,
    GENERATORS,
    Classifier,
    Discriminator,
    Encoder,
    LatentGenerator,
    TranslatingGenerator,
)
from i2i.networks.batches import group_size
from i2i.networks.modern_unet import ModernUNet


def side_channels(config: Config, direction: str) -> tuple[int, int]:
    """Return the channels of (input, output) for a direction."""
    return by_direction(direction, *config.data.side_channels)


def generating_part(config: Config, blocks: Sequence[LatentBlock], network: nn.Module) -> Part:
    """Return the part of `network`, a generator of images, or points, from latents of `blocks`."""
    assert isinstance(network, LatentGenerator)
    arguments = latent_arguments(config, blocks)
    channels, px = (2, 0) if config.data.toy else (config.data.channels, config.data.crop_px)
    places = network.place_px, network.border_places
    return generating(config.generator.name, arguments, blocks, channels, px, *places)


def encoding_part(config: Config, blocks: Sequence[LatentBlock]) -> Part:
    """Return the part of the encoder that goes with the generator."""
    return encoding(config.generator.name, encoder_arguments(config), blocks, config.data.channels, config.data.crop_px)


def encoder_arguments(config: Config) -> dict[str, Any]:
    """Return the constructor arguments of the encoder that goes with the generator: its settings."""
    settings = config.generator.model_dump(exclude={"name"})
    return {"in_channels": config.data.channels, "size": config.data.crop_px, **settings}


def classifying_part(config: Config, blocks: Sequence[LatentBlock]) -> Part:
    """Return the part of the classifier of the generator's images, by the label sets `blocks`."""
    arguments = classifier_arguments(config, sum(block.size for block in blocks))
    return classifying(config.generator.name, arguments, blocks, config.data.channels, config.data.crop_px)


def classifier_arguments(config: Config, classes: int) -> dict[str, Any]:
    """Return the constructor arguments of the classifier of the generator's images: its settings without a latent."""
    settings = config.generator.model_dump(exclude={"name", "latent"})
    return {"in_channels": config.data.channels, "size": config.data.crop_px, "classes": classes, **settings}


def generator_arguments(config: Config, direction: str) -> dict[str, Any]:
    """Return the constructor arguments of a direction's generator."""
    inputs, outputs = side_channels(config, direction)
    if config.data.clip_frames > 1:  # the frame before, and what was made of it
        inputs += inputs + outputs
    more: dict[str, Any] = {"fills_holes": True} if isinstance(config.data.derive, Mask) else {}
    if config.data.classes:
        more["condition"] = sum(map(len, config.data.classes.values()))
    settings = config.generator.model_dump(exclude={"name", "recolour", "recolouring"})
    if getattr(config.generator, "recolouring", None):
        more["recolours"] = True
    if isinstance(config.generator, ModernUNetSettings) and config.generator.depth is None:
        more["depth"] = ModernUNet.depth_for(config.data.crop_px)
    return {"in_channels": inputs, "out_channels": outputs, **settings, **more}


def noise_size(config: Config) -> int:
    """Return the length of the generator's noise vector; raises ConfigError for a generator without one."""
    _refuse_other_kind(config, "generate")
    return int(config.generator.latent)  # type: ignore[union-attr]  # every latent generator has it


def noise_block(config: Config, prior: Literal["normal", "uniform"] = "normal") -> LatentBlock:
    """Return the block of the generator's noise; raises ConfigError for a generator without any."""
    size, network = noise_size(config), GENERATORS[config.generator.name]
    return LatentBlock(name="noise", size=size, prior=prior, each_place=getattr(network, "each_place", False))


def phase_blocks(config: Config) -> tuple[LatentBlock, ...]:
    """Return the block of the phases of the generator's waves, which come first in its latent; empty without waves."""
    waves = getattr(config.generator, "waves", 0)
    return (LatentBlock(name=PHASE, size=waves, prior="uniform"),) if waves else ()


def latent_arguments(config: Config, blocks: Sequence[LatentBlock]) -> dict[str, Any]:
    """Return the constructor arguments of a generator from latents of `blocks`."""
    latent = sum(block.size for block in blocks)
    arguments = {**config.generator.model_dump(exclude={"name"}), "latent": latent}
    if config.data.toy:
        return {"out_channels": 2, **arguments}
    if isinstance(config.generator, StyleGeneratorSettings):
        arguments["mixing"] = any(block.name == SHARE for block in blocks)
    if isinstance(config.generator, CoupledGeneratorSettings):
        arguments["domains"] = _domains(config)
    return {"out_channels": config.data.channels, "size": config.data.crop_px, **arguments}


def _domains(config: Config) -> int:
    """Return how many domains coupled networks have, the classes of the one label set; raises ConfigError."""
    sets = config.data.classes
    if len(sets) > 1:
        raise ConfigError(
            f"generator.name is {config.generator.name}, which has layers for each class of one label set, but the "
            f"data has {', '.join(sets)}. Give a table with one column of labels."
        )
    return sum(map(len, sets.values()))


def build_generator(config: Config, direction: str) -> TranslatingGenerator:
    """Build a direction's generator; raises ConfigError when it does not translate or does not fit the crop."""
    _refuse_other_kind(config, "translate")
    try:
        network = GENERATORS[config.generator.name](**generator_arguments(config, direction))
    except ValueError as error:
        raise ConfigError(f"generator.name is {config.generator.name}, but {error}.") from error
    assert isinstance(network, TranslatingGenerator)
    if isinstance(network, ModernUNet) and network.recolouring:
        rows = getattr(config.generator, "recolouring", None)
        assert rows  # as generator_arguments asks for it only with them
        network.recolouring.change_to(rows if direction == "A2B" else inverse(rows))
    if reason := network.fits(config.data.crop_px):
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but {reason}.")
    return network


def build_latent_generator(config: Config, blocks: Sequence[LatentBlock]) -> LatentGenerator:
    """Build the generator from latents of `blocks`; raises ConfigError when it does not fit them or the data."""
    _refuse_other_kind(config, "generate")
    _refuse_mixing_points(config, "generator", config.generator.name)
    if hasattr(config.generator, "text") and not any(block.prior == "text" for block in blocks):
        raise ConfigError(
            f"generator.name is {config.generator.name}, which makes pictures from text, but {config.algorithm} reads "
            "none. Use dcgan."
        )
    network = _build(config, GENERATORS[config.generator.name], latent_arguments(config, blocks))
    assert isinstance(network, LatentGenerator)
    return network


def build_encoder(config: Config) -> Encoder:
    """Build the encoder that goes with the generator; raises ConfigError for a generator without one."""
    if config.generator.name not in ENCODERS:
        raise ConfigError(
            f"generator.name is {config.generator.name}, which has no encoder; {config.algorithm} needs one. "
            f"Use {' or '.join(ENCODERS)}."
        )
    network = _build(config, ENCODERS[config.generator.name], encoder_arguments(config))
    assert isinstance(network, Encoder)
    return network


def build_classifier(config: Config, classes: int) -> Classifier:
    """Build the classifier of the generator's images; raises ConfigError for a generator without one."""
    if config.generator.name not in CLASSIFIERS:
        raise ConfigError(
            f"generator.name is {config.generator.name}, whose images no classifier takes; {config.algorithm} needs "
            f"one. Use {' or '.join(CLASSIFIERS)}."
        )
    network = _build(config, CLASSIFIERS[config.generator.name], classifier_arguments(config, classes))
    assert isinstance(network, Classifier)
    return network


def build_discriminator(
    config: Config, in_channels: int, condition: int = 0, heads: Mapping[str, int] | None = None
) -> Discriminator:
    """Build the discriminator that the config names; raises ConfigError when it does not fit the crop or data.

    condition: length of the condition vector that comes with each image; 0: none. heads: length of each further
    output, by name.
    """
    settings, crop = config.discriminator, config.data.crop_px
    assert settings is not None
    _refuse_small_batch(config, settings)
    _refuse_mixing_points(config, "discriminator", settings.name)
    arguments: dict[str, Any] = {"in_channels": in_channels, **settings.model_dump(exclude={"name"})}
    arguments |= {"condition": condition, "heads": heads}
    if "size" in inspect.signature(DISCRIMINATORS[settings.name]).parameters:
        arguments["size"] = crop
    network = _build(config, DISCRIMINATORS[settings.name], arguments)
    assert isinstance(network, Discriminator)
    if not config.data.toy and (reason := network.fits(crop)):
        raise ConfigError(f"data.crop_px is {crop}, but {reason}.")
    refuse_unrolling(config, network)
    return network


def _refuse_other_kind(config: Config, kind: str) -> None:
    """Raise ConfigError for a generator of another kind than the algorithm needs."""
    words = {"translate": "translates pictures", "generate": "makes pictures from noise"}
    fitting = [name for name, network in GENERATORS.items() if getattr(network, "kind", None) == kind]
    if config.generator.name not in fitting:
        other = next(word for one, word in words.items() if one != kind)
        raise ConfigError(
            f"generator.name is {config.generator.name}, which {other}; {config.algorithm} {words[kind]}. "
            f"Use {' or '.join(fitting)}."
        )


def _refuse_mixing_points(config: Config, role: str, name: str) -> None:
    takes_points = name in ("mlp", "mlp_autoencoder")
    if takes_points != (config.data.toy is not None):
        toy = f"{name} is for data.toy alone"
        if config.data.toy:
            fitting = "mlp or mlp_autoencoder" if role == "discriminator" else "mlp"
            toy = f"the points of data.toy {config.data.toy} need {fitting}"
        raise ConfigError(f"{role}.name is {name}, but {toy}.")


def _refuse_small_batch(config: Config, settings: DiscriminatorSettings) -> None:
    batch, packing = config.train.batch, settings.packing
    if batch % packing:
        raise ConfigError(
            f"discriminator.packing is {packing}, and train.batch is {batch}. Set train.batch to a multiple of "
            f"{packing}, or discriminator.packing to 1."
        )
    if getattr(settings, "minibatch_discrimination", "none") != "none" and batch == packing:
        raise ConfigError(
            "discriminator.minibatch_discrimination compares the images, or packs of images, of a batch, and there is "
            f"one with train.batch {batch} and discriminator.packing {packing}. Set train.batch to {2 * packing} or "
            "more, or discriminator.minibatch_discrimination to none."
        )
    if getattr(settings, "minibatch_std", False) and group_size(batch // packing) == 1:
        raise ConfigError(
            "discriminator.minibatch_std compares groups of 2 to 4 images, or packs of images, and there are none with "
            f"train.batch {batch} and discriminator.packing {packing}. Set train.batch to {4 * packing}, or "
            "discriminator.minibatch_std to false."
        )


def _build(config: Config, network: Any, arguments: dict[str, Any]) -> nn.Module:
    try:
        built: nn.Module = network(**arguments)
    except ValueError as error:  # a size that it does not support
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but {error}.") from error
    return built
