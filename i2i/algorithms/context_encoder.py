"""Context encoders: Pathak, Krahenbuhl, Donahue, Darrell, Efros, "Feature Learning by Inpainting", 2016.

Notation: x is the image, M is 1 in the hole and 0 elsewhere, F is the generator. F gets (1 - M) x, with M as alpha.

The discriminator sees the hole alone, since one that sees the seam looks at nothing else (section 3.2). Holes of any
form lie on grey, where the authors cut out their square.

Differences from the paper: F returns the whole image and keeps the known pixels. The paper's F also predicts a band of
known pixels, whose error counts tenfold; here, the outermost pixels of the hole carry that weight, since they must join
the known ones. Any translating generator works; the paper's has no skip connections.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.base import Algorithm, Batch, Outputs, Shown
from i2i.algorithms.building import build_generator
from i2i.algorithms.nodata import covered
from i2i.algorithms.phases import Phase
from i2i.algorithms.terms import TranslationSettings
from i2i.config.derive import Mask
from i2i.config.section import Weight
from i2i.config.settings import Config
from i2i.errors import ConfigError


class ContextEncoderSettings(TranslationSettings):
    """The objective of context encoders."""

    l2: Weight = 0.999
    """Weight of the reconstruction in the hole, the paper's lambda_rec."""
    gan: Weight = 0.001
    """Weight of the generator's adversarial term, the paper's lambda_adv."""
    judged: Literal["hole", "picture"] = "hole"
    """What the discriminator sees: the hole on grey, or the whole picture with the hole filled."""
    overlap_px: Annotated[int, Field(ge=0)] = 4
    """Width of the band inside the edge of the hole where errors count more, in pixels; 0 is off."""
    overlap_weight: Annotated[float, Field(ge=1)] = 10.0
    """Factor for the errors in that band."""


class ContextEncoder(Algorithm):
    """A generator that fills holes, trained with L2 in the hole and against a discriminator of what is in it."""

    Settings = ContextEncoderSettings
    recordable = leaves_out_nodata = True
    data = "paired"

    def __init__(self, config: Config):
        super().__init__(config)
        if not isinstance(config.data.derive, Mask):
            raise ConfigError(
                "context_encoder learns to fill holes cut into pictures. Set data.derive.name to "
                "centre_mask, rectangle_mask or free_form_mask."
            )
        self.generators = {"A2B": "generator"}
        self.networks["generator"] = build_generator(config, "A2B")
        self.add_discriminator("discriminator", config.data.side_channels[1])
        self.phases = (*self.discriminator_phases("discriminator"), Phase("generator", ("generator",)))

    def forward(self, batch: Batch) -> Outputs:
        """F((1 - M) x), with the known pixels kept, and x at nodata pixels."""
        return {"fake": covered(self.networks["generator"](batch["a"]), batch["b"], batch.get("valid"))}

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """M x and M F((1 - M) x), or without M."""
        real, fake = batch["b"], outputs["fake"]
        if self.settings.judged == "hole":
            real, fake = (self._hole(batch) * one for one in (real, fake))
        return {"D": Shown(real, fake)}

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """The joint loss (section 3.2), the generator's part."""
        x, fake = batch["b"], outputs["fake"]
        seen = self.shown(batch, outputs)["D"]
        return {
            **self.terms.fool(self.adversaries["D"], seen.real, seen.fake),  # L_adv, eq. 2, non-saturating
            "G_L2": self._reconstruction(x, fake, self._hole(batch)),  # L_rec, eq. 1
            **self.terms.compare(fake, x, valid=batch.get("valid")),
        }

    def generator_weights(self) -> dict[str, float]:
        """The joint loss: lambda_rec and lambda_adv."""
        return {"G_GAN": self.weight("gan"), "G_L2": self.weight("l2")}

    def _hole(self, batch: Batch) -> Tensor:
        """Return M, (N, 1, H, W), from the alpha of the input; 0 at nodata pixels."""
        hole = (1 - batch["a"][:, 3:]) / 2
        return hole * batch["valid"] if "valid" in batch else hole

    def _reconstruction(self, x: Tensor, fake: Tensor, hole: Tensor) -> Tensor:
        """Eq. 1 as a mean over the hole (N, 1, H, W) of each image, so that large and small holes count the same.

        The weight of the band comes on top of that mean.
        """
        side = 2 * self.settings.overlap_px + 1
        near_known = F.max_pool2d(1 - hole, side, stride=1, padding=side // 2)
        weight = hole * (1 + (self.settings.overlap_weight - 1) * near_known)
        error = (weight * (fake - x).square()).sum(dim=(1, 2, 3))
        return (error / (x.shape[1] * hole.sum(dim=(1, 2, 3)).clamp_min(1))).mean()
