"""VAE-GAN: whose gradient has which weight, and what the discriminator sees."""

import pytest
import torch

from i2i.algorithms.vae_gan import VAEGAN, scale_gradient
from tests.conftest import smallest_config


def vae_gan(data, *overrides):
    torch.manual_seed(0)
    return VAEGAN(smallest_config("vae_gan", data, *overrides))


def test_a_gradient_is_scaled_and_a_value_is_not():
    value = torch.tensor([0.3, -2.0], requires_grad=True)
    scaled = scale_gradient(value, 5.0)
    torch.testing.assert_close(scaled, value)
    assert torch.autograd.grad(scaled.sum(), value)[0].tolist() == [5.0, 5.0]


def gradients(algorithm, terms, outputs, name):
    """The gradient of one weighted term of the autoencoder in both networks."""
    torch.manual_seed(1)
    term = algorithm.weights()[name] * terms[name]
    found = {}
    for network in ("encoder", "generator"):
        weights = list(algorithm.networks[network].parameters())
        parts = torch.autograd.grad(term, weights, retain_graph=True, materialize_grads=True, allow_unused=True)
        found[network] = torch.cat([part.flatten() for part in parts])
    return found


def step(algorithm):
    torch.manual_seed(1)
    batch = {"image": torch.rand(4, 3, 32, 32) * 2 - 1}
    outputs = algorithm.forward(batch)
    return algorithm.losses("autoencoder", batch, outputs), outputs


def test_the_encoder_learns_from_the_prior_and_likeness_alone(few_pairs):
    """Algorithm 1: its likeness has weight 1 whatever gamma is, the generator's has gamma, and GAN is not its own."""
    settings = ["generator.norm=none", "discriminator.norm=none"]
    found = {}
    for gamma in (0.5, 0.05):
        algorithm = vae_gan(few_pairs, f"loss.likeness={gamma}", *settings)
        terms, outputs = step(algorithm)
        found[gamma] = gradients(algorithm, terms, outputs, "G_likeness")
        of_gan = gradients(algorithm, terms, outputs, "G_GAN")
        assert not of_gan["encoder"].any()
        assert of_gan["generator"].any()
        assert not gradients(algorithm, terms, outputs, "G_KL")["generator"].any()
    torch.testing.assert_close(found[0.5]["encoder"], found[0.05]["encoder"], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[0.5]["generator"], 10 * found[0.05]["generator"], rtol=1e-3, atol=1e-5)
    assert found[0.5]["encoder"].any()


def test_half_of_the_fakes_are_restored_and_half_are_samples(few_pairs):
    """Without norms, an image depends on its own latent alone: the first half is what the decoder makes of z."""
    algorithm = vae_gan(few_pairs, "generator.norm=none")
    _, outputs = step(algorithm)
    assert outputs["fake"].shape == outputs["restored"].shape
    torch.testing.assert_close(outputs["fake"][:2], outputs["restored"][:2])
    assert not torch.allclose(outputs["fake"][2:], outputs["restored"][2:])


@pytest.mark.parametrize("layer", ["first", "middle", "last"])
def test_likeness_is_half_the_squared_distance_of_features(few_pairs, layer):
    algorithm = vae_gan(few_pairs, f"loss.layer={layer}", "discriminator.norm=none")
    terms, outputs = step(algorithm)
    torch.manual_seed(1)
    real = torch.rand(4, 3, 32, 32) * 2 - 1
    judge, place = algorithm.networks["discriminator"], {"first": 0, "middle": 1, "last": 2}[layer]
    one, other = (judge(image).features[place] for image in (real, outputs["restored"]))
    expected = (one - other).square().sum((1, 2, 3)).mean() / 2
    assert terms["G_likeness"].item() == pytest.approx(expected.item(), rel=1e-5)
