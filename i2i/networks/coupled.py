"""Coupled networks: CoGAN, Liu and Tuzel 2016, "Coupled Generative Adversarial Networks", section 3, on those of DCGAN.

One GAN for each domain. The generators share their first layers, and the discriminators their last ones: what images
of all domains have in common is decided in layers that all share. So a latent makes images of one thing in every
domain, although no training picture has a partner. A one-hot label picks the domain, and with it the layers that are
its own.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from i2i.networks.base import DiscriminatorOutput, LatentGenerator, layer_outputs
from i2i.networks.batches import MinibatchDistance, pack
from i2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator, Size, levels
from i2i.networks.layers import Norm


class CoupledGenerator(LatentGenerator):
    """DCGAN generators, one for each domain, that differ in their last layers.

    domains: the last so many numbers of a latent are the label; 0: there is one domain, and no label.
    own_layers: how many layers each domain has to itself, of the three at 32 px, four at 64 and five at 128, and one
    more that makes the image. With all of them, nothing is shared.
    """

    def __init__(
        self,
        out_channels: int = 3,
        size: Size = 64,
        latent: int = 100,
        width: int = 64,
        norm: Norm = "batch",
        own_layers: int = 1,
        domains: int = 0,
    ):
        super().__init__()
        self.latent, self.domains = latent, domains
        _refuse_more(own_layers, size)
        each = [DCGANGenerator(out_channels, size, latent - domains, width, norm) for _ in range(max(domains, 1))]
        self.size = size
        shared = levels(size) + 1 - own_layers
        self.shared = nn.Sequential(*each[0].layers[:shared])
        self.own = nn.ModuleList(nn.Sequential(*one.layers[shared:], one.head) for one in each)

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return None if side_px == self.size else f"this network is for {self.size} px"

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size) in [-1, 1]."""
        noise = latent[:, : self.latent - self.domains, None, None].to(self.dtype)
        shared = self.shared(noise)
        return _pick([one(shared) for one in self.own], latent[:, self.latent - self.domains :])


class CoupledDiscriminator(DCGANDiscriminator):
    """DCGAN discriminators, one for each domain, that differ in their first layers.

    condition: length of the label, which forward then also takes; 0: there is one domain. A pack of images goes through
    the mean of their domains' layers.
    own_layers: how many layers each domain has to itself, of those as in the generator, and one more that makes the
    logit. With batch norm, these take the statistics of all domains.
    """

    def __init__(
        self,
        in_channels: int = 3,
        size: Size = 64,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        minibatch_std: bool = False,
        minibatch_discrimination: MinibatchDistance = "none",
        packing: int = 1,
        own_layers: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        whole = (in_channels, size, width, norm, spectral_norm, minibatch_std, minibatch_discrimination, packing)
        super().__init__(*whole, heads=heads)
        _refuse_more(own_layers, size)
        others = [DCGANDiscriminator(*whole) for _ in range(condition - 1)]
        self.count = min(own_layers, levels(size))
        self.others = nn.ModuleList(nn.Sequential(*one.layers[: self.count]) for one in others)
        self.other_heads = nn.ModuleList(one.head for one in others if own_layers > levels(size))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels, size, size) in [-1, 1] to logits (N, 1, 1, 1), the features of each level and the heads."""
        images, image = len(image), pack(image, self.packing)
        label = image.new_ones(len(image), 1)
        if condition is not None:
            label = pack(condition, self.packing).unflatten(1, (self.packing, -1)).mean(dim=1)
        own = [layer_outputs(one, image) for one in (self.layers[: self.count], *self.others)]
        features = [_pick(each, label) for each in zip(*own, strict=True)]
        features += layer_outputs(self.layers[self.count :], features[-1])
        shown = self.batch_channels(features[-1])
        logits = _pick([head(shown) for head in (self.head, *self.other_heads)], label)
        further = self.heads(features[-1].flatten(1), images) if self.heads else None
        return DiscriminatorOutput(logits, tuple(features), further)


def _pick(outputs: Sequence[Tensor], label: Tensor) -> Tensor:
    """Return of the outputs (N, ...) of each domain that of an image's label (N, domains), where they differ at all."""
    if len(outputs) == 1:
        return outputs[0]
    each = torch.stack(list(outputs), dim=1)
    return (each * label.to(each.dtype).view(*label.shape, *[1] * (each.dim() - 2))).sum(dim=1)


def _refuse_more(own_layers: int, size: Size) -> None:
    """Raise ValueError for more layers than there are."""
    if own_layers > levels(size) + 1:
        raise ValueError(
            f"own_layers is {own_layers}, and coupled networks of {size} px have {levels(size) + 1} layers"
        )
