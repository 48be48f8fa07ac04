"""The pool of past fakes from which a discriminator learns, too (Shrivastava et al. 2017, section 2.3)."""

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Up to `size` past fakes. A fake that comes in goes out itself, or, half of the time, in exchange for one.

    Draws come from a generator of its own, so that the state, pictures included, can be saved and
    restored bit for bit.
    """

    def __init__(self, size: int, seed: int):
        self.size = size
        self.images: list[Tensor] = []
        self.random = torch.Generator().manual_seed(seed)

    def exchange(self, fakes: Tensor) -> Tensor:
        """(N, C, H, W) detached fakes to what the discriminator sees in their place, the same shape.

        While the pool fills, every fake is kept and returned; then, with p = 0.5, an old one is returned
        and the new one takes its place. Size 0 returns the fakes.
        """
        if not self.size:
            return fakes
        return torch.stack([self._exchange(fake) for fake in fakes])

    def _exchange(self, fake: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(fake.clone())
            return fake
        if torch.rand((), generator=self.random) < 0.5:
            return fake
        place = int(torch.randint(self.size, (), generator=self.random))
        old, self.images[place] = self.images[place], fake.clone()
        return old

    def state_dict(self) -> dict[str, Any]:
        """Return the pictures and the state of the draws."""
        return {"images": [image.cpu() for image in self.images], "random": self.random.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up where `state_dict` left off, with the pictures on `device`."""
        self.images = [image.to(device) for image in state["images"]]
        self.random.set_state(state["random"])
