"""`--device openvino`: the same pictures as ONNX Runtime's own CPU provider, and on as many threads as asked."""

import numpy as np
import onnxruntime
import pytest

import i2i
from i2i.exporting.verify import verify_onnx
from i2i.runtime.translator import Translator
from tests.conftest import picture

pytestmark = pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="onnxruntime-openvino is not installed",
)


def test_openvino_equals_the_cpu(tiny_onnx):
    on_openvino, on_cpu = (i2i.load(tiny_onnx, device=device) for device in ("openvino", "cpu"))
    assert on_openvino.backend.device == "openvino"
    for sides in ((37, 91), (64, 64)):
        array = picture(*sides)
        assert np.abs(on_openvino(array).astype(int) - on_cpu(array)).max() <= 1


def test_openvino_is_exact_and_takes_its_threads(tiny_onnx, noise_onnx):
    for file in (tiny_onnx, noise_onnx):
        found = verify_onnx(file, "openvino")
        assert found.device == "openvino"
        assert found.proof.max_difference < 1e-4
    session = Translator.open(tiny_onnx, device="openvino", threads=1).backend.session
    assert session.get_provider_options()["OpenVINOExecutionProvider"]["num_of_threads"] == "1"
