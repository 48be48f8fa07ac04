"""Spectral and weight norm, folded as torch's own eval mode computes them, and raw .safetensors weights."""

import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.errors import ModelError
from i2i.interop.importing import import_weights
from i2i.interop.reparametrised import fold_norms
from i2i.models.modelfile import read_spec, save_tensors
from i2i.training.finetune import init_from
from tests.conftest import smallest_config
from tests.interop.test_pytorch_cyclegan_pix2pix import outputs_of, pictures, reference

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = {
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": nn.utils.spectral_norm,
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": nn.utils.weight_norm,
}


def under_norm(kind, norm, x):
    """A generator under a norm, trained for a step, so that the estimate of the norm is not the norm."""
    network = reference(kind, "instance", width=2, outputs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the old ones
        for module in list(network.modules()):
            if isinstance(module, CONVOLUTIONS):
                NORMS[norm](module)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network.train()(x).square().mean().backward()
    optimizer.step()
    return network.eval()


@pytest.mark.parametrize("kind", ["unet_128", "resnet_6blocks"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_generator_under_a_norm_gives_its_outputs(kind, norm, tmp_path):
    """In a U-Net's middle both axes are alike."""
    x = pictures(128)
    network = under_norm(kind, norm, x)
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    with torch.no_grad():
        wanted = network(x).numpy()
    assert wanted.std() > 0.005
    output = outputs_of(tmp_path / "latest_net_G.pth", x)
    assert abs(output - wanted).max() < 1e-5


def test_a_training_begins_with_a_generator_under_a_norm(tmp_path):
    """With what its convolutions compute in eval mode; the tensors as stored would give other pictures."""
    x = pictures(64)
    network = under_norm("resnet_6blocks", "spectral_norm", x)
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    settings = ["generator.width=2", "generator.blocks=6", "generator.norm=instance", "generator.upsample=transpose"]
    settings += ["generator.downsample=strided", "loss.layers=[input, down.0]"]
    algorithm = ALGORITHMS["cut"](smallest_config("cut", ".", *settings))
    ours = algorithm.networks["generator"].eval()
    before = ours(x)
    lines = init_from(algorithm, str(tmp_path / "latest_net_G.pth"))
    count = len(ours.state_dict())
    assert f"{count} of {count} tensors" in lines[0]
    with torch.no_grad():
        torch.testing.assert_close(ours(x), network(x), rtol=0, atol=1e-5)
        assert (before - network(x)).abs().max() > 0.01


def test_folded_weights_are_those_of_torch():
    """Each alone, and also as torch before 1.0 stored it, with the weight beside its parts."""
    torch.manual_seed(0)
    for module in (nn.Conv2d(3, 5, 3), nn.ConvTranspose2d(4, 4, 3), nn.ConvTranspose2d(4, 5, 3)):
        plain = {"weight"} if isinstance(module, nn.ConvTranspose2d) else set()
        normed = parametrizations.spectral_norm(module).train()
        normed.weight.sum().backward()
        folded = fold_norms(normed.state_dict(), plain)
        parametrize.remove_parametrizations(normed.eval(), "weight")
        assert set(folded) == {"weight", "bias"}
        torch.testing.assert_close(folded["weight"], normed.weight, rtol=0, atol=0)
    stored = {"a.weight": torch.ones(2, 2, 1, 1), "a.weight_orig": torch.zeros(2, 2, 1, 1), "a.weight_u": torch.ones(2)}
    assert set(fold_norms(stored)) == {"a.weight"}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a.weight_orig": torch.ones(2, 3, 1, 1), "a.weight_u": torch.ones(2)}, "remove_parametrizations"),
        ({"a.module.weight_bar": torch.ones(2, 3, 1, 1)}, "reparametrised"),
        ({"a.parametrizations.weight.original": torch.ones(2, 3, 1, 1)}, "reparametrised"),
        (dict.fromkeys(("weight_orig", "weight_u", "weight_v"), torch.ones(())), "damaged"),
        (dict.fromkeys(("weight_orig", "weight_u", "weight_v"), torch.ones(2, 2, dtype=torch.int8)), "damaged"),
        ({"weight_g": torch.ones(5, 1), "weight_v": torch.ones(2, 2)}, "damaged"),
        ({"weight_g": torch.ones(5), "weight_v": torch.ones(5)}, "damaged"),
    ],
)
def test_what_cannot_be_folded_is_named(state, words, tmp_path):
    torch.save(state, tmp_path / "latest_net_G.pth")
    with pytest.raises(ModelError, match=words) as caught:
        import_weights([tmp_path / "latest_net_G.pth"])
    assert len(str(caught.value).splitlines()) <= 3


def test_raw_safetensors_are_recognised_as_torch_files_are(tmp_path):
    network = reference("resnet_6blocks", "instance", outputs=3)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "netG_B2A.safetensors")
    torch.save(state, tmp_path / "netG_B2A.pth")
    assert read_spec(tmp_path / "netG_B2A.safetensors") == read_spec(tmp_path / "netG_B2A.pth")
    x = pictures(64)
    one, other = (outputs_of(tmp_path / f"netG_B2A.{kind}", x) for kind in ("safetensors", "pth"))
    assert (one == other).all()
    model = import_weights([tmp_path / "netG_B2A.safetensors"])
    assert list(model.tensors) == ["B2A"]


def test_safetensors_that_are_no_generator_are_refused_with_the_next_step(tiny_run, tmp_path):
    model = i2i.load(tiny_run)
    tensors = {"B2A": model.backend.network.state_dict()}
    save_file({f"B2A.{name}": tensor for name, tensor in tensors["B2A"].items()}, tmp_path / "lost.safetensors")
    with pytest.raises(ModelError, match=r"i2i train"):
        i2i.load(tmp_path / "lost.safetensors")
    save_tensors(tmp_path / "described.safetensors", model.spec, tensors)
    with pytest.raises(i2i.I2IError, match="model file"):
        import_weights([tmp_path / "described.safetensors"])
    save_file({"encoder.weight": torch.ones(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors"):
        i2i.load(tmp_path / "other.safetensors")
