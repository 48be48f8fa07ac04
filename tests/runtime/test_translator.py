"""Translating: any size, any depth, whole folders, and never a lost file."""

import json
import re
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import i2i
from i2i.errors import ModelError, UsageError
from i2i.evaluation import evaluate_pairs
from i2i.images import Channels, from_unit, read_image, to_unit
from i2i.images.listing import list_pictures
from i2i.models.spec import ModelSpec, translating
from i2i.runtime import onnx_backend
from i2i.runtime.backends import OnnxBackend
from i2i.runtime.fit import Fit, large_note, pad, padded_side
from i2i.runtime.folder import list_tasks
from i2i.runtime.pipeline import translate_files
from i2i.runtime.translator import Translator
from tests.conftest import assert_looks_like, picture, run_i2i, save
from tests.images.test_images import broken_files


class Identity:
    """A backend that returns its input, and checks that the input is what the spec promises."""

    name = "identity"
    device = "cpu"
    threads = 1

    def __init__(self, multiple, least):
        self.notes = []
        self.multiple, self.least = multiple, least

    def run(self, batch):
        assert batch.dtype == np.float32
        assert batch.flags.c_contiguous
        assert all(side % self.multiple == 0 and side >= self.least for side in batch.shape[2:])
        return batch

    def with_threads(self, threads):
        return self

    def for_many(self, images):
        return self


def identity(channels: Channels = 3, multiple=16, least=16) -> Translator:
    part = translating("unet", {}, channels, channels, multiple, least)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="pix2pix",
        parts={"A2B": part},
        norm_statistics="image",
        trained_crop_px=16,
        trained_side_px=16,
    )
    return Translator(spec, Identity(multiple, least), "A2B")


def reflected(line, target):
    """The design's padding, an element at a time: the edge until the side exceeds the pad, then reflection."""
    line = list(line)
    while len(line) <= target - len(line):
        line.append(line[-1])
    mirror = iter(line[-2::-1])
    while len(line) < target:
        line.append(next(mirror))
    return line[:target]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 5))
def test_padding_is_what_the_design_says(side, multiple, times):
    target = padded_side(side, multiple, multiple * times)
    assert target >= side
    assert target % multiple == 0
    assert target >= multiple * times
    values = np.arange(side, dtype=np.float32)
    padded = pad(np.broadcast_to(values, (2, 3, side)), 3, target)
    assert padded[0, 0].tolist() == reflected(values, target)
    padded = pad(np.broadcast_to(values[:, None], (2, side, 3)), target, 3)
    assert padded[1, :, 2].tolist() == reflected(values, target)


class Exported(Identity):
    """The same for a file exported for pixels, or for one size."""

    def __init__(self, dtype, size):
        self.dtype, self.size = dtype, size

    def run(self, batch):
        assert batch.dtype == self.dtype
        assert batch.flags.c_contiguous
        sides = batch.shape[1:3] if self.dtype == np.uint8 else batch.shape[2:]
        assert self.size in (None, sides)
        return batch


def exported(dtype, size) -> Translator:
    changes = {"io": "image" if dtype == np.uint8 else "tensor", "fixed_size": size}
    return Translator(identity().spec.model_copy(update=changes), Exported(dtype, size), "A2B")


@pytest.mark.parametrize("fixed", [None, (48, 32)])
def test_a_file_of_pixels_gets_whole_pictures_of_8_bits(fixed):
    model = exported(np.uint8, fixed)
    for size in ((1, 1), (20, 31), (48, 32)):
        np.testing.assert_array_equal(model.translate(picture(*size)), picture(*size))
    np.testing.assert_array_equal(np.asarray(model(Image.fromarray(picture(9, 9)))), picture(9, 9))
    with pytest.raises(ModelError, match=r"a\.png.* 8 bits.*\n.*--io tensor"):
        model.translate(picture(20, 20, 3, np.uint16), np.uint8, "a.png")
    with pytest.raises(ModelError, match="--io tensor"):
        model.translate(picture(20, 20), np.uint16)
    tiles = Translator(model.spec, model.backend, "A2B", Fit("tile"))
    with pytest.raises(ModelError, match=r"b\.png.* tiles.*\n.*--io tensor"):
        tiles.translate(picture(20, 20), name="b.png")


@pytest.mark.parametrize(("fixed", "sides"), [((32, 32), "32"), ((32, 48), "48x32")])
def test_a_file_of_one_size_takes_what_fits(fixed, sides):
    model = exported(np.float32, fixed)
    for size in ((1, 1), (20, 31), fixed):
        np.testing.assert_array_equal(model.translate(picture(*size)), picture(*size))
    words = rf"a\.png .*30x33\b.* {sides}\.\n.*--fit resize"
    with pytest.raises(ModelError, match=words):
        model.translate(picture(33, 30), name="a.png")


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([4, 16, 64]),
)
def test_identity_gives_back_every_value_at_every_size(height, width, channels, dtype, multiple):
    array = picture(height, width, channels, dtype)
    output = identity(channels, multiple, 2 * multiple).translate(array)
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, array)


def test_calling_a_model(tiny_run, tmp_path):
    model = i2i.load(tiny_run)
    array = picture(21, 35)
    path = save(tmp_path / "a.png", 21, 35)
    output = model(array)
    assert (output.shape, output.dtype) == ((21, 35, 3), np.uint8)
    assert isinstance(model(path), i2i.Translated)
    for other in (model(path).image, model(str(path)).image, model(Image.fromarray(array))):
        assert isinstance(other, Image.Image)
        np.testing.assert_array_equal(np.asarray(other), output)
    assert model(picture(21, 35, 1)[:, :, 0]).shape == (21, 35, 3)
    assert model(picture(21, 35, 3, np.uint16)).dtype == np.uint16
    for wrong in (array.astype(np.float32), array[None], array[:, :, :0], array[:0]):
        with pytest.raises(ModelError, match="array"):
            model(wrong)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (16, 16), (17, 31), (64, 48)])
def test_torch_and_onnx_agree_at_every_size(tiny_run, tiny_onnx, size):
    array = picture(*size)
    torch_output, onnx_output = (
        i2i.load(path, device="cpu").translate_values(to_unit(array)) for path in (tiny_run, tiny_onnx)
    )
    assert torch_output.shape == (3, *size)
    np.testing.assert_allclose(onnx_output, torch_output, atol=1e-5)


def test_one_inference_mode(tiny_run, tiny_onnx, few_scaled, tmp_path):
    """A preview, translate with torch, translate with ONNX and evaluate show the same pixels of one picture."""
    inputs = few_scaled / "valB"
    pairs = sorted(inputs.iterdir())[:2]
    for name, model in (("torch", tiny_run), ("onnx", tiny_onnx)):
        done = run_i2i("translate", inputs, "-m", model, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
    sheet = evaluate_pairs(tiny_onnx, str(few_scaled), split="val", sheet=True).sheet
    (tmp_path / "evaluated.png").write_bytes(sheet)
    preview = read_image(sorted((tiny_run / "samples").iterdir())[-1])
    evaluated = read_image(tmp_path / "evaluated.png")
    # Sheets enlarge 18 px six times; the middle column of row k starts at (20 + k * 112, 4 + 112).
    for k, path in enumerate(pairs):
        expected = read_image(tmp_path / "torch" / path.name)
        top, left = 20 + k * 112, 4 + 112
        for other in (
            read_image(tmp_path / "onnx" / path.name),
            preview[top : top + 108 : 6, left : left + 108 : 6],
            evaluated[top : top + 108 : 6, left : left + 108 : 6],
        ):
            np.testing.assert_array_equal(other, expected)


def test_neighbours_do_not_change_a_picture(tmp_path, tiny_run):
    """Norm statistics are never those of an inference batch."""
    for k in range(3):
        save(tmp_path / "in" / f"{k}.png", 32, 32, seed=k)
    model = i2i.load(tiny_run)
    translate_files(model, list_tasks(tmp_path / "in", tmp_path / "out", 3))
    for k in range(3):
        np.testing.assert_array_equal(read_image(tmp_path / "out" / f"{k}.png"), model(picture(32, 32, seed=k)))


def test_a_folder_comes_out_as_it_went_in(tmp_path):
    files = {
        "a.png": (20, 30, 3, np.uint8),
        "deep/er/b.tif": (17, 9, 1, np.uint16),
        "deep/c.bmp": (5, 5, 3, np.uint8),
        "Größe (1).PNG": (8, 8, 4, np.uint8),
    }
    for name, shape in files.items():
        save(tmp_path / "in" / name, *shape)
    tasks = list_tasks(tmp_path / "in", tmp_path / "out", 3)
    result = translate_files(identity(), tasks)
    assert result.refused == []
    assert {task.source.name for task in tasks if task.source in result.large} == set()
    for name, (height, width, channels, dtype) in files.items():
        output = read_image(tmp_path / "out" / name)
        assert output.dtype == dtype
        assert output.shape == (height, width, max(channels, 3))  # alpha is carried
        assert_looks_like(output, read_image(tmp_path / "in" / name))
    assert len(list_pictures(tmp_path / "out")) == len(files)


def test_colliding_output_names_are_resolved(tmp_path):
    for name in ("a.png", "a.jpg", "b.jpg", "c.png"):
        save(tmp_path / "in" / name, 8, 8)
    Image.fromarray(picture(8, 8)).save(tmp_path / "in" / "c.gif")
    Image.fromarray(picture(8, 8)).save(tmp_path / "in" / "d.gif")

    def outputs(channels):
        tasks = list_tasks(tmp_path / "in", tmp_path / "out", channels)
        return {task.source.name: task.output.name for task in tasks}

    assert outputs(3) == {
        "a.png": "a.png",
        "a.jpg": "a.jpg",
        "b.jpg": "b.jpg",
        "c.png": "c.png",
        "c.gif": "c.gif",
        "d.gif": "d.gif",
    }
    assert outputs(4)["a.jpg"] == "a.jpg.png"
    assert outputs(4)["b.jpg"] == "b.png"
    for name in ("c.gif.png", "d.jpg", "d.bmp"):
        save(tmp_path / "in" / name, 8, 8)
    for channels in (3, 4):
        made = outputs(channels)
        assert len(set(made.values())) == len(made) == 9


def test_what_exists_is_not_touched_unasked(tmp_path):
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, 8, 8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="--overwrite"):
        list_tasks(tmp_path / "in", tmp_path / "out", 3)
    translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "out", 3, skip_existing=True))
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert (tmp_path / "out" / "b.png").exists()
    translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "out", 3, overwrite=True))
    assert (tmp_path / "out" / "a.png").read_bytes() != b"mine"
    with pytest.raises(UsageError, match="input"):
        list_tasks(tmp_path / "in", tmp_path / "in", 3, overwrite=True)
    with pytest.raises(UsageError, match="input"):
        list_tasks(tmp_path / "in" / "a.png", tmp_path / "in" / "a.png", 3, overwrite=True)


def test_an_output_folder_inside_the_input_is_not_translated_again(tmp_path):
    save(tmp_path / "a.png", 8, 8)
    for _ in range(2):
        tasks = list_tasks(tmp_path, tmp_path / "out", 3, overwrite=True)
        assert [task.source.name for task in tasks] == ["a.png"]
        translate_files(identity(), tasks)


def test_one_file_to_a_file_or_into_a_folder(tmp_path):
    source = save(tmp_path / "a.png", 8, 8)
    assert list_tasks(source, tmp_path / "b.jpg", 3)[0].output == tmp_path / "b.jpg"
    assert list_tasks(source, tmp_path / "out", 3)[0].output == tmp_path / "out" / "a.png"
    (tmp_path / "odd.png").mkdir()
    assert list_tasks(source, tmp_path / "odd.png", 3)[0].output == tmp_path / "odd.png" / "a.png"
    with pytest.raises(UsageError, match=r"odd\.png"):
        list_tasks(tmp_path / "odd.png", tmp_path / "out", 3)
    assert list_tasks(source, tmp_path / ".hidden.png", 3)[0].output == tmp_path / ".hidden.png"


@pytest.mark.parametrize("name", ["res.jp2", "res.HEIC", "res.svg", "res.png", "res.mp4"])
def test_no_folder_gets_the_name_of_a_picture_unless_it_is_there(tmp_path, name):
    source = save(tmp_path / "in" / "a.png", 8, 8)
    with pytest.raises(UsageError, match=name):
        list_tasks(tmp_path / "in", tmp_path / name, 3)
    if name != "res.png":
        with pytest.raises(UsageError, match=r"\.png, "):
            list_tasks(source, tmp_path / name, 3)
    (tmp_path / name).mkdir()
    for whole in (source, tmp_path / "in"):
        assert list_tasks(whole, tmp_path / name, 3)[0].output == tmp_path / name / "a.png"
    assert list_tasks(source, tmp_path / "v1.2", 3)[0].output == tmp_path / "v1.2" / "a.png"


def test_broken_files_are_named_and_the_others_come_out(tmp_path, tiny_onnx):
    (tmp_path / "in").mkdir()
    broken = [path for path, _ in broken_files(tmp_path / "in")]
    save(tmp_path / "in" / "sub" / "other.jpg", 20, 20)
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    for path in broken:
        assert f"Refused: {path}" in done.stderr
    assert f"2 of {len(broken) + 2} pictures" in done.stderr
    assert sorted(path.name for path in list_pictures(tmp_path / "out")) == ["good.png", "other.jpg"]
    assert len([entry for entry in (tmp_path / "out").rglob("*") if entry.is_file()]) == 2  # no partial file


def test_large_pictures_are_mentioned_once(tmp_path, tiny_onnx):
    for k in range(2):
        save(tmp_path / "in" / f"{k}.png", 40, 50, seed=k)
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "out")
    assert len(re.findall(r"\b2\.2 times .*\b18 px", done.stderr)) == 1
    assert done.returncode == 0


def test_the_advice_on_large_pictures_follows_the_ratio():
    assert "--fit resize" in large_note(40, 18)
    assert ("blur" in large_note(40, 18), "blur" in large_note(1536, 72)) == (False, True)
    assert re.search(r"\b21 times .*\b72 px", large_note(1536, 72))
    assert "--set data.resize_px=null" in large_note(1536, 72)


def test_sixteen_bits_in_sixteen_bits_out(tmp_path):
    save(tmp_path / "in" / "a.png", 20, 20, 3, np.uint16)
    deep = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "in" / "misnamed.jpg").write_bytes(deep)  # JPEG holds 8 bits: rounded, not refused
    translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "out", 3))
    array = picture(20, 20, 3, np.uint16)
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), array)
    jpeg = read_image(tmp_path / "out" / "misnamed.jpg")
    assert np.abs(jpeg.astype(int) - from_unit(to_unit(array))).mean() < 4


def test_directions_are_those_that_the_model_has(tiny_run):
    assert i2i.load(tiny_run).direction == i2i.load(tiny_run, direction="B2A").direction == "B2A"
    with pytest.raises(UsageError, match=r"B2A.*A2B"):
        i2i.load(tiny_run, direction="A2B")
    spec = i2i.load(tiny_run).spec
    both = spec.model_copy(update={"parts": {"A2B": spec.parts["B2A"], **spec.parts}})
    with pytest.raises(UsageError, match=r"A2B and B2A.*--direction"):
        both.pick(None)


def test_files_that_are_not_models_are_named(tmp_path):
    cases = {
        "nowhere": "nowhere",
        ".": "holds no model.safetensors",
        "a.txt": "web page",
        "a.bin": "model file",
        "a.onnx": "web page",
        "a.safetensors": "web page",
    }
    for name in ("a.txt", "a.onnx", "a.safetensors"):
        (tmp_path / name).write_bytes(b"<!doctype html>")
    (tmp_path / "a.bin").write_bytes(bytes(range(200, 256)))
    for name, words in cases.items():
        with pytest.raises(ModelError, match=words):
            i2i.load(tmp_path / name)


def test_weights_that_do_not_fit_their_description_are_named(tiny_run, tmp_path):
    from safetensors.torch import load_file, save_file

    spec = i2i.load(tiny_run).spec.model_dump(mode="json")
    spec["parts"]["B2A"]["arguments"]["width"] = 4
    save_file(load_file(tiny_run / "model.safetensors"), tmp_path / "m.safetensors", {"i2i": json.dumps(spec)})
    with pytest.raises(ModelError, match="description"):
        i2i.load(tmp_path / "m.safetensors")
    spec["format"] = 3
    save_file({}, tmp_path / "m.safetensors", {"i2i": json.dumps(spec)})
    with pytest.raises(ModelError, match="i2i"):
        i2i.load(tmp_path / "m.safetensors")


def test_a_device_that_is_not_there_is_an_error(tiny_run, tiny_onnx):
    with pytest.raises(UsageError, match="cuda"):
        i2i.load(tiny_run, device="cuda")
    with pytest.raises(UsageError, match="cuda"):
        OnnxBackend(tiny_onnx, "cuda")
    for device, words in {"mps": "no device mps", "coreml": "no CoreMLExecutionProvider"}.items():
        with pytest.raises(UsageError, match=words):
            OnnxBackend(tiny_onnx, device)
    with pytest.raises(UsageError, match="export"):
        i2i.load(tiny_run, device="tensorrt")
    with pytest.raises(UsageError, match="gpu"):
        i2i.load(tiny_run, device="gpu")
    assert OnnxBackend(tiny_onnx, "auto").device == "cpu"


def test_a_backend_that_the_file_is_not_for_is_an_error(tiny_run, tiny_onnx):
    with pytest.raises(UsageError, match="i2i export"):
        Translator.open(tiny_run, backend="onnx")
    with pytest.raises(UsageError, match="ONNX Runtime"):
        Translator.open(tiny_onnx, backend="torch")
    assert Translator.open(tiny_run, backend="torch").backend.name == "torch"
    assert Translator.open(tiny_onnx, backend="onnx").backend.name == "onnxruntime"


def test_a_device_that_fails_to_start_never_falls_back_silently(tiny_onnx, monkeypatch):
    """ONNX Runtime itself takes the CPU instead, here as where a CUDA library is missing."""
    monkeypatch.setattr(onnx_backend, "why_no_provider", lambda device: None)
    with pytest.raises(UsageError, match=r"cuda.*(library|ONNX Runtime)"):
        OnnxBackend(tiny_onnx, "cuda")


@pytest.mark.parametrize(
    ("words", "expected"),
    [("Failed to allocate memory for requested buffer of size 9", MemoryError), ("Got invalid dimensions", ModelError)],
)
def test_what_onnxruntime_raises_becomes_one_of_two_errors(tiny_onnx, monkeypatch, words, expected):
    backend = OnnxBackend(tiny_onnx, "cpu")
    monkeypatch.setattr(backend.session, "run", Mock(side_effect=RuntimeError(words)))
    with pytest.raises(expected, match=words):
        backend.run(np.zeros((1, 3, 16, 16), np.float32))


def test_a_run_folder_can_be_moved(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "moved")
    assert i2i.load(tmp_path / "moved").spec == i2i.load(tiny_run).spec


def test_an_output_that_cannot_be_made_is_one_error(tmp_path):
    save(tmp_path / "in" / "a.png", 8, 8)
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"\bfile\b.* folder"):
        list_tasks(tmp_path / "in", tmp_path / "file", 3, overwrite=True)
    with pytest.raises(UsageError, match="out"):
        translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "file" / "out", 3))
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_notes_of_a_run_are_those_of_the_backend_that_was_opened(tiny_onnx, tiny_run):
    onnx = OnnxBackend(tiny_onnx, threads=1)
    assert onnx.with_threads(2).notes is onnx.notes
    torch_backend = Translator.open(tiny_run, device="cpu").backend
    assert torch_backend.in_strips().notes is torch_backend.notes
