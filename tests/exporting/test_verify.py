"""A finished file is proved again on the machine that runs it, and a device that computes something else is found."""

import shutil
from pathlib import Path

import pytest

import i2i
from i2i.errors import ExportError, UsageError
from i2i.exporting import verify
from i2i.exporting.verify import verify_onnx
from i2i.models.modelfile import load_generator, read_spec, save_model
from i2i.runtime.backends import OnnxBackend
from tests.conftest import run_i2i
from tests.exporting.test_origin import described_anew


@pytest.fixture
def alone(tiny_onnx, tmp_path):
    """The file without its model."""
    return Path(shutil.copy(tiny_onnx, tmp_path / "alone.onnx"))


@pytest.fixture
def spoil(monkeypatch):
    """A function that lets ONNX Runtime compute something else, on a device of another name."""

    def spoil(by, device="cpu", only=None):
        run = OnnxBackend.run

        def spoiled(self, batch):
            return run(self, batch) + (by if only in (None, self.device) else 0)

        def opened(*words):
            spec, backend, part = i2i.runtime.backends.open_backend(words[0], words[1], "cpu")
            backend.device = device
            return spec, backend, part

        monkeypatch.setattr(OnnxBackend, "run", spoiled)
        monkeypatch.setattr(verify, "open_backend", opened)

    return spoil


def test_with_the_model_beside_it_the_proof_is_that_of_the_export(tiny_onnx, spoil):
    found = verify_onnx(tiny_onnx, "cpu")
    assert (found.device, found.proof.pictures, found.proof.source, found.notes) == ("cpu", 3, "val", [])
    assert found.proof == found.spec.proof
    spoil(2e-4)
    with pytest.raises(ExportError, match=r"\.png"):
        verify_onnx(tiny_onnx)


def test_other_devices_may_be_two_levels_off(tiny_onnx, spoil):
    spoil(2e-4, "cuda")
    assert verify_onnx(tiny_onnx).proof.max_difference > 1e-4
    spoil(0.02, "cuda")
    with pytest.raises(ExportError, match="device"):
        verify_onnx(tiny_onnx)


def test_without_its_model_a_file_answers_its_self_test(alone, noise_onnx, tmp_path, spoil):
    for file in (alone, Path(shutil.copy(noise_onnx, tmp_path / "noise.onnx"))):
        found = verify_onnx(file, "cpu")
        assert found.proof is None
        assert found.self_test < 1e-4
        assert found.cpu is None
        assert "No model" in found.notes[-1]
    spoil(0.02)
    with pytest.raises(ExportError, match="torch's answers"):
        verify_onnx(alone)


def test_without_torch_another_device_is_compared_with_the_cpu(tiny_onnx, monkeypatch, tmp_path, spoil):
    monkeypatch.setattr(verify, "is_installed", lambda package: False)
    with pytest.raises(UsageError, match="torch"):
        verify_onnx(tiny_onnx, model=tiny_onnx.parent)
    spoil(0.01, "cuda", only="cuda")
    found = verify_onnx(tiny_onnx)
    assert found.cpu == pytest.approx(0.01, abs=1e-4)
    assert found.self_test == pytest.approx(0.01, abs=1e-4)
    old = described_anew(tiny_onnx, tmp_path / "old.onnx", lambda spec: spec.pop("self_test"))
    assert verify_onnx(old).self_test is None
    spoil(0.02, "cuda", only="cuda")
    with pytest.raises(ExportError, match="the CPU"):
        verify_onnx(old)


def test_a_file_of_pixels_is_proved_on_made_up_pictures(tiny_run, few_pairs, tmp_path):
    model = shutil.copy(tiny_run / "model.safetensors", tmp_path)
    i2i.export(model, tmp_path / "m.onnx", verify=few_pairs / "val", io="image", size=(20, 30))
    found = verify_onnx(tmp_path / "m.onnx", "cpu")
    assert (found.proof.source, found.proof.pictures) == ("made-up ones", 2)
    assert found.proof.max_difference <= 1
    Path(model).unlink()
    assert verify_onnx(tmp_path / "m.onnx", "cpu").self_test <= 1


def test_a_model_that_trained_on_is_not_taken_for_the_files(alone, tiny_run):
    spec = read_spec(tiny_run / "model.safetensors")
    later = spec.model_copy(update={"images_seen": spec.images_seen + 16})
    network = load_generator(tiny_run / "model.safetensors", spec, "B2A")
    save_model(alone.with_suffix(".safetensors"), later, {"B2A": network})
    found = verify_onnx(alone, "cpu")
    assert found.proof is None
    assert "32 images" in found.notes[-1]
    with pytest.raises(UsageError, match="32 images"):
        verify_onnx(alone, "cpu", alone.with_suffix(".safetensors"))
    alone.with_suffix(".safetensors").write_bytes(b"damaged")
    assert verify_onnx(alone, "cpu").self_test < 1e-4


def test_what_cannot_be_verified_is_named(tiny_onnx, alone, tiny_run, tmp_path):
    old = described_anew(tiny_onnx, tmp_path / "old.onnx", lambda spec: spec.pop("self_test"))
    with pytest.raises(UsageError, match="earlier version"):
        verify_onnx(old, "cpu")
    for words, named in (
        (["--verify", tiny_run / "model.safetensors"], "not an .onnx file"),
        (["--verify", alone, "-o", tmp_path / "m.onnx"], "-o"),
        (["--verify", alone, "--precision", "fp16"], "--precision"),
        (["--verify", alone, "--device", "coreml"], "coreml"),
        ([tiny_run, "-o", tmp_path / "m.onnx", "--device", "cpu"], "--verify FILE"),
        (["--device", "cpu"], "-m"),
    ):
        done = run_i2i("export", *words)
        assert done.returncode == 2
        assert named in done.stderr
    assert sorted(tmp_path.iterdir()) == [alone, old]


def test_the_command_says_what_was_compared(tiny_onnx, alone):
    done = run_i2i("export", "--verify", tiny_onnx, "--device", "cpu")
    assert done.returncode == 0
    assert "Note" not in done.stderr
    assert "on cpu" in done.stdout
    done = run_i2i("export", tiny_onnx.parent, "--verify", alone)
    assert "3 pictures" in done.stdout
    done = run_i2i("export", "--verify", alone)
    assert "torch's answers" in done.stdout
    assert "No model" in done.stderr
