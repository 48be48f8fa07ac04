"""Winograd's convolutions in .onnx files: the same values, for every kind of layer that is rewritten."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from i2i.models import winograd
from i2i.models.onnxfile import check_onnx
from i2i.models.winograd import rewritten


@pytest.fixture(autouse=True)
def _few_channels(monkeypatch):
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 4)


def model(taken=4, made=5, kernel=3, dtype=np.float32, bias=False, **attributes) -> onnx.ModelProto:
    """One convolution between two operators."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((made, taken // attributes.get("group", 1), kernel, kernel)).astype(dtype)
    constants = [numpy_helper.from_array(weight, "w")]
    constants += [numpy_helper.from_array(random.standard_normal(made).astype(dtype), "b")] if bias else []
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Tanh", ["image"], ["t"]),
        helper.make_node("Conv", ["t", "w", *(["b"] if bias else [])], ["c"], **attributes),
        helper.make_node("Neg", ["c"], ["output"]),
    ]
    sides = ["batch", taken, "height", "width"], ["batch", made, "h", "w"]
    ends = [helper.make_tensor_value_info(*one) for one in zip(("image", "output"), (element,) * 2, sides, strict=True)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    made_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(made_model, {"key": "value"})
    return made_model


def run(content: bytes, image):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


LAYERS = {
    "no padding": {},
    "padded": {"pads": [1, 1, 1, 1]},
    "padded unevenly": {"pads": [0, 2, 3, 1]},
    "bias": {"bias": True, "pads": [1, 1, 1, 1], "strides": [1, 1], "group": 1, "auto_pad": "NOTSET"},
    "as many as it takes": {"taken": 6, "made": 6},
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_are_those_of_the_convolution(name, tmp_path):
    content = model(**LAYERS[name]).SerializeToString()
    made = rewritten(memoryview(content))
    assert made is not None
    (tmp_path / "m.onnx").write_bytes(made)
    known = check_onnx(tmp_path / "m.onnx")
    assert known.metadata == {"key": "value"}
    assert known.operators["Conv"] == 1
    assert known.operators["MatMul"] == 2
    onnx.checker.check_model(onnx.load_model_from_string(made), full_check=True)
    for height, width in ((3, 3), (4, 9), (5, 6), (16, 17), (31, 8)):
        taken = LAYERS[name].get("taken", 4)
        image = np.random.default_rng(height).standard_normal((1, taken, height, width)).astype(np.float32)
        expected, found = run(content, image), run(made, image)
        assert expected.shape == found.shape
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.abs(expected).max() > 1  # a control: the values are large beside the bound


@pytest.mark.parametrize(
    "kind",
    [
        {"strides": [2, 2]},
        {"dilations": [2, 2]},
        {"group": 2, "taken": 8, "made": 8},
        {"auto_pad": "SAME_UPPER"},
        {"kernel": 5},
        {"kernel": 1},
        {"dtype": np.float16},
        {"taken": 3},
        {"made": 3},
    ],
    ids=str,
)
def test_other_layers_stay(kind):
    assert rewritten(memoryview(model(**kind).SerializeToString())) is None


def test_kernels_that_would_take_too_much_memory_stay(monkeypatch):
    content = memoryview(model().SerializeToString())
    monkeypatch.setattr(winograd, "MOST_BYTES", 36 * 4 * 5 * 4)
    assert rewritten(content) is not None
    monkeypatch.setattr(winograd, "MOST_BYTES", 36 * 4 * 5 * 4 - 1)
    assert rewritten(content) is None
