"""Model files go by their content, and a description that does not fit the weights costs no memory."""

import json
import random
import re
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import i2i
from i2i.cli import cli, run_cleanly
from i2i.errors import ModelError, UsageError
from i2i.interop.importing import import_weights
from i2i.models.mistaken import SAFETENSORS, kind_of
from i2i.models.modelfile import load_generator, read_spec
from i2i.training.finetune import init_from
from tests.conftest import ORACLES, save
from tests.models.test_torchfile import Runs, saved
from tests.training.test_finetune import build


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("arguments", {"width": 10**6}, "width is 1000000"),
        ("arguments", {"width": 4096}, "down.0.1.weight"),
        ("arguments", {"depth": 9}, "match"),
        ("arguments", {"width": [2]}, r"width is \[2\]"),
        ("arguments", {"nothing": 1}, "nothing"),
        ("arguments", {"in_channels": 4}, "in_channels"),
        ("generator", {"network": "dcgan"}, "match"),
        ("generator", {"network": "nothing"}, "nothing"),
        ("generator", {"size_multiple": 512}, r"size_multiple.* 512"),
        ("generator", {"size_multiple": 10**9}, "description"),
        ("generator", {"network": "\x1b[2J"}, "description"),
    ],
)
def test_a_description_that_does_not_fit_its_weights_is_named(tiny_run, tmp_path, part, changes, reason):
    spec = i2i.load(tiny_run).spec.model_dump(mode="json")
    generator = spec["parts"]["B2A"]
    (generator["arguments"] if part == "arguments" else generator).update(changes)
    save_file(load_file(tiny_run / "model.safetensors"), tmp_path / "m.safetensors", {"i2i": json.dumps(spec)})
    with pytest.raises(ModelError, match=reason) as refused:
        i2i.load(tmp_path / "m.safetensors", device="cpu")
    assert len(str(refused.value).splitlines()) <= 2


LABEL = {"name": "label", "size": 2, "prior": "one_hot", "classes": ["bag", "hat"]}


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts.update(make=parts.pop("generate")),
        lambda parts: parts["generate"].update(out_px=0),
        lambda parts: parts["generate"].update(outputs={"channels": 3, "meaning": "points"}),
        lambda parts: parts["generate"].update(outputs={"channels": 2, "meaning": "points"}),
        lambda parts: parts["generate"].update(kind="encode", inputs={"channels": 3, "meaning": "rgb"}),
        lambda parts: parts["generate"].update(blocks=[{"name": "a", "size": 2}, {"name": "a", "size": 2}]),
        lambda parts: parts["generate"].update(blocks=[{"name": "a", "size": 2}, {**LABEL, "shares": [0, 0]}]),
        lambda parts: parts["generate"].update(blocks=[{"name": "a", "size": 2}, {**LABEL, "classes": ["a", "a"]}]),
        lambda parts: parts["generate"].update(blocks=[{"name": "a", "size": 2}, {**LABEL, "classes": ["a", "\x1b"]}]),
    ],
    ids=[
        *("other name", "no side", "points of three", "points with a side", "nothing made"),
        *("two blocks", "no shares", "two classes", "control"),
    ],
)
def test_a_hand_written_part_that_makes_no_sense_is_one_error(noise_model, tmp_path, change):
    spec = read_spec(noise_model).model_dump(mode="json")
    change(spec["parts"])
    path = tmp_path / "m.safetensors"
    save_file(load_file(noise_model), path, {"i2i": json.dumps(spec)})
    with pytest.raises(ModelError, match="description"):
        i2i.ImageGenerator.open(path, "cpu")([0])


def test_a_flipped_bit_anywhere_is_noticed(tiny_run, tmp_path):
    """A hundred places in the header, which is the smaller part, and a hundred after it."""
    content = (tiny_run / "model.safetensors").read_bytes()
    behind, draw, path = 8 + int.from_bytes(content[:8], "little"), random.Random(0), tmp_path / "m.safetensors"
    name = content.index(b"i2i_digest")  # with this name damaged there is no digest to check
    places = [*draw.sample(range(behind), 100), *draw.sample(range(behind, len(content)), 100)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        if place not in range(name, name + 10):
            with pytest.raises(ModelError) as refused:
                read_spec(path)
            assert len(str(refused.value).splitlines()) <= 2
            assert place < behind or "m.safetensors" in str(refused.value)


@pytest.mark.parametrize("kind", ["float4_e2m1fn_x2", "complex64", "bool"])
def test_unsupported_dtypes_are_named(tiny_run, tmp_path, kind):
    tensors = load_file(tiny_run / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.dim() == 4)
    numbers, dtype = torch.zeros(tensors[name].shape, dtype=torch.uint8), getattr(torch, kind)
    tensors[name] = numbers.view(dtype) if kind.startswith("float4") else numbers.to(dtype)
    with safe_open(tiny_run / "model.safetensors", framework="numpy") as file:
        save_file(tensors, tmp_path / "m.safetensors", {"i2i": file.metadata()["i2i"]})
    with pytest.raises(ModelError, match=f"{kind}.*bfloat16"):
        load_generator(tmp_path / "m.safetensors", read_spec(tmp_path / "m.safetensors"), "B2A")


def test_without_a_digest_and_saved_again_a_file_loads(tiny_run, tmp_path):
    source = tiny_run / "model.safetensors"
    with safe_open(source, framework="numpy") as file:
        metadata = file.metadata()
    assert set(metadata) == {"i2i", "i2i_digest"}
    for name, kept in (("again", metadata), ("older", {"i2i": metadata["i2i"]})):
        save_file(load_file(source), tmp_path / f"{name}.safetensors", kept)
        load_generator(tmp_path / f"{name}.safetensors", read_spec(tmp_path / f"{name}.safetensors"), "B2A")
    save_file(load_file(source), tmp_path / "m.safetensors", {"i2i_digest": metadata["i2i_digest"]})
    with pytest.raises(ModelError, match="damaged"):
        read_spec(tmp_path / "m.safetensors")


KINDS = ["onnx", "safetensors", "torch"]
WRONG = ["M.ONNX", "m.PTH", "m.SafeTensors", "m.bin", "m.ckpt", "m", "m.ort", "m.onnx", "m.pth", "m.safetensors"]


@pytest.fixture
def kinds(tiny_run, tiny_onnx):
    sources = [tiny_onnx, tiny_run / "model.safetensors", ORACLES / "resnet_6_instance.pth"]
    return dict(zip(KINDS, sources, strict=True))


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 4224, 66432])
def test_a_header_whose_length_looks_like_a_pickle_is_a_header(length, tmp_path, tiny_run):
    """The length comes first in the file: 640 is 80 02 in hexadecimal, as in a pickle of protocol 2."""
    content = (tiny_run / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(length)
    file = tmp_path / "m.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert kind_of(file) == SAFETENSORS
    padded = content[8 : 8 + size].ljust(-(-size // 256) * 256 + 128)  # and of a model, which is read whole
    file.write_bytes(len(padded).to_bytes(8, "little") + padded + content[8 + size :])
    assert file.read_bytes()[0] == 0x80
    assert read_spec(file) == read_spec(tiny_run / "model.safetensors")


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_opened_by_its_content(kind, name, kinds, tmp_path):
    """Also as m.ort, which ONNX Runtime would read as a format of its own, unchecked."""
    shutil.copy(kinds[kind], tmp_path / name)
    opened = i2i.load(tmp_path / name, device="cpu")
    assert opened.backend.name == ("onnxruntime" if kind == "onnx" else "torch")
    assert opened.spec.generators == i2i.load(kinds[kind]).spec.generators


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_goes_by_the_content_of_a_file(kind, kinds, tmp_path, capsys):
    shutil.copy(kinds[kind], tmp_path / "m.bin")
    save(tmp_path / "a.png", 40, 50)
    file, onnx = tmp_path / "m.bin", kind == "onnx"

    def code(*words):
        result = run_cleanly(lambda: cli.main([str(word) for word in words], standalone_mode=False))
        assert "Traceback" not in capsys.readouterr().err
        return result

    assert code("info", file) == 0
    assert code("translate", tmp_path / "a.png", "-m", file, "-o", tmp_path / "b.png") == 0
    theirs = ["--format", "pytorch-CycleGAN-and-pix2pix"]
    assert code("export", file, "-o", tmp_path / "back.pth", *theirs) == {"torch": 0, "onnx": 2, "safetensors": 1}[kind]
    assert code("import", file, "-o", tmp_path / "new.safetensors") == (0 if kind == "torch" else 2)
    if onnx:
        assert code("export", file, "-o", tmp_path / "new.onnx") == 2
    for error, start in ((UsageError, onnx), (ModelError, kind == "torch")):
        if start:
            with pytest.raises(error, match=re.escape(str(file))):
                init_from(build("pix2pix"), str(file))
    if kind == "safetensors":
        assert str(file) in init_from(build("pix2pix"), str(file))[0]


@pytest.mark.parametrize("name", WRONG)
def test_no_name_makes_code_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (saved({"w": Runs(open, "ran", "w")}), saved({"w": Runs(open, "ran", "w")}, False)):
        (tmp_path / name).write_bytes(content)
        for opens in (i2i.load, lambda path: import_weights([path])):
            with pytest.raises(ModelError, match=re.escape(name)):
                opens(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
