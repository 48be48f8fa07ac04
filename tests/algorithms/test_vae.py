"""The VAE: its bound by hand, the way back, and what comes of a weight of KL."""

import math

import numpy as np
import pytest
import torch

import i2i
from i2i.algorithms.vae import VAE, draw, kl_to_standard_normal, negative_log_likelihood
from i2i.errors import ConfigError, UsageError
from i2i.images import read_image, to_unit
from i2i.runtime.encoder import ImageEncoder
from tests.cli.test_cli import call
from tests.conftest import save, smallest_config


def test_kl_by_hand():
    """Of N(0, 1) itself it is 0; a mean of 2 costs 2, and a variance of e costs (e - 2) / 2."""
    zero = torch.zeros(1, 3)
    assert kl_to_standard_normal(zero, zero).item() == 0
    assert kl_to_standard_normal(torch.tensor([[2.0, 0, 0]]), zero).item() == pytest.approx(2)
    assert kl_to_standard_normal(zero, torch.tensor([[1.0, 0, 0]])).item() == pytest.approx((math.e - 2) / 2)
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert kl_to_standard_normal(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_likelihood_is_that_of_a_normal_distribution():
    image, restored = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    density = torch.distributions.Normal(restored, 1.0).log_prob(image).sum((1, 2, 3)).mean()
    constant = 48 * math.log(2 * math.pi) / 2
    assert negative_log_likelihood(image, restored).item() == pytest.approx(-density.item() - constant, rel=1e-5)


def test_draws_have_their_mean_and_variance_and_pass_gradients():
    torch.manual_seed(0)
    mean = torch.tensor([[1.0, -2.0]], requires_grad=True)
    log_variance = torch.log(torch.tensor([[4.0, 0.25]])).requires_grad_()
    drawn = draw(mean.expand(20000, 2), log_variance.expand(20000, 2))
    assert drawn.mean(0).tolist() == pytest.approx([1, -2], abs=0.05)
    assert drawn.var(0).tolist() == pytest.approx([4, 0.25], rel=0.05)
    assert all(one.any() for one in torch.autograd.grad(drawn.square().sum(), [mean, log_variance]))


def test_without_kl_the_bound_is_the_reconstruction_alone(few_pairs):
    algorithm = VAE(smallest_config("vae", few_pairs, "loss.kl={from: 0, to: 1, over_images: 100}"))
    assert algorithm.weights() == {"G_reconstruction": 1.0, "G_KL": 0.0}
    algorithm.begin(50, 100)
    assert algorithm.weights()["G_KL"] == 0.5
    assert not algorithm.adversaries


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("discriminator.name=dcgan", "discriminator"),
        ("optimizer.lr_discriminator=1e-3", "lr_discriminator"),
        ("generator.name=unet", "dcgan"),
    ],
)
def test_what_it_has_no_use_for_is_refused_by_name(tmp_path, few_pairs, change, named):
    settings = [f"data.path={few_pairs}", "data.side=B", "data.channels=3", "data.resize_px=36", change]
    with pytest.raises(ConfigError, match=named):
        i2i.train(i2i.load_config("vae_digits", settings), tmp_path / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory, few_pairs):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("vae") / "run"
    i2i.train(smallest_config("vae", few_pairs), folder)
    return folder


def test_pictures_become_latents_and_latents_pictures(run, tmp_path, monkeypatch, capsys):
    """The rows of `encode` are the means, in the order of the names, and `generate` takes them."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png", 32, 32, seed=number)
    assert call("encode", "photos", "-m", str(run), "-o", "z.npy") == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["0", "1", "2"]
    assert [line.rpartition("/")[2] for line in said] == ["0.png", "1.png", "2.png"]
    latents, encoder = np.load("z.npy"), ImageEncoder.open(run)
    values = np.stack([to_unit(read_image(tmp_path / "photos" / f"{number}.png")) for number in range(3)])
    with torch.inference_mode():
        both = encoder.backend.network(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(latents, both[:, : latents.shape[1]], atol=1e-5)
    assert both.shape[1] == 2 * latents.shape[1] == 2 * i2i.load(run).latent
    i2i.export(run, "m.onnx")
    for model, name in ((run, "torch.png"), ("m.onnx", "onnx.png")):
        assert call("generate", "-m", str(model), "--latents", "z.npy", "-o", name) == 0
    difference = read_image(tmp_path / "torch.png").astype(int) - read_image(tmp_path / "onnx.png")
    assert np.abs(difference).max() <= 1
    assert i2i.load("m.onnx").spec.encoder is None


def test_pictures_of_other_sizes_are_resized_only_where_asked(run, tmp_path):
    path, encoder = save(tmp_path / "wide.png", 20, 50), ImageEncoder.open(run)
    with pytest.raises(UsageError, match=r"50x20.*--fit"):
        encoder([path])
    assert encoder([path], resize=True).shape == (1, i2i.load(run).latent)


def test_models_without_an_encoder_are_refused(noise_model, tiny_run):
    for model in (noise_model, tiny_run):
        with pytest.raises(UsageError, match="encoder"):
            ImageEncoder.open(model)


@pytest.mark.slow
def test_kl_brings_the_latents_to_the_prior(few_pairs, tmp_path):
    """With its weight, codes have about the variance of the prior; without it, the control, they spread."""
    spread = {}
    for weight in (4, 0):
        settings = [f"loss.kl={weight}", "generator.width=8", "schedule.images=1000", "schedule.decay_images=0"]
        logs = ["log.every_images=200", "log.samples_every_images=1000", "log.checkpoint_every_images=1000"]
        i2i.train(smallest_config("vae", few_pairs, *settings, *logs), tmp_path / str(weight))
        paths = [save(tmp_path / f"{number}.png", 32, 32, seed=number) for number in range(20)]
        spread[weight] = float(ImageEncoder.open(tmp_path / str(weight))(paths).std())
    assert spread[4] < 2 < spread[0]
