"""pix2pix: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", 2017.

In the paper's terms: x is the input image, y the target, G(x) the output. The discriminator is
conditional: it sees (x, y) or (x, G(x)). The generator's noise z is dropout. Where the data has labels, G takes them
by feature-wise scaling (Perez et al. 2018, "FiLM"), and D by projection or as planes.
"""

from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from i2i import losses
from i2i.algorithms.base import Algorithm, Batch, Outputs, Shown
from i2i.algorithms.building import build_generator, side_channels
from i2i.algorithms.labels import LabelSettings
from i2i.algorithms.nodata import covered, over_valid
from i2i.algorithms.phases import Phase
from i2i.algorithms.terms import TranslationSettings, terms_in_use
from i2i.config.section import Weight, is_ever_on
from i2i.config.settings import Config


class Pix2PixSettings(LabelSettings, TranslationSettings):
    """The objective of pix2pix."""

    l1: Weight = 100.0
    """Weight of the L1 term, the paper's lambda."""
    gan: Weight = 1.0
    """Weight of the adversarial term; 0 leaves the generator to L1 and the further terms."""

    @model_validator(mode="after")
    def _has_a_term(self) -> Self:
        if not (is_ever_on(self.gan) or is_ever_on(self.l1) or terms_in_use(self.terms)):
            raise ValueError("gan, l1 and all of terms are 0, so the generator would learn nothing; raise one of them")
        return self


class Pix2Pix(Algorithm):
    """A generator against a conditional discriminator, tied to the target by L1."""

    Settings = Pix2PixSettings
    recordable = leaves_out_nodata = True
    data = "paired"
    reads_labels = True

    def __init__(self, config: Config):
        super().__init__(config)
        self.generators = {self.direction: "generator"}
        self.networks["generator"] = build_generator(config, self.direction)
        stack = side_channels(config, self.direction)
        self.add_discriminator("discriminator", sum(stack), share=0.5, stack=stack)  # section 3.3
        self.phases = (*self.discriminator_phases("discriminator"), Phase("generator", ("generator",)))

    def forward(self, batch: Batch) -> Outputs:
        """G(x), and y at nodata pixels."""
        x, y = self.sides(batch)
        made = self.networks["generator"](x, self.labels.of(batch))
        return {"fake": covered(made, y, batch.get("valid"))}

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """(x, y) and (x, G(x)), eq. 1."""
        x, y = self.sides(batch)
        real, fake = torch.cat([x, y], dim=1), torch.cat([x, outputs["fake"]], dim=1)
        return {"D": Shown(real, fake, self.labels.seen(batch))}

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 4, the generator's part."""
        fake, (_, y), valid = outputs["fake"], self.sides(batch), batch.get("valid")
        return {
            **self.terms.fool(self.adversaries["D"], *self.shown(batch, outputs)["D"]),  # eq. 1 as in section 3.3
            "G_L1": over_valid(losses.l1(fake, y), valid),  # eq. 3
            **self.terms.compare(fake, y, valid=valid),
        }

    def generator_weights(self) -> dict[str, float]:
        """Eq. 4: the L1 term has weight lambda."""
        return {"G_GAN": self.weight("gan"), "G_L1": self.weight("l1")}
