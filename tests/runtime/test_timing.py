"""Times of calls, by size and batch, of a network that says what it was given."""

import numpy as np
import pytest

import i2i
from i2i.errors import UsageError
from i2i.models.modelfile import read_spec
from i2i.runtime.backends import open_backend
from i2i.runtime.timing import time_calls


class Sleeper:
    """Takes 2 ms, and each fifth time 20, by a clock of its own."""

    def __init__(self):
        self.inputs, self.now = [], 0.0

    def run(self, batch):
        self.inputs.append(batch)
        self.now += 0.02 if len(self.inputs) % 5 == 0 else 0.002
        return batch

    def perf_counter(self):
        return self.now


@pytest.fixture
def sleeper(monkeypatch):
    monkeypatch.setattr("i2i.runtime.timing.time", sleeper := Sleeper())
    return sleeper


@pytest.fixture
def spec(tiny_run):
    return read_spec(tiny_run / "model.safetensors")


def test_the_median_and_the_slowest_are_those_of_the_calls(spec, sleeper):
    (one,) = time_calls(spec, "B2A", sleeper, [(16, 32)], [3], seconds=0.3)
    assert (one.height, one.width, one.batch) == (16, 32, 3)
    assert one.calls == len(sleeper.inputs) - 2  # the first two are to warm up
    assert (one.p50_ms, one.p95_ms) == (pytest.approx(2), pytest.approx(20))
    assert one.images_per_second == pytest.approx(3 / 0.0056, rel=0.05)  # of the mean, 5.6 ms
    assert sleeper.now >= 0.3
    assert {batch.shape for batch in sleeper.inputs} == {(3, 3, 16, 32)}
    assert sleeper.inputs[0].dtype == np.float32


def test_sides_are_padded_and_by_default_those_of_training_and_twice_those(spec, sleeper):
    multiple = spec.generators["B2A"].size_multiple
    timings = list(time_calls(spec, "B2A", sleeper, [(multiple + 1, 1), (multiple + 1, 2)], [1, 2], seconds=0))
    least = spec.generators["B2A"].size_minimum
    assert {(one.height, one.width) for one in timings} == {(2 * multiple, max(multiple, least))}
    assert [one.batch for one in timings] == [1, 2, 1, 2]
    assert {one.calls for one in timings} == {5}
    usual = {one.height for one in time_calls(spec, "B2A", sleeper, [], [1], seconds=0)}
    assert usual == {spec.trained_crop_px, 2 * spec.trained_crop_px}


def test_a_file_of_one_size_takes_no_other(spec, sleeper):
    fixed = spec.model_copy(update={"fixed_size": (16, 32), "io": "image"})
    (one,) = time_calls(fixed, "B2A", sleeper, [], [1], seconds=0)
    assert (one.height, one.width) == (16, 32)
    assert (sleeper.inputs[0].shape, sleeper.inputs[0].dtype) == ((1, 16, 32, 3), np.uint8)
    with pytest.raises(UsageError, match="32x16"):
        list(time_calls(fixed, "B2A", sleeper, [(32, 32)], [1], seconds=0))


def test_a_model_from_noise_has_no_size(noise_model, sleeper):
    spec = read_spec(noise_model)
    (one,) = time_calls(spec, "generate", sleeper, [], [7], seconds=0)
    assert (one.height, one.width, sleeper.inputs[0].shape) == (None, None, (7, spec.latent_generator.latent))
    with pytest.raises(UsageError, match="--size"):
        list(time_calls(spec, "generate", sleeper, [(32, 32)], [1], seconds=0))


@pytest.mark.parametrize("name", ["noise_model", "texture_model"])
def test_networks_from_noise_get_what_they_take(name, request, tmp_path):
    """Latents or maps of them, in the exported file, which refuses anything else."""
    i2i.export(request.getfixturevalue(name), tmp_path / "m.onnx")
    spec, backend, part = open_backend(tmp_path / "m.onnx", lambda _: "generate", "cpu")
    (one,) = time_calls(spec, part, backend, [], [2], seconds=0)
    assert (one.height, one.batch, one.calls) == (None, 2, 5)
