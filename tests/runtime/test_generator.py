"""Pictures from noise: one seed, one picture, on every backend and in every batch."""

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i.errors import ModelError, UsageError
from i2i.images import from_unit
from i2i.models.modelfile import load_generator, read_spec
from i2i.models.spec import GENERATE
from i2i.runtime.backends import TorchBackend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import seed_latents, walk
from i2i.runtime.translator import Translator
from tests.conftest import noise, save_from_noise


def test_calling_a_model(noise_model):
    model = i2i.load(noise_model)
    assert isinstance(model, ImageGenerator)
    assert model.latent == 16
    images = model([4, 5, 4])
    assert all(isinstance(image, Image.Image) and image.size == (32, 32) and image.mode == "RGB" for image in images)
    first, second, again = (np.asarray(image) for image in images)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - second).mean() > 10
    for one in (model(4), model(np.int64(4)), model(range(4, 5))):
        assert len(one) == 1
        assert np.abs(np.asarray(one[0]).astype(int) - first).max() <= 1
    np.testing.assert_array_equal(model.pictures(seed_latents([4, 5, 4], noise(16)))[1], second)


def test_a_run_folder_opens_too(noise_model):
    assert i2i.load(noise_model.parent).spec == ImageGenerator.open(noise_model).spec


def test_torch_and_onnx_make_the_same_pictures(noise_model, noise_onnx):
    latents = seed_latents(range(20), noise(16))
    ours, exported = (ImageGenerator.open(path, "cpu") for path in (noise_model, noise_onnx))
    np.testing.assert_allclose(exported.generate(latents), ours.generate(latents), atol=1e-5)
    for one, other in zip(ours.pictures(latents), exported.pictures(latents), strict=True):
        assert one.shape == (32, 32, 3)
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_neighbours_do_not_change_a_picture(noise_model, noise_onnx, kind):
    model = i2i.load(noise_model if kind == "torch" else noise_onnx, device="cpu")
    latents = seed_latents(range(70), noise(16))  # more than one batch
    together = model.generate(latents)
    assert (together.shape, together.dtype) == ((70, 3, 32, 32), np.float32)
    assert np.abs(together).max() <= 1
    for k in (0, 63, 64, 69):
        np.testing.assert_allclose(model.generate(latents[k : k + 1])[0], together[k], atol=1e-5)


def test_training_uses_it_on_its_own_network(noise_model):
    spec = read_spec(noise_model)
    network = load_generator(noise_model, spec, GENERATE)
    model = ImageGenerator(spec, TorchBackend(network, "cpu"))
    latents = seed_latents([1, 2], noise(16))
    np.testing.assert_array_equal(model.generate(latents), ImageGenerator.open(noise_model, "cpu").generate(latents))


@pytest.mark.parametrize(("channels", "meaning", "mode"), [(1, "grey", "L"), (4, "rgba", "RGBA")])
def test_grey_and_alpha(tmp_path, channels, meaning, mode):
    from i2i.networks import DCGANGenerator

    arguments = {"out_channels": channels, "size": 32, "latent": 5, "width": 2}
    file = save_from_noise(tmp_path, "dcgan", arguments, DCGANGenerator(**arguments), meaning, 32)
    assert i2i.load(file)(0)[0].mode == mode


def test_a_walk_is_smooth(noise_model):
    """Pictures change evenly along a walk: no step exceeds 4 times the median."""
    model = ImageGenerator.open(noise_model, "cpu")
    steps = []
    for seed in range(50):
        pictures = model.generate(walk(seed_latents([2 * seed, 2 * seed + 1], noise(16)), noise(16), 16))
        steps += np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3)).tolist()
    assert min(steps) > 1e-3  # the pictures do change
    assert max(steps) <= 4 * np.median(steps)


def test_points(point_model):
    model = i2i.load(point_model)
    assert model.points(seed_latents(range(100), noise(2))).shape == (100, 2)
    with pytest.raises(ModelError, match="points"):
        model(3)


def test_each_kind_of_model_says_how_to_use_it(tiny_run, noise_model, noise_onnx):
    for model in (noise_model, noise_onnx):
        with pytest.raises(UsageError, match="i2i generate"):
            Translator.open(model)
        with pytest.raises(UsageError, match="i2i generate"):
            i2i.load(model, direction="A2B")
    with pytest.raises(UsageError, match="i2i translate"):
        ImageGenerator.open(tiny_run)
    with pytest.raises(ModelError, match="points"):
        i2i.load(noise_model).points(seed_latents([1], noise(16)))
    with pytest.raises(UsageError, match="gpu"):
        ImageGenerator.open(noise_model, "gpu")


def test_latents_that_do_not_fit_are_named(noise_model):
    model = i2i.load(noise_model)
    for wrong in (np.zeros((2, 15), np.float32), np.zeros(16, np.float32), np.zeros((2, 16), int), np.zeros((0, 16))):
        with pytest.raises(ModelError, match=r"\(N, 16\)"):
            model.generate(wrong)
    with pytest.raises(UsageError, match="-3"):
        model(-3)
    with pytest.raises(ModelError, match="NaN"):
        model.pictures(np.full((1, 16), np.nan))


def test_pictures_are_rounded_like_all_others(noise_model):
    model = i2i.load(noise_model)
    latents = seed_latents([9], noise(16))
    np.testing.assert_array_equal(model.pictures(latents)[0], from_unit(model.generate(latents)[0]))
