"""The global generator of pix2pixHD: recognised from its tensors, and the same pictures."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from i2i.algorithms import ALGORITHMS
from i2i.errors import ExportError, ModelError
from i2i.interop.exporting import export_weights
from i2i.interop.importing import import_weights
from i2i.models.modelfile import save_tensors
from i2i.training.finetune import init_from
from tests.conftest import smallest_config
from tests.interop.test_pytorch_cyclegan_pix2pix import outputs_of, pictures


class WithInput(nn.Module):
    """Adds a stack's input to its output; the stack has the name that their files give it."""

    def __init__(self, stack):
        super().__init__()
        self.conv_block = stack

    def forward(self, x):
        return x + self.conv_block(x)


def global_generator(halvings, blocks, norm, width=2, inputs=3, outputs=3):
    """Written from Wang et al. 2018, section 3.1 and the names in their files; every convolution has a bias."""
    torch.manual_seed(0)
    kind = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}[norm]
    counts = [width * 2**level for level in range(halvings + 1)]
    parts = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7), kind(width), nn.ReLU()]
    for before, after in itertools.pairwise(counts):
        parts += [nn.Conv2d(before, after, 3, 2, 1), kind(after), nn.ReLU()]
    for _ in range(blocks):
        half = [nn.ReflectionPad2d(1), nn.Conv2d(counts[-1], counts[-1], 3), kind(counts[-1])]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(counts[-1], counts[-1], 3), kind(counts[-1])]
        parts.append(WithInput(nn.Sequential(*half, nn.ReLU(), *again)))
    for before, after in zip(counts[:0:-1], counts[-2::-1], strict=True):
        parts += [nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1), kind(after), nn.ReLU()]
    network = nn.Module()
    network.model = nn.Sequential(*parts, nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh())
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_normal_(module.weight)
            nn.init.normal_(module.bias, 0.1, 0.3)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.mark.parametrize(("halvings", "blocks"), [(4, 9), (3, 2), (2, 6), (1, 1)])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_every_global_generator_gives_its_outputs(halvings, blocks, norm, tmp_path):
    network = global_generator(halvings, blocks, norm)
    path, x = tmp_path / "latest_net_G.pth", pictures(128)
    torch.save(network.state_dict(), path)
    with torch.no_grad():
        wanted = {"running": network.eval().model(x).numpy(), "image": network.train().model(x).numpy()}
        exact = network.double().model(x.double()).numpy()
    rounding = np.abs(exact - wanted["image"]).max()  # of torch itself, which depends on the processor
    assert rounding < 3e-5
    for statistics, output in wanted.items():
        model = import_weights([path], norm_statistics=statistics)
        arguments = model.spec.generators["A2B"].arguments
        assert (arguments.get("halvings", 2), arguments["blocks"], arguments["norm"]) == (halvings, blocks, norm)
        save_tensors(tmp_path / "model.safetensors", model.spec, model.tensors)
        np.testing.assert_allclose(outputs_of(tmp_path / "model.safetensors", x), output, atol=max(1e-5, 2 * rounding))
        assert output.std() > 0.005
    assert model.spec.generators["A2B"].size_multiple == 2**halvings
    if norm == "batch":
        assert np.abs(wanted["image"] - wanted["running"]).max() > 0.01
    if halvings != 2:
        assert model.spec.algorithm == "pix2pixHD"
        assert f"{halvings} halvings" in model.words["A2B"]
        with pytest.raises(ExportError, match=f"{halvings} halvings"):
            export_weights(tmp_path / "model.safetensors", tmp_path / "back.pth")


def test_a_bias_before_a_batch_norm_counts(tmp_path):
    """The control: without the biases the running statistics give other pictures."""
    network, x = global_generator(3, 1, "batch"), pictures(32)
    state = network.state_dict()
    torch.save(state, tmp_path / "with.pth")
    torch.save({name: one for name, one in state.items() if name != "model.1.bias"}, tmp_path / "without.pth")
    outputs = []
    for name in ("with", "without"):
        model = import_weights([tmp_path / f"{name}.pth"], norm_statistics="running")
        save_tensors(tmp_path / f"{name}.safetensors", model.spec, model.tensors)
        outputs.append(outputs_of(tmp_path / f"{name}.safetensors", x))
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_a_local_enhancer_is_refused_by_name(tmp_path):
    state = {f"model1_1.{name}": tensor for name, tensor in global_generator(3, 1, "instance").state_dict().items()}
    torch.save(state, tmp_path / "latest_net_G.pth")
    with pytest.raises(ModelError, match="local enhancer"):
        import_weights([tmp_path / "latest_net_G.pth"])


def test_a_training_begins_with_a_global_generator(tmp_path):
    torch.save(global_generator(3, 2, "instance").state_dict(), tmp_path / "latest_net_G.pth")
    settings = ["generator.halvings=3", "generator.blocks=2", "generator.downsample=strided"]
    settings += ["generator.upsample=transpose", "generator.norm=instance", "loss.layers=[input, down.0]"]
    algorithm = ALGORITHMS["cut"](smallest_config("cut", ".", *settings))
    lines = init_from(algorithm, str(tmp_path / "latest_net_G.pth"))
    count = len(algorithm.networks["generator"].state_dict())
    assert f"{count} of {count} tensors" in lines[0]
