"""ONNX models of other projects: other values, axes and types, and outputs that contradict what is assumed."""

import re

import numpy as np
import pytest
from onnx import TensorProto

import i2i
from i2i.cli import cli, run_cleanly
from i2i.errors import ModelError, UsageError
from i2i.evaluation import evaluate_pairs
from i2i.runtime.fit import Fit
from i2i.runtime.foreign import UNIT, OutputWatch, Values
from i2i.runtime.translator import Translator
from tests.conftest import picture, save
from tests.models.test_onnxfile import SAME, model, tensor

NHWC = ("n", "h", "w", 3)


def clip(low, high):
    return model([("Clip", ["x", "lo", "hi"], ["y"])], [tensor("lo", np.float32(low)), tensor("hi", np.float32(high))])


def to_bytes():
    """From -1..1 to 0..255."""
    return model([("Mul", ["x", "k"], ["t"]), ("Add", ["t", "k"], ["y"])], [tensor("k", np.float32(127.5))])


def turned(element=TensorProto.FLOAT):
    """NHWC, mirrored left to right: mistaken axes would mirror something else."""
    ends = [tensor(name, [value], np.int64) for name, value in (("s", -1), ("e", -(2**62)), ("a", 2), ("t", -1))]
    return model([("Slice", ["x", "s", "e", "a", "t"], ["y"])], ends, NHWC, NHWC, element=element)


def to_nchw(channels=3):
    return model([("Transpose", ["x"], ["y"], {"perm": [0, 3, 1, 2]})], (), ("n", "h", "w", channels), None)


MODELS = {  # a model, what to say of it, and what it does to a picture
    "0 to 1": (lambda: clip(0, 1), {"value_range": (0, 1)}, lambda array: array),
    "0 to 255": (lambda: clip(0, 255), {"value_range": (0, 255)}, lambda array: array),
    "-1 to 1, to 0 to 255": (to_bytes, {"output_value_range": (0, 255)}, lambda array: array),
    "NHWC": (turned, {}, lambda array: array[:, ::-1]),
    "NHWC of bytes": (lambda: turned(TensorProto.UINT8), {}, lambda array: array[:, ::-1]),
    "NHWC of halves": (lambda: turned(TensorProto.FLOAT16), {"value_range": (0, 255)}, lambda array: array[:, ::-1]),
    "NHWC to NCHW": (to_nchw, {}, lambda array: array),
    "fixed NHWC": (lambda: model(SAME, (), (1, 50, 60, 3), (1, 50, 60, 3)), {}, lambda array: array),
    "nothing said": (lambda: model(SAME, (), ("n", "c", "h", "w"), None), {}, lambda array: array),
    "nothing said, a convolution": (
        lambda: model([("Conv", ["x", "w"], ["y"])], [tensor("w", np.eye(3)[..., None, None])], "ncwh", None),
        {},
        lambda array: array,
    ),
}


@pytest.fixture
def file(tmp_path):
    def write(made):
        (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
        return tmp_path / "m.onnx"

    return write


@pytest.mark.parametrize("name", MODELS)
def test_models_of_others_are_given_what_they_take(name, file):
    make, said, expected = MODELS[name]
    array = picture(37, 50)
    translator = i2i.load(file(make()), device="cpu", **said)
    np.testing.assert_array_equal(translator(array), expected(array))
    with_threads = translator.with_backend(translator.backend.with_threads(2))
    np.testing.assert_array_equal(with_threads(array), expected(array))
    assert translator.backend.notes == []


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(file, channels):
    array = picture(37, 50, channels)
    translator = i2i.load(file(to_nchw(channels)), device="cpu")
    np.testing.assert_array_equal(translator(array), array)


def test_tiles_and_sixteen_bits_have_the_same_values(file):
    array = picture(150, 200, dtype=np.uint16)
    path = file(clip(0, 1))
    translator = Translator.open(path, fit=Fit("tile", tile_px=64), device="cpu", values=Values((0, 1)))
    assert np.abs(translator(array).astype(int) - array).max() <= 1


@pytest.mark.parametrize(
    ("make", "said", "words"),
    [
        (lambda: clip(0, 1), {}, r"0 to 1.* -1 to 1 .* --value-range 0 1"),
        (to_bytes, {}, r"0 to 255.* -1 to 1 .* --output-value-range 0 255"),
        (lambda: clip(-1, 1), {"value_range": (0, 255)}, "0 to 1.* 0 to 255"),
        (lambda: clip(-1, 1), {}, None),
        (to_bytes, {"value_range": (0, 1)}, r"128 to 255.* 0 to 1"),
        (lambda: model(SAME), {"output_value_range": (0, 255)}, "-1 to 1.* 0 to 255"),
    ],
)
def test_outputs_that_do_not_look_like_the_assumed_range_are_noticed(file, make, said, words):
    translator = i2i.load(file(make()), device="cpu", **said)
    for seed in range(3):
        translator(picture(40, 50, seed=seed))
    notes = translator.backend.notes
    assert len(notes) == (words is not None)
    if words:
        assert re.search(words, notes[0]), notes[0]


def test_a_note_goes_when_other_outputs_contradict_it():
    notes = ["another"]
    watch = OutputWatch(UNIT, notes)
    watch.see(np.linspace(0.1, 0.9, 100, dtype=np.float32))
    assert len(notes) == 2
    watch.see(np.linspace(-0.7, 0.9, 100, dtype=np.float32))
    assert notes == ["another"]
    watch.see(np.float32([1.9] + [0.5] * 999))  # one value that overshoots
    assert notes == ["another"]
    watch.see(np.full(100, 1.9, np.float32))
    assert "far outside" in notes[1]


def test_ranges_where_they_do_not_belong_are_refused(file, tiny_onnx, tiny_run):
    for described in (tiny_onnx, tiny_run):
        with pytest.raises(UsageError, match="value_range"):
            i2i.load(described, value_range=(0, 1))
    with pytest.raises(UsageError, match="uint8"):
        i2i.load(file(turned(TensorProto.UINT8)), value_range=(0, 1))
    for pair in ((1, 0), (0, float("nan")), (0, float("inf"))):
        with pytest.raises(UsageError, match="range"):
            i2i.load(file(clip(0, 1)), value_range=pair)
    with pytest.raises(ModelError, match="NaN or infinity"):
        i2i.load(file(model([("Div", ["x", "x"], ["y"])])), value_range=(0, 1))


def test_the_command_says_what_is_assumed_and_what_was_seen(file, tmp_path, capsys):
    source, path = save(tmp_path / "a.png", 40, 50), file(to_bytes())

    def translate(*words):
        command = ["translate", str(source), "-m", str(path), "-o", str(tmp_path / "b.png"), "--overwrite", *words]
        assert run_cleanly(lambda: cli.main(command, standalone_mode=False)) == 0
        return capsys.readouterr().err

    said = translate()
    assert "RGB, float32 NCHW from -1 to 1" in said
    assert "--output-value-range 0 255" in said
    said = translate("--output-value-range", "0", "255")
    assert "NCHW from 0 to 255" in said
    assert "outputs are" not in said
    assert (tmp_path / "b.png").read_bytes() == source.read_bytes()
    assert run_cleanly(lambda: cli.main(["info", str(path)], standalone_mode=False)) == 0
    assert "float32 NCHW from -1 to 1" in capsys.readouterr().out


def test_scores_are_those_of_the_values_that_were_said(file, tmp_path):
    """A model that copies its input, scored on pairs of equal pictures."""
    for side in "AB":
        save(tmp_path / f"test{side}" / "a.png", 40, 50)
    path = file(clip(0, 1))
    assert evaluate_pairs(path, str(tmp_path), values=Values((0, 1))).model["l1"] == 0
    wrong = evaluate_pairs(path, str(tmp_path))
    assert wrong.model["l1"] > 10
    assert "--value-range 0 1" in wrong.notes[0]
