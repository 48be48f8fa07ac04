"""Latents of pictures by optimisation, against least squares, and against what needs no optimisation."""

import numpy as np
import torch
from torch import nn

from i2i.images import read_image, write_image
from i2i.models.spec import ENCODE, GENERATE, LatentBlock, ModelSpec, encoding, generating
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.inverter import Inverter
from i2i.runtime.latents import seed_latents
from tests.cli.test_cli import call
from tests.conftest import noise


class Linear(nn.Module):
    """G(z) = A z, an image of 2 px."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def forward(self, latent):
        return (latent @ self.matrix.T).reshape(-1, 1, 2, 2)


def linear(matrix, *blocks):
    part = generating("dcgan", {}, blocks, 1, 2)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="gan",
        parts={GENERATE: part},
        norm_statistics="running",
        trained_crop_px=2,
        trained_side_px=2,
    )
    return Inverter(spec, {GENERATE: Linear(torch.from_numpy(matrix))}, "cpu")


def test_the_latent_is_that_of_least_squares():
    matrix = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32) / 4
    image = np.array([[[0.3, -0.4], [0.1, 0.7]]], np.float32)
    expected, *_ = np.linalg.lstsq(matrix, image.ravel(), rcond=None)
    inverter = linear(matrix, *noise(3))
    np.testing.assert_allclose(inverter(image).latent, expected, atol=1e-3)
    assert np.abs(inverter(image, steps=0).latent - expected).max() > 0.05  # the control


def test_a_uniform_number_stays_in_its_range_and_a_class_stays_one():
    blocks = (
        LatentBlock(name="code", size=1, prior="uniform"),
        LatentBlock(name="kind", size=2, prior="one_hot", classes=("dark", "bright")),
    )
    matrix = np.array([[0.1, -0.5, 0.5]] * 4, np.float32)
    found = linear(matrix, *blocks)(np.full((1, 2, 2), 0.9, np.float32))
    np.testing.assert_allclose(found.latent, [1, 0, 1])
    assert found.reach == 0
    dark = linear(matrix, *blocks)(np.full((1, 2, 2), 0.9, np.float32), labels=["dark"])
    np.testing.assert_allclose(dark.latent, [1, 1, 0])


def test_a_picture_of_the_model_is_found_again_and_one_of_another_kind_is_not(noise_model):
    inverter = Inverter.open(noise_model, "cpu")
    own = inverter.generator.generate(seed_latents([1234], noise(16)))[0]
    found = inverter(own)
    other = inverter(np.random.default_rng(0).uniform(-1, 1, own.shape).astype(np.float32))
    assert found.error.l1 < 1
    assert found.error.psnr > 45
    assert min(found.drawn.l1, found.mean.l1) > 20 * found.error.l1
    assert other.error.l1 > 20 * found.error.l1
    assert found.encoded is None
    assert inverter(own, steps=1, seed=1234).error.l1 == 0  # a step away from a draw that is right is not taken
    control = inverter(own, steps=0)
    assert control.error == control.drawn == found.drawn


def test_an_encoder_gives_a_further_start():
    """Here, the very latent; what the user fixes, it would ignore."""
    matrix = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32) / 4
    inverter = linear(matrix, *noise(3))
    latent = np.array([1.5, -0.5, 0.7], np.float32)
    image = (matrix @ latent).reshape(1, 2, 2)
    assert inverter(image, steps=0).error.l1 > 1
    part = encoding("dcgan", {}, noise(3), 1, 2)
    spec = inverter.generator.spec
    spec = spec.model_copy(update={"parts": {**spec.parts, ENCODE: part}})
    encoder = Linear(torch.linalg.pinv(inverter.network.matrix))
    encoder.forward = lambda images: images.flatten(1) @ encoder.matrix.T
    found = Inverter(spec, {GENERATE: inverter.network, ENCODE: encoder}, "cpu")(image, steps=0)
    assert found.error == found.encoded
    np.testing.assert_allclose(found.latent, latent, atol=1e-4)


def test_the_file_is_for_the_other_commands(noise_model, noise_onnx, tmp_path, monkeypatch, capsys):
    """Also for the exported file; and a - a + c is c."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "own.png", ImageGenerator.open(noise_model).pictures(seed_latents([7], noise(16)))[0])
    words = ["own.png", "-m", str(noise_model), "-o", "z.npy", "--sheet", "sheet.png"]
    assert call("invert", *words) == 0
    row, told = capsys.readouterr().out.split(": ", 1)
    assert row == "0 own.png"
    assert "best draw" in told
    assert (tmp_path / "sheet.png").exists()
    own = read_image(tmp_path / "own.png").astype(int)
    for model in (noise_model, noise_onnx):
        assert np.abs(ImageGenerator.open(model).pictures(np.load("z.npy"))[0] - own).mean() < 1
    sums = ["arithmetic", "-m", str(noise_onnx), "z.npy", "z.npy", "3", "-o", "sum.png", "--save-latents", "sum.npy"]
    assert call(*sums) == 0
    np.testing.assert_allclose(np.load("sum.npy"), seed_latents([3], noise(16)), atol=1e-6)
