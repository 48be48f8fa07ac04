"""A discriminator, and what it sees: images with augmentation and noise, and past fakes beside new ones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from i2i.algorithms.adaptive import AdaptiveProbability
from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.diffaugment import augment
from i2i.algorithms.image_pool import ImagePool
from i2i.algorithms.labels import beside
from i2i.algorithms.unrolling import Weights
from i2i.config.section import is_ever_on, weight_at
from i2i.networks import Discriminator, DiscriminatorOutput


class Judge:
    """One discriminator: `networks[name]`.

    stack: the channels of each image that it sees stacked; by default one. concatenates: whether conditions are planes
    of the image.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        name: str,
        settings: AdversarySettings,
        stack: Sequence[int] = (),
        concatenates: bool = False,
    ):
        self.networks, self.name, self.settings, self.stack = networks, name, settings, stack
        self.images, self.concatenates = 0, concatenates
        self.counts_classes = False  # whether its heads are classes of reals, and what is in none of them is fake
        self.optimizer: torch.optim.Optimizer | None = None  # the engine's, which unrolling looks at
        self.pool = ImagePool(settings.history, seed=0)
        self.adaptive = AdaptiveProbability(settings.adaptive) if settings.adaptive else None
        self.noise: Tensor | None = None
        if is_ever_on(settings.instance_noise):  # on the device, where a recorded step reads it
            self.noise = torch.tensor(weight_at(settings.instance_noise, 0))
        self._weights: Weights | None = None
        network = networks[name]
        assert isinstance(network, Discriminator)
        self.field_px, self.packing, self.is_energy = network.receptive_field_px, network.packing, network.is_energy

    @property
    def network(self) -> nn.Module:
        """The discriminator, as training wraps it."""
        return self.networks[self.name]

    @property
    def uses_host(self) -> bool:
        """Whether it draws or counts on the host in a step, which then cannot be recorded."""
        return bool(self.pool.size or self.settings.unrolled_steps)

    def begin(self, images: int) -> None:
        """Set what changes during a training, before each step."""
        self.images, device = images, self._device
        if self.adaptive:
            self.adaptive.to(device)
        if self.noise is not None:
            self.noise = self.noise.to(device)
            self.noise.fill_(weight_at(self.settings.instance_noise, images))

    def judge(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return the discriminator's output for images (N, C, H, W), with a condition (N, K) if it takes one.

        Only here does it see images, so that the settings which change what it sees hold for every term.
        """
        if self.settings.diffaugment:
            probability = self.adaptive.probability if self.adaptive else None
            image = augment(image, self.settings.diffaugment, self.stack or (image.shape[1],), probability)
        if self.noise is not None:
            image = image + self.noise * torch.randn_like(image)
        if condition is not None and self.concatenates:
            image, condition = beside(image, condition), None
        inputs = (image,) if condition is None else (image, condition)
        output: DiscriminatorOutput
        if self._weights is None:
            output = self.network(*inputs)
        else:
            output = torch.func.functional_call(self.network, self._weights, inputs)
        return output._replace(logits=logit_of_classes(output)) if self.counts_classes else output

    @contextmanager
    def with_weights(self, weights: Weights) -> Iterator[None]:
        """Judge with other weights for a while."""
        before, self._weights = self._weights, weights
        try:
            yield
        finally:
            self._weights = before

    def reseed(self, seed: int) -> None:
        """Start with an empty image pool whose draws depend on `seed`."""
        self.pool = ImagePool(self.settings.history, seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the image pool and the state of adaptive augmentation, as far as they are on."""
        state = self.pool.state_dict() if self.pool.size else {}
        return state | ({"adaptive": self.adaptive.state_dict()} if self.adaptive else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on the network's device."""
        if self.pool.size:
            self.pool.load_state_dict(state, self._device)
        if self.adaptive:
            self.adaptive.load_state_dict(state["adaptive"])

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def logit_of_classes(output: DiscriminatorOutput) -> Tensor:
    """Return log sum exp of each image's class logits, (N, 1): the logit of a softmax with one class more, of logit 0.

    That class is the fakes (Salimans et al. 2016, section 5: D(x) = Z(x) / (Z(x) + 1)). Z of several label sets is the
    product of theirs: the sum over all combinations of their classes.
    """
    assert output.heads is not None
    return torch.stack([logits.logsumexp(dim=1) for logits in output.heads.values()]).sum(dim=0)[:, None]
