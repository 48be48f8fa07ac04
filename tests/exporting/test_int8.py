"""An int8 file is near enough to fp32 and faster, or there is none."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import i2i
from i2i import status
from i2i.errors import ExportError, UsageError
from i2i.exporting import int8
from i2i.exporting.bounds import LEAST_DB, psnr_db
from i2i.exporting.int8 import quantise, quantise_weights
from i2i.exporting.verify import verify_onnx
from i2i.images import read_image
from i2i.runtime.translator import Translator
from tests.conftest import LINEART
from tests.exporting.test_origin import described_anew


@pytest.fixture
def small(tiny_onnx, tmp_path):
    """A file in fp32, its spec, and inputs."""
    random = np.random.default_rng(0)
    samples = [random.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32) for _ in range(4)]
    return Path(shutil.copy(tiny_onnx, tmp_path / "small.onnx")), i2i.load(tiny_onnx).spec, samples


@pytest.fixture
def fast(monkeypatch):
    """The gain in time, which depends on the machine, is settled."""
    monkeypatch.setattr(int8, "_speed", lambda *_: 1.5)


def test_inner_convolutions_alone_become_int8(small, fast, capsys):
    path, spec, samples = small
    layers = sum(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    with status.shown():
        proof = quantise(path, spec, samples)
    assert "4 pictures" in capsys.readouterr().err
    assert (proof.speed, proof.pictures, proof.scales_from) == (1.5, 2, 2)
    assert LEAST_DB < proof.psnr_db < 100  # not the file itself
    nodes = onnx.load(path).graph.node
    weights = [node for node in nodes if node.op_type == "DequantizeLinear" and "weight_quantized" in node.input[0]]
    assert len(weights) == layers - 2
    assert not path.with_suffix(".int8").exists()


@pytest.mark.parametrize(("name", "value", "word"), [("LEAST_DB", 100.0, "100 is the least"), ("_speed", None, "1.25")])
def test_what_is_too_far_off_or_slower_is_refused(small, fast, monkeypatch, name, value, word):
    path, spec, samples = small
    before = path.read_bytes()
    monkeypatch.setattr(int8, name, value or (lambda *_: 0.8))
    with pytest.raises(ExportError, match=word):
        quantise(path, spec, samples)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_one_picture_cannot_set_the_scales_and_prove_them(small):
    path, spec, samples = small
    with pytest.raises(UsageError, match="got 1"):
        quantise(path, spec, samples[:1])


def write_wide(path):
    """Write a file with 9,408 weights in each of two convolutions."""
    random, nodes, arrays = np.random.default_rng(0), [], []
    for given, shape, made in (("image", (64, 3, 7, 7), "inner"), ("inner", (3, 64, 7, 7), "output")):
        weights = random.normal(0, shape[1] ** -0.5 / 7, shape).astype(np.float32)
        arrays.append(onnx.numpy_helper.from_array(weights, f"{made}_weights"))
        nodes.append(onnx.helper.make_node("Conv", [given, f"{made}_weights"], [f"{made}_sum"], pads=[3, 3, 3, 3]))
        nodes.append(onnx.helper.make_node("Tanh", [f"{made}_sum"], [made]))
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, None, None])
        for name in ("image", "output")
    ]
    graph = onnx.helper.make_graph(nodes, "wide", ends[:1], ends[1:], arrays)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)


def test_weights_alone_become_int8(small, monkeypatch):
    """Without a gain in time; the control, with three bits, is too far off."""
    path, spec, samples = small
    write_wide(path)
    before = path.read_bytes()
    for name, value, word in (("_LEVELS", 3, "35 is the least"), ("_LEAST_WEIGHTS", 10**6, "halve")):
        with monkeypatch.context() as patch:
            patch.setattr(int8, name, value)
            with pytest.raises(ExportError, match=word):
                quantise_weights(path, spec, samples)
    assert path.read_bytes() == before
    proof = quantise_weights(path, spec, samples)
    assert (proof.pictures, proof.scales_from) == (4, None)
    assert LEAST_DB + 5 < proof.psnr_db < 100
    assert path.stat().st_size < len(before) / 2
    large = [one for one in onnx.load(path).graph.initializer if np.prod(one.dims) >= 1024]
    assert {one.data_type for one in large} == {onnx.TensorProto.INT8}
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_time_is_that_of_the_processor():
    def work(turns):
        return lambda sample: sum(number * number for number in range(turns))

    assert int8._speed(work(200_000), work(50_000), [None]) == pytest.approx(4, rel=0.4)


@pytest.mark.slow
def test_an_exported_file_says_what_it_lost_and_is_verified(tmp_path, fast):
    out = tmp_path / "lineart.onnx"
    i2i.export("lineart", out, verify=LINEART, precision="int8")
    spec = i2i.load(out).spec
    assert spec.precision == "int8"
    assert spec.proof.max_difference < 2e-4  # of the graph in fp32, on pictures of val
    assert spec.int8.psnr_db > LEAST_DB
    assert (spec.int8.scales_from, spec.int8.pictures) == (16, 16)
    photo = read_image(sorted((LINEART / "test").glob("*.png"))[0])[:, 64:]
    ours, whole = (Translator.open(model, None, "cpu").translate(photo) for model in (out, "lineart"))
    pixels = spec.model_copy(update={"io": "image"})
    assert LEAST_DB - 5 < psnr_db(ours, whole, pixels) < 60
    assert verify_onnx(out, "cpu").self_test == 0
    model = onnx.load(out)
    scale = next(one for one in model.graph.initializer if one.name.endswith("weight_scale"))
    scale.CopyFrom(onnx.numpy_helper.from_array(3 * onnx.numpy_helper.to_array(scale), scale.name))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ExportError, match="differs"):
        verify_onnx(described_anew(tmp_path / "other.onnx", tmp_path / "other.onnx", lambda spec: None), "cpu")
