"""The two failures that lectures show, each made on the ring of 8 Gaussians and named; a healthy GAN is silent."""

import pytest

from i2i import load_config, train
from i2i.diagnosis import diagnose

pytestmark = pytest.mark.slow
SHORT = ["schedule.images=192000", "train.device=cpu", "log.samples_every_images=19200"]
FALLS = "schedule.decay_images=96000"
MADE = {
    "healthy": ("wgan_gp_ring", [FALLS]),
    "oscillation": ("ring", ["schedule.decay_images=0", "optimizer.lr=2e-3", "optimizer.betas=[0.9, 0.999]"]),
    "mode collapse": ("ring", [FALLS, "optimizer.lr_discriminator=0.01"]),
}


@pytest.mark.parametrize("illness", list(MADE))
def test_failures_on_the_ring_are_named(tmp_path, illness):
    """With one seed; docs/diagnose.md has more."""
    preset, changes = MADE[illness]
    train(load_config(preset, [*SHORT, *changes]), tmp_path)
    found = {one.name for one in diagnose(tmp_path, device="cpu").found}
    if illness == "healthy":
        assert not found
    else:
        assert illness in found
