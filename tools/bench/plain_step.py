"""Train steps as in the published code: eager, NCHW, default Adam, torch's own layers, no optimisations.

Each function takes the networks of one of our algorithms and returns a step. The step takes a batch and returns its
losses under our names, so that `train_step.py` can compare losses and speed. The steps share helpers, so they stand
in one file of some 310 lines.
"""

import copy
import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from i2i.networks.base import LatentGenerator
from i2i.networks.layers import InstanceNorm, UnbiasedConv2d, UnbiasedConvTranspose2d
from i2i.networks.small_maps import Conv2d, ConvTranspose2d

Networks = dict[str, nn.Module]
Batch = dict[str, Tensor]
Step = Callable[[Batch], dict[str, Tensor]]


class Unbiased(nn.Conv2d):
    """torch's convolution without its bias, which an instance norm would subtract again."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight, None)


class UnbiasedTransposed(nn.ConvTranspose2d):
    """The same, transposed."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        sizes = (self.stride, self.padding, self.output_padding)
        return F.conv_transpose2d(input, self.weight, None, *sizes)  # type: ignore[arg-type]


def plain_layers(network: nn.Module) -> None:
    """Replace our layers with torch's own, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and is_parametrized(child):
                sizes: Any = (child.kernel_size, child.stride, child.padding)
                conv = nn.Conv2d(child.in_channels, child.out_channels, *sizes)  # with a bias, as all of these have
                setattr(parent, name, spectral_norm(conv).to(next(child.parameters()).device))
                conv.load_state_dict(child.state_dict())
            elif isinstance(child, InstanceNorm):
                setattr(parent, name, nn.InstanceNorm2d(child.channels, eps=child.eps))
            elif isinstance(child, UnbiasedConv2d):
                child.__class__ = Unbiased  # type: ignore[assignment]
            elif isinstance(child, UnbiasedConvTranspose2d):
                child.__class__ = UnbiasedTransposed  # type: ignore[assignment]
            elif isinstance(child, Conv2d):
                child.__class__ = nn.Conv2d  # type: ignore[assignment]
            elif isinstance(child, ConvTranspose2d):
                child.__class__ = nn.ConvTranspose2d  # type: ignore[assignment]


def adam(*networks: nn.Module, lr: float = 2e-4, beta2: float = 0.999) -> torch.optim.Adam:
    """Return Adam, by default with the settings of all papers."""
    return torch.optim.Adam(itertools.chain(*(one.parameters() for one in networks)), lr=lr, betas=(0.5, beta2))


class Means:
    """Moving averages of the weights of generators, with a half-life of at most a twentieth of the images seen."""

    def __init__(self, half_life_images: float, *generators: nn.Module):
        self.half_life, self.images = half_life_images, 0
        self.pairs = [(copy.deepcopy(one), one) for one in generators]

    @torch.no_grad()
    def update(self, images: int) -> None:
        """Average in the weights after so many more images."""
        self.images += images
        kept = 0.5 ** (images / min(self.half_life, self.images / 20))
        for average, network in self.pairs:
            for mean, new in zip(average.parameters(), network.parameters(), strict=True):
                mean.mul_(kept).add_(new, alpha=1 - kept)


def freeze(frozen: bool, *networks: nn.Module) -> None:
    """Turn the gradients of networks off (`frozen`) or on."""
    for network in networks:
        for parameter in network.parameters():
            parameter.requires_grad = not frozen


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """Return the loss of pix2pix and DCGAN."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def pix2pix(networks: Networks) -> Step:
    """Run G once; train D on (A, fake) and then on (A, real); train G with D frozen."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    adam_g, adam_d = adam(generator), adam(discriminator)

    def step(batch: Batch) -> dict[str, Tensor]:
        x, y = batch["a"], batch["b"]
        fake = generator(x)
        freeze(False, discriminator)
        adam_d.zero_grad()
        d_fake = cross_entropy(discriminator(torch.cat([x, fake.detach()], 1)).logits, False)
        d_real = cross_entropy(discriminator(torch.cat([x, y], 1)).logits, True)
        ((d_fake + d_real) * 0.5).backward()
        adam_d.step()
        freeze(True, discriminator)
        adam_g.zero_grad()
        g_gan = cross_entropy(discriminator(torch.cat([x, fake], 1)).logits, True)
        g_l1 = F.l1_loss(fake, y)
        (g_gan + 100.0 * g_l1).backward()
        adam_g.step()
        return {"D_fake": d_fake, "D_real": d_real, "G_GAN": g_gan, "G_L1": g_l1}

    return step


def squares(logits: Tensor, real: bool) -> Tensor:
    """Return the loss of CycleGAN and of the modern presets."""
    return F.mse_loss(logits, torch.full_like(logits, float(real)))


def modern(networks: Networks) -> Step:
    """The recipe of `modern`: as pix2pix, with least squares, feature matching and averaged weights."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    adam_g, adam_d = (adam(one, lr=8e-4, beta2=0.99) for one in (generator, discriminator))
    means = Means(2000, generator)

    def step(batch: Batch) -> dict[str, Tensor]:
        x, y = batch["a"], batch["b"]
        fake = generator(x)
        freeze(False, discriminator)
        adam_d.zero_grad()
        d_real = squares(discriminator(torch.cat([x, y], 1)).logits, True)
        d_fake = squares(discriminator(torch.cat([x, fake.detach()], 1)).logits, False)
        ((d_fake + d_real) * 0.5).backward()
        adam_d.step()
        freeze(True, discriminator)
        adam_g.zero_grad()
        with torch.no_grad():
            wanted = discriminator(torch.cat([x, y], 1)).features
        output = discriminator(torch.cat([x, fake], 1))
        g_gan = squares(output.logits, True)
        g_l1 = F.l1_loss(fake, y)
        g_match = torch.stack([F.l1_loss(*pair) for pair in zip(output.features, wanted, strict=True)]).mean()
        (g_gan + 30.0 * g_l1 + 50.0 * g_match).backward()
        adam_g.step()
        means.update(len(x))
        return {"D_fake": d_fake, "D_real": d_real, "G_GAN": g_gan, "G_L1": g_l1, "G_feature_matching": g_match}

    return step


def cyclegan(
    networks: Networks,
    cycle: float = 10.0,
    identity: float = 5.0,
    lr: float = 2e-4,
    beta2: float = 0.999,
    half_life_images: float = 0,
) -> Step:
    """Train both G with both D frozen, with identity terms if they count; then D_A and D_B, on real, then on fake.

    In the few steps of a measurement, the image pool is still filling and returns what it gets, so it is left out.
    """
    a2b, b2a, d_a, d_b = (networks[name] for name in ("G_A2B", "G_B2A", "D_A", "D_B"))
    adam_g, adam_d = adam(a2b, b2a, lr=lr, beta2=beta2), adam(d_a, d_b, lr=lr, beta2=beta2)
    means = Means(half_life_images, a2b, b2a) if half_life_images else None

    def step(batch: Batch) -> dict[str, Tensor]:
        a, b = batch["a"], batch["b"]
        fake_b = a2b(a)
        back_a = b2a(fake_b)
        fake_a = b2a(b)
        back_b = a2b(fake_a)
        freeze(True, d_a, d_b)
        adam_g.zero_grad()
        same = {"G_identity_B": F.l1_loss(a2b(b), b), "G_identity_A": F.l1_loss(b2a(a), a)} if identity else {}
        terms = {
            **same,
            "G_A2B_GAN": squares(d_b(fake_b).logits, True),
            "G_B2A_GAN": squares(d_a(fake_a).logits, True),
            "G_cycle_A": F.l1_loss(back_a, a),
            "G_cycle_B": F.l1_loss(back_b, b),
        }
        weights = {"G_identity_A": identity, "G_identity_B": identity, "G_cycle_A": cycle, "G_cycle_B": cycle}
        torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum().backward()
        adam_g.step()
        freeze(False, d_a, d_b)
        adam_d.zero_grad()
        for name, discriminator, real, fake in (("D_A", d_a, a, fake_a), ("D_B", d_b, b, fake_b)):
            terms[f"{name}_real"] = squares(discriminator(real).logits, True)
            terms[f"{name}_fake"] = squares(discriminator(fake.detach()).logits, False)
            ((terms[f"{name}_real"] + terms[f"{name}_fake"]) * 0.5).backward()
        adam_d.step()
        if means:
            means.update(len(a))
        return terms

    return step


def dcgan(networks: Networks) -> Step:
    """Train D on real and on fake, two backward passes; then G, which computes D's gradients and drops them."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    assert isinstance(generator, LatentGenerator)
    adam_g, adam_d = adam(generator), adam(discriminator)

    def step(batch: Batch) -> dict[str, Tensor]:
        real = batch["image"]
        discriminator.zero_grad()
        d_real = cross_entropy(discriminator(real).logits, True)
        d_real.backward()
        fake = generator(torch.randn(len(real), generator.latent, dtype=real.dtype, device=real.device))
        d_fake = cross_entropy(discriminator(fake.detach()).logits, False)
        d_fake.backward()
        adam_d.step()
        generator.zero_grad()
        g_gan = cross_entropy(discriminator(fake).logits, True)
        g_gan.backward()
        adam_g.step()
        return {"D_real": d_real, "D_fake": d_fake, "G_GAN": g_gan}

    return step


def cut_features(generator: nn.Module, image: Tensor) -> list[Tensor]:
    """The image and four stages of a ResNet with five blocks or more."""
    value = generator.get_submodule("centre")(image)
    found = [image]
    for name in ("stem", "down.0", "down.1", *(f"blocks.{number}" for number in range(5))):
        value = generator.get_submodule(name)(value)
        if name in ("down.0", "down.1", "blocks.0", "blocks.4"):
            found.append(value)
    return found


def patch_nce(generator: nn.Module, heads: nn.Module, source: Tensor, made: Tensor, mirrored: Tensor | None) -> Tensor:
    """PatchNCE; `mirrored` tells whose features of `made` are turned back. Places are drawn in the order of ours."""
    queries, keys = cut_features(generator, made), cut_features(generator, source)
    places = [torch.rand(len(one), one[0, 0].numel()).topk(min(256, one[0, 0].numel())).indices for one in queries]
    total = torch.zeros((), dtype=source.dtype, device=source.device)
    for number, layer in enumerate(zip(queries, keys, places, strict=True)):
        for picture, (query, key, place) in enumerate(zip(*layer, strict=True)):
            if mirrored is not None and mirrored[picture]:
                query = query.flip(2)
            head = heads.get_submodule(f"heads.{number}")
            own = F.normalize(head(query.flatten(1)[:, place].T), dim=1)
            others = F.normalize(head(key.flatten(1)[:, place].T), dim=1).detach()
            right = (own * others).sum(dim=1, keepdim=True)
            wrong = (own @ others.T).masked_fill(torch.eye(len(own), dtype=torch.bool, device=own.device), -10.0)
            logits = torch.cat([right, wrong], dim=1) / 0.07
            zeros = torch.zeros(len(own), dtype=torch.long, device=own.device)
            total = total + F.cross_entropy(logits, zeros) / len(source)
    return total / len(queries)


def contrastive(networks: Networks, nce_weight: float, identity: bool, flips: bool) -> Step:
    """G on x and y; D on fake and then on real; G and H with D frozen, features from both halves with gradients."""
    generator, discriminator, heads = networks["generator"], networks["discriminator"], networks["heads"]
    adam_g, adam_d, adam_h = adam(generator), adam(discriminator), adam(heads)
    nce = functools.partial(patch_nce, generator, heads)

    def step(batch: Batch) -> dict[str, Tensor]:
        x, y = batch["a"], batch["b"]
        mirrored = torch.rand(len(x)) < 0.5 if flips else None
        seen = x if mirrored is None else torch.where(mirrored[:, None, None, None], x.flip(3), x)
        fake = generator(seen)
        same = generator(y) if identity else None
        freeze(False, discriminator)
        adam_d.zero_grad()
        d_fake = discriminator(fake.detach()).logits.square().mean()
        d_real = (discriminator(y).logits - 1).square().mean()
        ((d_fake + d_real) * 0.5).backward()
        adam_d.step()
        freeze(True, discriminator)
        adam_g.zero_grad()
        adam_h.zero_grad()
        terms = {"G_GAN": (discriminator(fake).logits - 1).square().mean(), "G_NCE": nce(x, fake, mirrored)}
        loss = terms["G_GAN"] + nce_weight * terms["G_NCE"]
        if same is not None:
            terms["G_NCE_identity"] = nce(y, same, None)
            loss = loss + nce_weight * terms["G_NCE_identity"]
        loss.backward()
        adam_g.step()
        adam_h.step()
        return {"D_fake": d_fake, "D_real": d_real, **terms}

    return step


STEPS: dict[str, Callable[[Networks], Step]] = {
    "pix2pix": pix2pix,
    "cyclegan": cyclegan,
    "dcgan": dcgan,
    "cut": functools.partial(contrastive, nce_weight=1.0, identity=True, flips=False),
    "fastcut": functools.partial(contrastive, nce_weight=10.0, identity=False, flips=True),
    "modern": modern,
    "modern_unpaired": functools.partial(cyclegan, cycle=3.0, identity=0.0, lr=1e-3, beta2=0.99, half_life_images=1000),
}
"""By preset."""
