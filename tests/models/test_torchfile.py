"""Untrusted torch files: weights are read, no code runs, and no claimed size costs memory."""

import io
import pickle
import random
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from i2i.errors import ModelError
from i2i.models.torchfile import read_torch_file
from tests.conftest import ORACLES, peak_kib

pytestmark = pytest.mark.hostile


class Runs:
    """Unpickling it calls `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 3))


def state():
    torch.manual_seed(0)
    return network().state_dict()


def saved(what, zipped=True):
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def parts(content):
    """The members of a zip archive by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def renamed(content, old, new):
    """A torch file with bytes of its pickle replaced."""
    members = parts(content)
    assert old in members["archive/data.pkl"]
    members["archive/data.pkl"] = members["archive/data.pkl"].replace(old, new)
    return packed(members)


def same(one, other):
    return list(one) == list(other) and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: dict(state),
        lambda state: OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()),
        lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1, "betas": (0.5, 0.999)}},
        lambda state: {
            "state_dict": {f"module.{name}": nn.Parameter(tensor.float()) for name, tensor in state.items()}
        },
        lambda state: {"model": {"netG": state, "netD": {"a": torch.zeros(3)}}},
    ],
    ids=["plain", "dict", "parallel", "checkpoint", "parameters", "nested"],
)
def test_weights_are_read(tmp_path, wrap, zipped):
    expected = state()
    (tmp_path / "w.pth").write_bytes(saved(wrap(expected), zipped))
    tensors = {name.removeprefix("module."): t.float() for name, t in read_torch_file(tmp_path / "w.pth").items()}
    assert same({name: tensor.float() for name, tensor in expected.items()}, tensors)


def test_every_type_and_view(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "a.weight": torch.zeros(2, 3, 1, 1, dtype=torch.bfloat16),
        "half": torch.ones(3).half(),
        "counter": torch.tensor(7),
        "none": torch.zeros(0, 4),
        "view": whole[1:3, ::2],
        "turned": whole.t(),
        "mask": torch.tensor([True, False]),
    }
    torch.save(tensors, tmp_path / "w.pt")
    assert same(read_torch_file(tmp_path / "w.pt"), tensors)


@pytest.mark.parametrize("name", ["D_patchgan70", "cut_resnet_6", "resnet_6_instance", "unet_128_batch"])
def test_files_of_other_projects(name):
    path = ORACLES / f"{name}.pth"
    assert same(read_torch_file(path), torch.load(path, weights_only=True))


def hostile():
    """Name, content, and what the refusal says."""
    content = saved(state())
    yield "call", saved({"w": torch.zeros(2), "x": Runs(open, "ran", "w")}), "open; "
    yield "eval", saved({"w": Runs(eval, "open('ran', 'w')")}), "eval; "
    yield "legacy call", saved({"w": Runs(open, "ran", "w")}, False), "open; "
    yield "pickle", pickle.dumps(Runs(open, "ran", "w"), 2), "open; "
    yield "new pickle", pickle.dumps(Runs(open, "ran", "w")), "FRAME"
    yield "allowed by torch", saved({"w": Runs(bytearray, 10**11)}), "bytearray; "
    yield "module", saved(network()), r"Sequential; .*\n.* weights"
    yield "module, legacy", saved(network(), False), "Sequential; "
    yield "script", script(), "TorchScript"
    yield "plain pickle", pickle.dumps({"w": 1}, 2), "plain Python pickle"
    yield "deflated", packed(parts(content), zipfile.ZIP_DEFLATED), "compressed archive"
    members = parts(content)
    yield "short storage", packed(members | {"archive/data/0": bytes(16)}), "differ in length"
    del members["archive/data/1"]
    yield "missing storage", packed(members), "is damaged"
    yield "beyond", renamed(saved({"w": torch.zeros(250)}), b"K\xfa\x85q", b"K\xff\x85q"), "bytes"
    yield "stride 0", saved({"w": torch.zeros(1).expand(10**6, 10**6)}), "bytes"
    shared = torch.zeros(10**4)
    yield "shared", saved({f"w{k}": shared for k in range(1000)}), "share"
    deep = b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."
    yield "deep", packed({"archive/data.pkl": deep, "archive/version": b"3"}), "holds no weights"
    yield "long", packed({"archive/data.pkl": b"\x80\x02" + b"]0" * 10**6}), "uses POP"
    endless = b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 60  # ((((), ()), ((), ())), ...): hashing it takes years
    yield "key", packed({"archive/data.pkl": b"\x80\x02}" + endless[2:] + b"K\x01s."}), "makes no sense"
    yield "steps", packed({"archive/data.pkl": b"\x80\x02" + b")" * 500_000}), "over 400,000 steps"
    many = b"\x80\x02ccollections\nOrderedDict\nq\x00](" + b"]K\x01aK\x01a" * 1000 + b"e\x85q\x01"
    yield "again", packed({"archive/data.pkl": many + b"h\x00h\x01R" * 10**5}), "over 400,000 steps"
    wide = b"\x80\x02ctorch._utils\n_rebuild_tensor\nq\x00(" + b"K\x01" * 10**5 + b"tq\x01"
    yield "wide", packed({"archive/data.pkl": wide + b"h\x00(h\x01K\x00h\x01h\x01tR" * 10**4}), "makes no sense"
    yield "memo", packed({"archive/data.pkl": b"\x80\x02}r\xff\xff\xff\xff" + b"h\x00."}), "makes no sense"
    yield "claims", packed({"archive/data.pkl": b"\x80\x02X\xff\xff\xff\xffabc"}), "ends too early"
    build = b"\x80\x02ctorch._utils\n_rebuild_tensor\n}X\x01\x00\x00\x00xK\x01sb."
    yield "attributes", packed({"archive/data.pkl": build}), "sets attributes"
    for step, code in (
        ("NEWOBJ", b"\x81"),
        ("INST", b"iio\nopen\n"),
        ("OBJ", b"o"),
        ("BYTEARRAY8", b"\x96" + b"\xff" * 8),
    ):
        yield step, packed({"archive/data.pkl": b"\x80\x02()" + code}), step
    yield "huge", packed({"archive/data.pkl": bytes(9 << 20)}), "description"
    yield "not torch", packed({"readme.txt": b"hello"}), "zip"


def script():
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)), file)
    return file.getvalue()


def mistaken():
    yield "empty", b"", "is empty"
    yield "one byte", b"\x08", "torch file"
    yield "zeros", bytes(5000), "only zeros"
    yield "page", b"\n<!DOCTYPE html><html>404</html>", "web page"
    yield "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"
    yield "page with a mark", b"\xef\xbb\xbf<!-- saved --><html>404</html>", "web page"
    yield "text", b'{"error":\n "no entr\xc3\xa9e"}', r'is text, not a model; it begins: {"error": "no entrée"}'
    yield "long text", b"Access to the file was denied. " * 100 + b"\xc3", "it begins: Access to the file"
    yield "ONNX", b"\x08\x09\x12\x00", "ONNX"
    yield "checkpoint", saved({"i2i_version": "0", "config": {}}), "checkpoint"
    yield "safetensors", (2).to_bytes(8, "little") + b"{}", "safetensors"
    yield "gzip", b"\x1f\x8b" + bytes(20), "Unpack it"
    yield "no weights", saved({"epoch": 3}), r"holds no weights \(keys epoch\)"
    yield "list", saved([1, 2]), r"holds no weights \(no dict\)"
    yield "classifier", saved(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 10)).state_dict()), "is a classifier"
    yield "escape", saved({"\x1b[2J": 3}), r"keys \?\[2J"
    yield "cut", saved(state())[:-50], "damaged or cut"
    yield "cut, legacy", saved({"w": torch.zeros(1000)}, False)[:-50], "50 bytes are missing"


@pytest.mark.parametrize(
    ("content", "reason"), [pytest.param(*rest, id=name) for name, *rest in [*hostile(), *mistaken()]]
)
def test_files_without_weights_are_refused(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    Path("w.pth").write_bytes(content)
    before = peak_kib()
    with pytest.raises(ModelError, match=reason) as refused:
        read_torch_file(Path("w.pth"))
    assert peak_kib() - before < 300_000
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]
    lines = str(refused.value).splitlines()
    assert len(lines) <= 3
    assert all(line.isprintable() and len(line) < 250 for line in lines)


def test_one_bit_among_the_numbers_is_noticed(tmp_path):
    content = bytearray(saved({"weight": torch.ones(1, 1, 100, 100)}))
    content[content.index(torch.ones(1).numpy().tobytes() * 100) + 20000] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ModelError, match="CRC-32"):
        read_torch_file(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damage_anywhere_ends_in_weights_or_one_error(tmp_path, zipped):
    content, draw = saved(state(), zipped), random.Random(0)
    path, opened = tmp_path / "w.pth", 0
    for _ in range(400):
        damaged = bytearray(content)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(damaged)) :]
        for _ in range(draw.choice((1, 1, 4)) if damaged else 0):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            opened += all(tensor.dim() < 5 for tensor in read_torch_file(path).values())
        except ModelError:
            continue
    assert 0 < opened < 400
