"""Whether a texture model makes the texture that it learned, by tools/bench/textures.py; and waves, which repeat."""

import math

import numpy as np
import pytest
import torch

import i2i
from i2i.errors import UsageError
from i2i.networks import SpatialGenerator
from i2i.networks.spatial import WAVE_NUMBER
from i2i.runtime.generator import ImageGenerator
from tests.conftest import MAPS, ROOT, load_script

textures = load_script(ROOT / "tools" / "bench" / "textures.py")
FILES = [MAPS / "train" / f"{name}.jpg" for name in textures.SOURCES]


@pytest.mark.parametrize("by_shape", [False, True])
def test_patches_of_a_picture_are_nearest_to_itself(by_shape):
    """Dyed, they are nearest to the picture with those colours, but not by shape."""
    one, other = map(textures.relief, FILES)
    assert textures.nearest_is_first([one[:48]], [one, other], by_shape) == 1
    assert textures.nearest_is_first([one[:48]], [other, one], by_shape) == 0
    dyed = one[:48].mean(axis=2, keepdims=True) / 2 + other.mean(axis=(0, 1)) / 2
    assert (textures.nearest_is_first([dyed], [one, other], by_shape) > 0.9) == by_shape


@pytest.mark.slow
def test_samples_are_of_the_texture_that_was_learned(tmp_path):
    """The control is a model of the other texture, on the same scale."""
    sources = [textures.relief(file) for file in FILES]
    made = [textures.fit(file, tmp_path, textures.IMAGES) for file in FILES]
    in_colour, by_shape = ([textures.nearest_is_first(one, sources, kind) for one in made] for kind in (False, True))
    assert in_colour[0] > 0.7
    assert in_colour[1] < 0.1
    assert by_shape[0] > by_shape[1] + 0.03


def test_waves_repeat_however_far_and_noise_does_not():
    """A wave of a third of a turn to the right: every third place is alike. The control has noise in its place."""
    torch.manual_seed(0)
    network = SpatialGenerator(size=16, latent=1, width=2, doublings=3, waves=1).eval()
    for parameter in network.parameters():
        parameter.data *= 10  # an untrained network makes next to nothing
    network.wave_numbers.data[:] = torch.tensor([0.0, 2 * math.pi / 3 / WAVE_NUMBER])
    phases = torch.full((1, 1, 4, 50), 0.3)
    with torch.no_grad():
        made = network(phases)
        assert torch.allclose(made[..., :24], made[..., 360:384], atol=1e-4)
        assert not torch.allclose(made[..., :24], made[..., 8:32], atol=1e-3)
        plain = SpatialGenerator(size=16, latent=1, width=2, doublings=3).eval()
        plain.load_state_dict({name: one for name, one in network.state_dict().items() if name != "wave_numbers"})
        noisy = plain(torch.randn(1, 1, 4, 50))
    assert not torch.allclose(noisy[..., :24], noisy[..., 360:384], atol=1e-3)


def test_a_model_with_waves_is_trained_exported_and_never_tiles(few_pairs, tmp_path):
    tiny = ["data.side=B", "data.crop_px=32", "generator.doublings=3", "generator.width=2", "discriminator.width=2"]
    tiny += ["discriminator.layers=1", "generator.waves=2", "schedule.images=32", "train.device=cpu"]
    run = tmp_path / "run"
    i2i.train(i2i.load_config("texture_relief", [f"data.path={few_pairs}", *tiny]), run)
    i2i.export(run, tmp_path / "m.onnx")
    one, other = (ImageGenerator.open(model, "cpu", (24, 72)) for model in (run, tmp_path / "m.onnx"))
    assert [block.name for block in one.generator.blocks] == ["phase", "noise"]
    made = [maker.generate(maker.draw([3, 4])) for maker in (one, other)]
    assert np.abs(made[0] - made[1]).max() < 1e-4
    with pytest.raises(UsageError, match="waves"):
        ImageGenerator.open(run, "cpu", (32, 32), True)
