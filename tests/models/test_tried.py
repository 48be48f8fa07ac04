"""A file that passed its trial is not tried again, unless a byte of it, ONNX Runtime or i2i has changed."""

import os
from pathlib import Path

import onnx
import onnxruntime
import pytest

import i2i
from i2i.errors import ModelError
from i2i.models import tried
from i2i.models.onnxfile import DIGEST_KEY
from i2i.models.trial import Trial
from i2i.runtime import onnx_backend


@pytest.fixture
def trials(monkeypatch, tmp_path) -> list[Path]:
    """The files that were tried, with a cache that begins empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found: list[Path] = []

    class Counted(Trial):
        def __init__(self, path, *rest):
            found.append(path)
            super().__init__(path, *rest)

    monkeypatch.setattr(onnx_backend, "Trial", Counted)
    return found


def undigested(source: Path, target: Path, change=lambda weight: weight) -> Path:
    """A copy without i2i's own digest, so that a change of its first weight is not noticed at once."""
    made = onnx.load(source)
    kept = [entry for entry in made.metadata_props if entry.key != DIGEST_KEY]
    del made.metadata_props[:]
    made.metadata_props.extend(kept)
    first = made.graph.initializer[0]
    first.raw_data = bytes(change(bytearray(first.raw_data)))
    onnx.save(made, target)
    return target


def flipped(weight: bytearray) -> bytearray:
    weight[0] ^= 1
    return weight


def infinite(weight: bytearray) -> bytearray:
    weight[:4] = b"\x00\x00\x80\x7f"
    return weight


def test_the_second_start_skips_the_trial(tiny_onnx, tmp_path, trials):
    for _ in range(2):
        i2i.load(tiny_onnx, device="cpu")
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(tiny_onnx.read_bytes())
    i2i.load(moved, device="cpu")
    assert trials == [tiny_onnx]


def test_another_byte_is_tried_again(tiny_onnx, tmp_path, trials):
    file = tmp_path / "m.onnx"
    for change, count in ((bytearray, 1), (flipped, 2), (bytearray, 2)):
        i2i.load(undigested(tiny_onnx, file, change), device="cpu")
        assert len(trials) == count
    for count in (3, 4):  # what fails is not known either
        with pytest.raises(ModelError, match="NaN or infinity"):
            i2i.load(undigested(tiny_onnx, file, infinite), device="cpu")
        assert len(trials) == count


def test_other_versions_try_again(tiny_onnx, trials, monkeypatch):
    i2i.load(tiny_onnx, device="cpu")
    for module, count in ((tried, 2), (onnxruntime, 3)):
        monkeypatch.setattr(module, "__version__", "0.0.1")
        i2i.load(tiny_onnx, device="cpu")
        assert len(trials) == count


def test_weights_in_another_file_are_always_tried(tiny_onnx, tmp_path, trials):
    onnx.save(
        onnx.load(undigested(tiny_onnx, tmp_path / "m.onnx")),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=128,  # not the small sizes, which must lie in the file
    )
    for _ in range(2):
        i2i.load(tmp_path / "m.onnx", device="cpu")
    assert len(trials) == 2


@pytest.mark.parametrize("cache", ["file", "damaged", "no home"])
def test_a_start_does_without_a_cache(tiny_onnx, tmp_path, trials, monkeypatch, cache):
    """Also as root, whom no permission stops: a file stands where the folder should be."""
    if cache == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        where = tmp_path / "cache"
        where.mkdir()
        (where / "i2i").write_text("") if cache == "file" else (where / "i2i").mkdir()
        if cache == "damaged":
            (where / "i2i" / "tried.json").write_text('{"a": 1, "b"')
    for _ in range(2):
        i2i.load(tiny_onnx, device="cpu")
    assert len(trials) == (1 if cache == "damaged" else 2)


def test_only_the_last_files_are_known(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    monkeypatch.setattr(tried, "_MOST", 3)
    for name in "abcdb":
        tried.remember(name, on_cpu=True)
    assert [tried.has_passed(name, on_cpu=True) for name in "abcd"] == [False, True, True, True]
    assert not tried.has_passed("b", on_cpu=False)
    tried.remember("e", on_cpu=True)
    assert [tried.has_passed(name, on_cpu=True) for name in "bcde"] == [True, False, True, True]
