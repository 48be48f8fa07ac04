"""Weights of other projects: recognised from their tensors, and the same pictures in every kind and norm."""

import itertools
import os
import re

import numpy as np
import pytest
import torch
from torch import nn

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.cli import cli
from i2i.errors import ExportError, ModelError, UsageError
from i2i.interop.directions import named_direction
from i2i.interop.exporting import export_weights
from i2i.interop.importing import import_weights
from i2i.interop.pytorch_cyclegan_pix2pix import convert, revert
from i2i.models.modelfile import save_tensors
from i2i.networks import GENERATORS, ResNet, TranslatingGenerator, UNet
from i2i.runtime import load
from i2i.runtime.backends import TorchBackend
from i2i.training.finetune import init_from
from tests.conftest import ORACLES, save, tiny_config

KINDS = ["unet_128", "unet_256", "resnet_6blocks", "resnet_9blocks"]
NORMS = ["batch", "instance", "none"]


class Level(nn.Module):
    """A level of the reference's U-Net around the next one, written from the paper and the names in its files."""

    def __init__(self, outer, inner, norm, inputs=None, submodule=None, dropout=False):
        super().__init__()
        bias = norm == "instance"
        self.outermost = inputs is not None
        width = inner if submodule is None else 2 * inner
        down = [nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)]
        up = [nn.ReLU(True), nn.ConvTranspose2d(width, outer, 4, 2, 1, bias=bias or self.outermost)]
        if self.outermost:
            up.append(nn.Tanh())
        else:
            down.insert(0, nn.LeakyReLU(0.2, True))
            down += [layer(norm, inner)] if submodule is not None else []
            up += [layer(norm, outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(*down, *([] if submodule is None else [submodule]), *up)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Named(nn.Module):
    """Puts `model.` before the names."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


class Block(nn.Module):
    """A residual block of the reference."""

    def __init__(self, count, norm, dropout):
        super().__init__()
        bias = norm == "instance"
        noise = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(count, count, 3, bias=bias), layer(norm, count), nn.ReLU(True), *noise),
            *(nn.ReflectionPad2d(1), nn.Conv2d(count, count, 3, bias=bias), layer(norm, count)),
        )

    def forward(self, x):
        return x + self.conv_block(x)


class Lowpass(nn.Module):
    """The filter of contrastive-unpaired-translation before halving and after doubling."""

    def __init__(self, count, line, doubles):
        super().__init__()
        square = torch.tensor(line)[:, None] * torch.tensor(line)[None]
        square = square / square.sum() * (4 if doubles else 1)
        self.register_buffer("filt", square.repeat(count, 1, 1, 1))
        self.doubles = doubles

    def forward(self, x):
        if not self.doubles:
            return nn.functional.conv2d(
                nn.functional.pad(x, [1] * 4, "reflect"), self.filt, stride=2, groups=x.shape[1]
            )
        wide = nn.functional.pad(x, [1] * 4, "replicate")
        return nn.functional.conv_transpose2d(wide, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


def layer(norm, count):
    if norm == "batch":
        return nn.BatchNorm2d(count)
    return nn.InstanceNorm2d(count) if norm == "instance" else nn.Identity()


def reference_unet(depth, norm, dropout, width, inputs, outputs):
    block = Level(8 * width, 8 * width, norm)
    for _ in range(depth - 5):
        block = Level(8 * width, 8 * width, norm, submodule=block, dropout=dropout)
    for count in (4, 2, 1):
        block = Level(count * width, 2 * count * width, norm, submodule=block)
    return Named(Level(outputs, width, norm, inputs=inputs, submodule=block))


def reference_resnet(blocks, norm, dropout, width, inputs, outputs, down=False, up=False):
    bias = norm == "instance"
    parts = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), layer(norm, width), nn.ReLU(True)]
    for count in (width, 2 * width):
        parts += [nn.Conv2d(count, 2 * count, 3, 1 if down else 2, 1, bias=bias), layer(norm, 2 * count), nn.ReLU(True)]
        parts += [Lowpass(2 * count, [1.0, 2.0, 1.0], False)] if down else []
    parts += [Block(4 * width, norm, dropout) for _ in range(blocks)]
    for count in (4 * width, 2 * width):
        if up:
            parts += [Lowpass(count, [1.0, 3.0, 3.0, 1.0], True), nn.Conv2d(count, count // 2, 3, 1, 1, bias=bias)]
        else:
            parts.append(nn.ConvTranspose2d(count, count // 2, 3, 2, 1, output_padding=1, bias=bias))
        parts += [layer(norm, count // 2), nn.ReLU(True)]
    return Named(nn.Sequential(*parts, nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()))


def reference(kind, norm, dropout=False, width=2, inputs=3, outputs=1, **antialiased):
    """The reference's generator of that name, with weights and statistics that leave no layer idle."""
    torch.manual_seed(0)
    if kind.startswith("unet"):
        network = reference_unet({"unet_128": 7, "unet_256": 8}[kind], norm, dropout, width, inputs, outputs)
    else:
        network = reference_resnet(int(kind[7]), norm, dropout, width, inputs, outputs, **antialiased)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.xavier_normal_(parameter)
        else:
            nn.init.normal_(parameter, 0.1, 0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def without_dropout(network):
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def pictures(side):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def outputs_of(path, x):
    """The output of i2i for x with a file, opened as every model is."""
    translator = load(path, device="cpu")
    assert isinstance(translator.backend, TorchBackend)
    return translator.backend.run(x.numpy())


ALL = [
    *((kind, norm, dropout, {}) for kind, norm, dropout in itertools.product(KINDS, NORMS, [False, True])),
    *(
        ("resnet_6blocks", norm, False, {"down": down, "up": up})
        for norm, down, up in itertools.product(NORMS, [False, True], [False, True])
        if down or up
    ),
]


@pytest.mark.parametrize(("kind", "norm", "dropout", "antialiased"), ALL)
def test_every_generator_of_theirs_gives_its_outputs_and_goes_back(kind, norm, dropout, antialiased, tmp_path):
    network = reference(kind, norm, dropout, **antialiased)
    path = tmp_path / "latest_net_G.pth"
    torch.save(network.state_dict(), path)
    model = import_weights([path])
    generator = model.spec.generators["A2B"]
    assert generator.network == kind.split("_")[0]
    assert (generator.in_channels, generator.out_channels) == (3, 1)
    assert generator.arguments["width"] == 2
    assert generator.arguments["norm"] == norm
    assert generator.arguments.get("depth") == {"unet_128": 7, "unet_256": 8}.get(kind)
    assert generator.arguments.get("blocks") == {"resnet_6blocks": 6, "resnet_9blocks": 9}.get(kind)
    assert generator.arguments["dropout"] == (0.5 if dropout and kind.startswith("resnet") else 0)

    x = pictures(256 if kind == "unet_256" else 128)
    wanted = {}
    with torch.no_grad():
        wanted["running"] = without_dropout(network).eval()(x).numpy()
        wanted["image"] = network.train()(x).numpy()
    for statistics, output in wanted.items():
        model = import_weights([path], norm_statistics=statistics)
        save_tensors(tmp_path / "model.safetensors", model.spec, model.tensors)
        np.testing.assert_allclose(outputs_of(tmp_path / "model.safetensors", x), output, atol=1e-5)
        assert output.std() > 0.005
        assert np.mean(np.abs(output) < 0.95) > 0.5  # large enough to show a difference
    if norm == "batch":
        assert np.abs(wanted["image"] - wanted["running"]).max() > 0.01
    np.testing.assert_allclose(outputs_of(path, x), wanted["image"], atol=1e-5)

    options = export_weights(tmp_path / "model.safetensors", tmp_path / "back.pth")
    project = "G" if antialiased else ""  # contrastive-unpaired-translation sets the norm of each network apart
    assert f"--netG {kind} --norm{project} {norm} --ngf 2" in options[tmp_path / "back.pth"]
    back, first = (torch.load(one, weights_only=True) for one in (tmp_path / "back.pth", path))
    assert set(back) == set(first)
    assert all(torch.equal(back[name], first[name]) for name in first)
    reference(kind, norm, dropout, **antialiased).load_state_dict(back)


@pytest.mark.parametrize("name", ["unet_128_batch", "resnet_6_instance", "cut_resnet_6"])
def test_files_of_the_reference_itself_give_its_outputs(name, tmp_path):
    values = np.load(ORACLES / f"{name}.npz")
    model = import_weights([ORACLES / f"{name}.pth"], norm_statistics="running")
    save_tensors(tmp_path / "model.safetensors", model.spec, model.tensors)
    np.testing.assert_allclose(
        outputs_of(tmp_path / "model.safetensors", torch.from_numpy(values["x"])), values["y"], atol=1e-5
    )
    project = "contrastive-unpaired-translation" if name.startswith("cut") else "pytorch-CycleGAN-and-pix2pix"
    assert model.spec.algorithm == project


@pytest.mark.parametrize("age", ["statistics of instance norm", "DataParallel", "no counters", "wrapped"])
def test_old_and_wrapped_files_are_the_same_model(age, tmp_path):
    state = reference("resnet_6blocks", "batch" if age == "no counters" else "instance").state_dict()
    torch.save(state, tmp_path / "new.pth")
    if age == "statistics of instance norm":
        counts = {"model.2": 2, "model.5": 4, "model.10.conv_block.2": 8, "model.10.conv_block.6": 8}
        for norm, count in counts.items():
            state |= {f"{norm}.running_mean": torch.ones(count), f"{norm}.running_var": torch.ones(count)}
    elif age == "DataParallel":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    elif age == "no counters":
        state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    else:
        state = {"epoch": 3, "state_dict": state}
    torch.save(state, tmp_path / "old.pth")
    new, old = (import_weights([tmp_path / f"{name}.pth"]) for name in ("new", "old"))
    assert new.spec == old.spec
    for name, tensor in new.tensors["A2B"].items():
        assert torch.equal(tensor, old.tensors["A2B"][name]), name


OPTIONS = """----------------- Options ---------------
                crop_size: 128                           \t[default: 256]
                direction: {direction}
                load_size: 143                           \t[default: 286]
                    model: pix2pix                       \t[default: cycle_gan]
               preprocess: {preprocess}
----------------- End -------------------
"""


@pytest.mark.parametrize(
    ("names", "trained", "asked", "ways"),
    [
        (["latest_net_G"], None, None, ["A2B"]),
        (["latest_net_G"], None, "B2A", ["B2A"]),
        (["latest_net_G"], "BtoA", None, ["B2A"]),
        (["latest_net_G"], "BtoA", "A2B", ["A2B"]),
        (["latest_net_G_B"], "AtoB", None, ["B2A"]),
        (["latest_net_G_A", "latest_net_G_B"], None, None, ["A2B", "B2A"]),
        (["latest_net_G_B", "latest_net_G_A"], None, None, ["B2A", "A2B"]),
        (["latest_net_G_A", "latest_net_G_B"], "BtoA", None, ["B2A", "A2B"]),
        (["netG_B2A"], None, None, ["B2A"]),
        (["netG_B2A"], None, "A2B", ["A2B"]),
        (["netG_B2A"], "BtoA", None, ["B2A"]),
        (["netG_B2A", "netG_A2B"], None, None, ["B2A", "A2B"]),
        (["G_BA_200", "netG"], None, None, ["B2A", "A2B"]),
        (["netG", "genA2B"], None, None, ["B2A", "A2B"]),
        (["genh", "genz"], None, None, ["A2B", "B2A"]),
        (["genh", "genz"], "BtoA", None, ["B2A", "A2B"]),
    ],
)
def test_directions_come_from_the_names_and_the_options_beside(names, trained, asked, ways, tmp_path):
    for index, name in enumerate(names):
        torch.save(reference("resnet_6blocks", "instance", width=2 + index).state_dict(), tmp_path / f"{name}.pth")
    if trained:
        text = OPTIONS.format(direction=trained, preprocess="resize_and_crop")
        (tmp_path / "train_opt.txt").write_text(text, encoding="utf-8")
    spec = import_weights([tmp_path / f"{name}.pth" for name in names], asked).spec
    assert {way: one.arguments["width"] for way, one in spec.generators.items()} == {
        way: 2 + index for index, way in enumerate(ways)
    }
    assert list(spec.generators) == sorted(ways)
    assert (spec.trained_side_px, spec.trained_crop_px) == ((143, 128) if trained else (0, 0))


def test_sizes_missing_from_the_options_are_unknown(tmp_path):
    torch.save(reference("resnet_6blocks", "none").state_dict(), tmp_path / "latest_net_G.pth")
    for preprocess, sizes in (("crop", (0, 128)), ("none", (0, 0)), ("scale_width", (143, 143))):
        text = OPTIONS.format(direction="AtoB", preprocess=preprocess).encode() + os.urandom(50)
        (tmp_path / "train_opt.txt").write_bytes(text)
        spec = import_weights([tmp_path / "latest_net_G.pth"]).spec
        assert (spec.trained_side_px, spec.trained_crop_px) == sizes


def test_a_size_that_no_training_has_is_unknown(tmp_path):
    torch.save(reference("resnet_6blocks", "none").state_dict(), tmp_path / "latest_net_G.pth")
    text = OPTIONS.format(direction="AtoB", preprocess="crop").replace("128", "99999")
    (tmp_path / "train_opt.txt").write_text(text, encoding="utf-8")
    assert import_weights([tmp_path / "latest_net_G.pth"]).spec.trained_crop_px == 0


def test_any_suffix_can_be_imported(tmp_path):
    for name in ("weights.ckpt", "weights"):
        torch.save(reference("resnet_6blocks", "none").state_dict(), tmp_path / name)
        assert list(import_weights([tmp_path / name]).tensors) == ["A2B"]


def test_nan_weights_are_not_imported(tmp_path):
    state = reference("resnet_6blocks", "none").state_dict()
    state["model.1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "latest_net_G.pth")
    with pytest.raises(ModelError, match="NaN"):
        import_weights([tmp_path / "latest_net_G.pth"])


def discriminator():
    return Named(nn.Sequential(nn.Conv2d(6, 4, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(4, 1, 4))).state_dict()


def zero_padded():
    """A generator that their class can build but their commands cannot: no padding layer, other indices."""
    state = reference("resnet_6blocks", "instance").state_dict()
    moved = {"1": "0", "5": "3"}
    return {
        f"{name.split('conv_block.')[0]}conv_block.{moved[name.split('.')[3]]}.{name.split('.')[4]}"
        if "conv_block" in name
        else name: tensor
        for name, tensor in state.items()
    }


def changed(**tensors):
    state = reference("resnet_6blocks", "instance", down=True).state_dict()
    changes = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in (state | changes).items() if tensor is not None}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (discriminator, r"model\.0\.weight, .*model\.2\.bias.*discriminator"),
        (lambda: {"layers.0.weight": torch.zeros(2)}, r"layers\.0\.weight"),
        (zero_padded, r"resnet_6blocks, .*\n.*model\.10\.conv_block\.0\.weight"),
        (lambda: changed(extra=torch.zeros(2)), "extra"),
        (lambda: changed(model__4__bias=None), r"model\.4\.bias \(missing\)"),
        (lambda: changed(model__4__bias=torch.zeros(3)), r"model\.4\.bias \(3, not 4\)"),
        (lambda: changed(model__4__bias=torch.zeros(4, dtype=torch.int8)), r"model\.4\.bias \(int8\)"),
        (lambda: changed(model__7__filt=torch.ones(4, 1, 3, 3)), r"model\.7\.filt \(another filter\)"),
        (lambda: changed(model__1__weight=torch.zeros(())), "generator"),
        (lambda: changed(model__1__weight=torch.zeros(0, 3, 7, 7)), "generator"),
        (lambda: changed(model__1__weight=torch.zeros(10**7, 1, 1, 1)), r"model\.1\.weight.*10000000x1x1x1"),
        (lambda: reference("resnet_6blocks", "none", outputs=2).state_dict(), "3 channels.* 2"),
        (lambda: reference_unet(10, "none", False, 1, 3, 3).state_dict(), "4 to 9 levels"),
    ],
)
def test_tensors_of_other_networks_are_named(state, words, tmp_path):
    path = tmp_path / "latest_net_G.pth"
    torch.save(state(), path)
    with pytest.raises(ModelError, match=words) as caught:
        import_weights([path])
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) <= 3


def with_bias():
    network = ResNet(blocks=6, width=2, norm="none")
    nn.init.ones_(network.stem[1].bias)
    return network


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: UNet(depth=5, width=2), "U-Net of depth 5"),
        (lambda: UNet(depth=7, width=2, upsample="resize"), "resizing"),
        (lambda: ResNet(blocks=3, width=2), "3 residual blocks"),
        (with_bias, "bias"),
    ],
)
def test_networks_that_they_lack_are_not_exported(network, words):
    with pytest.raises(ExportError, match=words):
        revert(network())


@pytest.fixture
def command(capsys):
    """The command line in this process; what it printed, and what it printed as an error."""

    def run(*words):
        cli.main([str(word) for word in words], standalone_mode=False)
        return capsys.readouterr()

    return run


def test_both_directions_on_the_command_line(tmp_path, command):
    states, files = {}, {way: tmp_path / f"latest_net_G_{way}.pth" for way in "AB"}
    for way, width in (("A", 2), ("B", 3)):
        states[way] = reference("resnet_6blocks", "instance", width=width, inputs=3, outputs=3).state_dict()
        torch.save(states[way], files[way])
    model = tmp_path / "zebras.safetensors"
    said = command("import", *files.values(), "-o", model).out
    for way, letter, width in (("A2B", "A", 2), ("B2A", "B", 3)):
        assert re.search(
            rf"{way} .*{re.escape(str(files[letter]))} .*resnet_6blocks, width {width}, instance .*rgb", said
        )
    assert "trained" not in command("info", files["B"]).out  # nothing is known of that
    save(tmp_path / "photo.png", 40, 50)
    for source, more in ((model, ["--direction", "B2A"]), (files["B"], [])):
        said = command("translate", tmp_path / "photo.png", "-m", source, "-o", tmp_path / f"{source.stem}.png", *more)
        assert "trained" not in said.err
    assert (tmp_path / "zebras.png").read_bytes() == (tmp_path / "latest_net_G_B.png").read_bytes()
    words = ["--direction", "both", "-o", tmp_path / "new_net_G.pth"]
    said = command("export", model, *words).out
    assert "--netG resnet_6blocks --norm instance --ngf 2 --input_nc 3 --output_nc 3 --no_dropout" in said
    for way, state in states.items():
        back = torch.load(tmp_path / f"new_net_G_{way}.pth", weights_only=True)
        assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("stem", "direction"),
    [
        *((stem, "A2B") for stem in ("netG_A2B", "genA2B", "a2b", "photo_AtoB", "A_to_B", "G_AB_199", "10_net_G_A")),
        *((stem, "B2A") for stem in ("netG_B2A", "net_g_b", "G_B2A_latest", "G_B-200", "zebras_b_to_a", "G_A_BtoA")),
        *((stem, None) for stem in ("latest_net_G", "RGBA2BGR", "debug_a", "cycle_A2B_B2A", "G_Adam", "png_a")),
    ],
)
def test_names_show_directions(stem, direction):
    assert named_direction(stem) == direction


def test_the_lines_say_which_file_became_which(tmp_path, command):
    names = ["netG_B2A", "netG_A2B", "genh", "genz"]
    state = reference("resnet_6blocks", "instance").state_dict()
    files = [tmp_path / f"{name}.pth" for name in names]
    for file in files:
        torch.save(state, file)
    said = command("import", *files[:2], "-o", tmp_path / "named.safetensors")
    assert re.search(rf"A2B from {re.escape(str(files[1]))} .*\bname\b.* resnet_6blocks", said.out)
    assert re.search(rf"B2A from {re.escape(str(files[0]))} .*\bname\b.* resnet_6blocks", said.out)
    assert said.err == ""
    said = command("import", *files[2:], "-o", tmp_path / "ordered.safetensors")
    assert re.search(rf"A2B from {re.escape(str(files[2]))} .*\border\b", said.out)
    assert "genz.pth is B2A" in said.err
    said = command("import", files[0], "--direction", "A2B", "-o", tmp_path / "asked.safetensors")
    assert "netG_B2A.pth is named B2A" in said.err
    with pytest.raises(UsageError, match="A2B"):
        import_weights([tmp_path / "x" / "netG_A2B.pth", tmp_path / "y" / "G_AB.pth"])


def test_files_and_directions_must_agree(tmp_path):
    path = tmp_path / "latest_net_G.pth"
    with pytest.raises(UsageError, match="--direction"):
        import_weights([path, path], "A2B")
    with pytest.raises(UsageError, match="3 files"):
        import_weights([path] * 3)


def test_converter_refuses_another_depth():
    state = torch.load(ORACLES / "unet_128_batch.pth", weights_only=True)
    with pytest.raises(ModelError, match="unet_64"):
        convert(state, UNet(depth=6, width=8))


TRANSLATING = [
    name for name, kind in GENERATORS.items() if isinstance(kind, type) and issubclass(kind, TranslatingGenerator)
]


@pytest.mark.parametrize("name", TRANSLATING)
def test_every_generator_is_theirs_or_refused(name):
    network = GENERATORS[name](3, 3, width=4)
    if name in ("unet", "resnet"):
        assert revert(network)
    else:
        with pytest.raises(ExportError, match=type(network).__name__):
            revert(network)


def test_an_imported_model_is_exported_to_onnx(tmp_path):
    for seed in range(3):
        save(tmp_path / "photos" / f"{seed}.png", 40, 50, seed=seed)
    torch.save(reference("resnet_6blocks", "batch", outputs=3).state_dict(), tmp_path / "latest_net_G.pth")
    spec = i2i.export(tmp_path / "latest_net_G.pth", tmp_path / "model.onnx", verify=tmp_path / "photos").spec
    assert spec.proof is not None
    assert spec.proof.max_difference < 1e-4
    picture = tmp_path / "photos" / "0.png"
    outputs = [np.asarray(load(tmp_path / name)(picture), int) for name in ("model.onnx", "latest_net_G.pth")]
    assert np.abs(outputs[0] - outputs[1]).max() <= 1


def test_a_training_begins_with_imported_weights(tmp_path):
    torch.save(reference("unet_128", "batch", outputs=3).state_dict(), tmp_path / "latest_net_G.pth")
    config = tiny_config("generator.depth=7", "generator.upsample=transpose", "data.crop_px=128", "data.resize_px=128")
    algorithm = ALGORITHMS[config.algorithm](config)
    lines = init_from(algorithm, str(tmp_path / "latest_net_G.pth"))
    count = len(algorithm.networks["generator"].state_dict())
    assert f"{count} of {count} tensors from {tmp_path / 'latest_net_G.pth'} (A2B)." in lines[0]
