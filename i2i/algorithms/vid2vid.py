"""vid2vid in small: Wang, Liu, Zhu, Liu, Tao, Kautz, Catanzaro, "Video-to-Video Synthesis", 2018.

In the paper's terms: s_t is frame t of the input clip, x_t that of the target. F makes a frame from s_t, from s_{t-1}
and from what it made of that: the sequential generator of section 3, with L = 1. D_I sees single frames, each with its
input; D_V sees all frames that an image number shows, in order.

Differences from the paper: F makes the whole frame, where the paper's also warps the last one by an estimated optical
flow; D_V sees the inputs of its frames in place of flows; L1 stands for the loss of the flow, and `terms` can add that
of VGG; and all frames of a clip are one step, so that F also learns what its output does to the next frame. Before the
first frame there are zeros, where the paper's F has a generator of single images.
"""

import torch
from torch import Tensor

from i2i import losses
from i2i.algorithms.adversary_settings import AdversarialName
from i2i.algorithms.base import Algorithm, Batch, Outputs, Shown
from i2i.algorithms.building import build_generator, side_channels
from i2i.algorithms.nodata import covered, over_valid
from i2i.algorithms.phases import Phase
from i2i.algorithms.terms import TranslationSettings
from i2i.config.section import Weight
from i2i.config.settings import Config


class Vid2VidSettings(TranslationSettings):
    """The objective of vid2vid."""

    adversarial: AdversarialName = "least_squares"
    """Adversarial loss; least squares as in the authors' code."""
    l1: Weight = 100.0
    """Weight of the L1 term of all frames."""
    gan: Weight = 1.0
    """Weight of the adversarial term of single frames, against D_I."""
    gan_clip: Weight = 1.0
    """Weight of the adversarial term of clips, against D_V."""


class Vid2Vid(Algorithm):
    """A recurrent generator against discriminators of frames and of clips, tied to the target by L1."""

    Settings = Vid2VidSettings
    recordable = leaves_out_nodata = True
    data = "paired"
    of_clips = True

    def __init__(self, config: Config):
        super().__init__(config)
        self.frames = config.data.clip_frames
        self.generators = {self.direction: "generator"}
        self.networks["generator"] = build_generator(config, self.direction)
        stack = side_channels(config, self.direction)
        self.add_discriminator("D_I", sum(stack), side="frame", share=0.5, stack=stack)
        clip = [self.frames * one for one in stack]
        self.add_discriminator("D_V", sum(clip), side="clip", share=0.5, stack=clip)
        self.phases = (*self.discriminator_phases("discriminators"), Phase("generator", ("generator",)))

    def forward(self, batch: Batch) -> Outputs:
        """Make each frame from its input and the frame before it; pixels without data show the target's."""
        s, x = self.sides(batch)
        inputs, outputs = side_channels(self.config, self.direction)
        before = s.new_zeros(s.shape[0], inputs + outputs, *s.shape[2:])
        made = []
        for now in s.chunk(self.frames, dim=1):
            made.append(self.networks["generator"](torch.cat([now, before], dim=1)))
            before = torch.cat([now, made[-1]], dim=1)
        valid = batch["valid"].repeat_interleave(outputs, dim=1) if "valid" in batch else None
        return {"fake": covered(torch.cat(made, dim=1), x, valid)}

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """(s_t, x_t) of each frame, and those of all frames at once."""
        s, x = self.sides(batch)
        fake = outputs["fake"]
        real_frames, fake_frames = (torch.cat([self._frames(s), self._frames(one)], dim=1) for one in (x, fake))
        return {
            "frame": Shown(real_frames, fake_frames),
            "clip": Shown(torch.cat([s, x], dim=1), torch.cat([s, fake], dim=1)),
        }

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """The objective of section 3, the generator's part."""
        _, x = self.sides(batch)
        shown, valid = self.shown(batch, outputs), self._frames(batch["valid"]) if "valid" in batch else None
        return {
            **self.terms.fool(self.adversaries["frame"], *shown["frame"]),  # L_I
            "G_GAN_clip": self.adversaries["clip"].fool(*shown["clip"]),  # L_V
            "G_L1": over_valid(losses.l1(outputs["fake"], x), valid),
            **self.terms.compare(self._frames(outputs["fake"]), self._frames(x), valid=valid),
        }

    def generator_weights(self) -> dict[str, float]:
        """L_I + L_V, and L1 in place of L_W."""
        return {"G_GAN": self.weight("gan"), "G_GAN_clip": self.weight("gan_clip"), "G_L1": self.weight("l1")}

    def _frames(self, clips: Tensor) -> Tensor:
        """Return the frames of clips (N, frames C, H, W) as images of their own, (N frames, C, H, W)."""
        return clips.reshape(-1, clips.shape[1] // self.frames, *clips.shape[2:])
