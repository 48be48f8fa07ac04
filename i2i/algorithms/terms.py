"""Further terms of a translating generator's objective: how far its output is from an image that it is compared with.

That image is the target where there are pairs. In CycleGAN, each cycle is compared with its beginning; in CUT, the
output with its input. Each term has a name in `loss.terms`, and a weight, 0 by default.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from i2i import losses, similarity, weights
from i2i.algorithms.adversary import Adversary
from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.nodata import over_valid
from i2i.config.section import Section, Weight, is_ever_on, weight_at
from i2i.config.settings import Config
from i2i.errors import ConfigError, ModelError
from i2i.networks.trunk import RandomFeatures, Trunk, load_trunk

FEATURE_MATCHING = "feature_matching"


class TermsSettings(Section):
    """Weights of further terms of the generator; 0 is off. Images have values from -1 to 1."""

    feature_matching: Weight = 0.0
    """Mean absolute difference of the discriminator's features (pix2pixHD); needs pairs."""
    lpips: Weight = 0.0
    """LPIPS on AlexNet, whose weights `i2i weights get alexnet` downloads."""
    lpips_vgg: Weight = 0.0
    """LPIPS on VGG16, whose weights `i2i weights get vgg16` downloads."""
    vgg: Weight = 0.0
    """Mean absolute difference of VGG16's features, from the same file."""
    random_features: Weight = 0.0
    """Mean absolute difference of the features of random convolutions at four scales; needs no file."""
    nlpd: Weight = 0.0
    """Normalised Laplacian pyramid distance."""
    l1: Weight = 0.0
    """Mean absolute difference."""
    l2: Weight = 0.0
    """Mean squared difference."""
    gradient: Weight = 0.0
    """Difference of the sizes of steps between neighbouring pixels."""
    ssim: Weight = 0.0
    """1 - SSIM."""
    structure: Weight = 0.0
    """1 - the part of SSIM that compares contrast and structure, but not brightness."""


class TranslationSettings(AdversarySettings):
    """The settings under `loss` that all translating algorithms share."""

    terms: TermsSettings = TermsSettings()
    """Further terms of the generator, by name."""

    @model_validator(mode="after")
    def _refuse_features_of_other_views(self) -> Self:
        if self.diffaugment and is_ever_on(self.terms.feature_matching):
            raise ValueError(
                "terms.feature_matching compares a real and its fake place by place, and diffaugment moves each by "
                "itself; leave one of them out"
            )
        return self


class ImageTerm(NamedTuple):
    """A distance of images (N, C, H, W) in [-1, 1], and the smallest side that it takes."""

    distance: Callable[[Tensor, Tensor], Tensor]
    least_px: int = 1
    of_pixels: bool = False
    """Whether it is a mean over pixels, each by itself."""


class FeatureTerm(NamedTuple):
    """A distance of the features of two images in a frozen network: its name in FROZEN, and the call."""

    network: str
    distance: Callable[[Sequence[Tensor], Sequence[Tensor], Any], Tensor]


def _differ(found: Sequence[Tensor], wanted: Sequence[Tensor], network: nn.Module) -> Tensor:
    return losses.feature_matching(found, wanted)


def _lpips(found: Sequence[Tensor], wanted: Sequence[Tensor], network: Trunk) -> Tensor:
    return losses.lpips(found, wanted, network.heads)


IMAGE_TERMS: dict[str, ImageTerm] = {
    "l1": ImageTerm(losses.l1, of_pixels=True),
    "l2": ImageTerm(losses.l2, of_pixels=True),
    "gradient": ImageTerm(similarity.gradient, least_px=2),
    "ssim": ImageTerm(similarity.ssim, similarity.SSIM_WINDOW_PX),
    "structure": ImageTerm(similarity.structure, similarity.SSIM_WINDOW_PX),
    "nlpd": ImageTerm(similarity.nlpd, least_px=4),
}
FEATURE_TERMS: dict[str, FeatureTerm] = {
    "lpips": FeatureTerm("alexnet", _lpips),
    "lpips_vgg": FeatureTerm("vgg16", _lpips),
    "vgg": FeatureTerm("vgg16", _differ),
    "random_features": FeatureTerm("random", _differ),
}
FROZEN: dict[str, Callable[[], nn.Module]] = {
    "alexnet": lambda: load_trunk("alexnet"),
    "vgg16": lambda: load_trunk("vgg16"),
    "random": RandomFeatures,
}
"""Networks of RGB images in [0, 1] that return the features of their layers; nothing trains them. Those with an entry
in i2i.weights come from a file."""


class ExtraTerms:
    """The terms that are on in a training, and the frozen networks that they need.

    has_pairs: whether the discriminator sees the output and its own target.
    """

    def __init__(self, settings: TermsSettings, config: Config, has_pairs: bool):
        self.settings = settings
        self.names = terms_in_use(settings)
        self.networks: dict[str, nn.Module] = {}
        self.matches = FEATURE_MATCHING in self.names
        if self.matches and not has_pairs:
            raise ConfigError(
                f"loss.terms.{FEATURE_MATCHING} compares an output with its target, and {config.algorithm} has no "
                "pairs. Leave it out, or learn from pairs."
            )
        for name in self.names:
            least = _least_px(name)
            if config.data.crop_px < least:
                raise ConfigError(
                    f"data.crop_px is {config.data.crop_px}, but loss.terms.{name} needs {least} or more. "
                    "Raise it, or leave the term out."
                )

    def load(self) -> dict[str, nn.Module]:
        """Return the frozen networks that the terms need, loaded; raises ModelError for missing weights."""
        needed = dict.fromkeys(FEATURE_TERMS[name].network for name in self.names if name in FEATURE_TERMS)
        self.networks = {name: FROZEN[name]() for name in needed}
        return self.networks

    def compare(
        self, output: Tensor, wanted: Tensor, prefix: str = "G_", valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of an output and of the image that it is compared with, by their names in the log.

        valid: as in i2i.algorithms.nodata; both images are equal at nodata pixels.
        """
        features: dict[str, tuple[Any, Any]] = {}
        for name, network in self.networks.items():
            with torch.no_grad():
                target = network(as_rgb(wanted))
            features[name] = network(as_rgb(output)), target
        terms = {}
        for name in self.names:
            if name in IMAGE_TERMS:
                distance = IMAGE_TERMS[name].distance(output, wanted)
                terms[prefix + name] = over_valid(distance, valid) if IMAGE_TERMS[name].of_pixels else distance
            elif name in FEATURE_TERMS:
                frozen, of_features = FEATURE_TERMS[name]
                terms[prefix + name] = of_features(*features[frozen], self.networks[frozen])
        return terms

    def fool(
        self, adversary: Adversary, real: Tensor, fake: Tensor, condition: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the adversarial term of the generator, and that of feature matching where it is on."""
        if not self.matches:
            return {"G_GAN": adversary.fool(real, fake, condition)}
        fooled, matched = adversary.fool_and_match(real, fake, condition)
        return {"G_GAN": fooled, f"G_{FEATURE_MATCHING}": matched}

    def weights(self, images: int, prefixes: Sequence[str] = ("G_",)) -> dict[str, float]:
        """Return the weights of the terms after `images`."""
        values = {name: weight_at(getattr(self.settings, name), images) for name in self.names}
        return {prefix + name: value for prefix in prefixes for name, value in values.items()}


def terms_in_use(settings: TermsSettings) -> list[str]:
    """Return the names of the terms that are ever on."""
    return [name for name in type(settings).model_fields if is_ever_on(getattr(settings, name))]


def refuse_colours(config: Config, terms: TermsSettings | None, diffaugment: Sequence[str]) -> None:
    """Raise ConfigError for terms and augmentations that take images as RGB, where the data has bands."""
    if not any(layout.bands for layout in config.data.layouts):
        return
    names = terms_in_use(terms) if terms else []
    needs = {f"terms.{name}": f"loss.terms.{name} to 0" for name in names if name in FEATURE_TERMS}
    needs |= {f"diffaugment {name}": "loss.diffaugment to others" for name in diffaugment if name == "colour"}
    for name, way_on in needs.items():
        raise ConfigError(f"loss.{name} takes images as RGB, and this data has bands. Set {way_on}.")


def refuse_missing_weights(loss: Mapping[str, Any]) -> None:
    """Raise ModelError if a term in `loss`, resolved, needs weights that are missing or of another digest."""
    if "terms" not in loss:
        return
    for name in terms_in_use(TermsSettings.model_validate(loss["terms"])):
        if name in FEATURE_TERMS and (file := FEATURE_TERMS[name].network) in weights.KNOWN:
            try:
                weights.find(file)
            except ModelError as error:
                raise ModelError(f"loss.terms.{name} needs a network that others trained.\n{error}") from error


def as_rgb(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] as RGB in [0, 1]: of 4 channels on white, of others than 3 each as a grey one."""
    if images.shape[1] == 4:
        alpha = (images[:, 3:] + 1) / 2
        images = images[:, :3] * alpha + (1 - alpha)
    elif images.shape[1] != 3:
        images = images.flatten(0, 1)[:, None].expand(-1, 3, -1, -1)
    return (images + 1) / 2


def _least_px(name: str) -> int:
    if name in FEATURE_TERMS:
        network = FEATURE_TERMS[name].network
        return weights.KNOWN[network].least_px if network in weights.KNOWN else 8
    return IMAGE_TERMS[name].least_px if name in IMAGE_TERMS else 1
