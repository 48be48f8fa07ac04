"""InfoGAN: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel 2016.

Notation: a latent is noise z and codes c; Q(c|x), a head of D, reads the codes out of an image. The variational bound
L_I(G, Q) = E log Q(c|G(z, c)) + H(c) of their mutual information is part of both players' losses, so that G puts the
codes where they can be seen. No label is used.

Difference from the paper: its Q has a hidden layer of its own on D's trunk, and ours is linear.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.base import Batch, Outputs
from i2i.algorithms.building import noise_block, phase_blocks
from i2i.algorithms.gan import GAN, GANSettings
from i2i.config.section import Weight
from i2i.models.spec import LatentBlock


class InfoGANSettings(GANSettings):
    """The objective of InfoGAN."""

    categories: tuple[Annotated[int, Field(ge=2)], ...] = (10,)
    """How many classes each categorical code has; all are equally likely."""
    continuous: Annotated[int, Field(ge=0)] = 2
    """Number of continuous codes, uniform in [-1, 1]."""
    information: Weight = 1.0
    """Weight of the information in categorical codes, the paper's lambda; with 0, nothing ties them to the image."""
    information_continuous: Weight = 0.1
    """The same for continuous codes."""

    @model_validator(mode="after")
    def _has_codes(self) -> Self:
        if not self.categories and not self.continuous:
            raise ValueError("categories is empty and continuous is 0; InfoGAN needs a code")
        return self


class InfoGAN(GAN):
    """A generator from noise and codes against a discriminator that also reads the codes."""

    Settings = InfoGANSettings

    @property
    def codes(self) -> tuple[LatentBlock, ...]:
        """The blocks of a latent that Q reads: each categorical code by number, as --label takes it, and the others."""
        sizes, count = self.settings.categories, self.settings.continuous
        names = ["category"] if len(sizes) == 1 else [f"category_{place}" for place in range(1, len(sizes) + 1)]
        categories = [
            LatentBlock(name=name, size=size, prior="one_hot", classes=tuple(map(str, range(size))))
            for name, size in zip(names, sizes, strict=True)
        ]
        continuous = [LatentBlock(name="continuous", size=count, prior="uniform")] if count else []
        return (*categories, *continuous)

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """Noise, uniform as in the authors' code, and the codes."""
        return (*phase_blocks(self.config), noise_block(self.config, "uniform"), *self.codes)

    @property
    def heads(self) -> dict[str, int]:
        """Q: logits of the classes, and means of continuous codes."""
        return {block.name: block.size for block in self.codes}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Those of a GAN, and -E log Q(c|G(z, c)) of each code for both players: eq. 5 without H(c), a constant."""
        terms = super().losses(phase, batch, outputs)
        if phase == "penalty":
            return terms
        player, fake = ("G", outputs["fake"]) if phase == "generator" else ("D", outputs["fake"].detach())
        said = self.adversaries["D"].judge(fake).heads
        assert said is not None
        for block in self.codes:
            loss = F.cross_entropy if block.prior == "one_hot" else negative_log_gaussian
            terms[f"{player}_{block.name}"] = loss(said[block.name], self.block_of(block.name, outputs))
        return terms

    def weights(self) -> dict[str, float]:
        """Lambda in eq. 6, smaller for continuous codes as in section 7 of the paper, for both players."""
        names = {"one_hot": "information", "uniform": "information_continuous"}
        of_codes = {one.name: self.weight(names[one.prior]) for one in self.codes}
        return super().weights() | {f"{player}_{name}": value for player in "DG" for name, value in of_codes.items()}


def negative_log_gaussian(mean: Tensor, value: Tensor) -> Tensor:
    """Return -log of a Gaussian's density, less its constant: (N, K) each, of sigma 1 as in the authors' code."""
    return (value - mean).square().sum(dim=1).mean() / 2
