"""The image pool: past fakes that a discriminator also learns from (Shrivastava et al. 2017, section 2.3)."""

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Up to `size` past fakes; half of the time, a new fake is exchanged for a past one.

    Draws come from the pool's own generator, so that its state, images included, can be saved and restored
    bit for bit.
    """

    def __init__(self, size: int, seed: int):
        self.size = size
        self.images: list[Tensor] = []
        self.random = torch.Generator().manual_seed(seed)

    def exchange(self, fakes: Tensor) -> Tensor:
        """(N, C, H, W) detached fakes to what the discriminator sees instead, of the same shape.

        While the pool fills, every fake is stored and returned. Then, with p = 0.5, a past one is returned
        and the new one takes its place. A pool of size 0 returns the fakes.
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
        """Return the images and the state of the draws."""
        return {"images": [image.cpu() for image in self.images], "random": self.random.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what `state_dict` returned, with the images on `device`."""
        self.images = [image.to(device) for image in state["images"]]
        self.random.set_state(state["random"])
