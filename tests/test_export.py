"""Export: one file with plain names that equals torch, or no file."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch

import i2i
from i2i import export as module
from i2i.errors import ExportError, UsageError
from i2i.modelfile import save_model
from i2i.networks import GENERATORS
from i2i.networks.layers import set_norm_statistics
from i2i.runtime.backends import TorchBackend
from i2i.runtime.latents import seed_latents
from i2i.spec import GeneratorSpec, ModelSpec
from tests.conftest import picture, save


def test_the_file_is_plain_and_describes_itself(tiny_run, tiny_onnx):
    model = onnx.load(tiny_onnx)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    for value, name, channels in ((model.graph.input[0], "image", 3), (model.graph.output[0], "output", 3)):
        assert value.name == name
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert dims == ["batch", channels, "height", "width"]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    spec = ModelSpec.model_validate(json.loads(metadata["i2i"]))
    assert spec.model_copy(update={"proof": None}) == i2i.load(tiny_run).spec
    assert spec.proof is not None
    assert 0 <= spec.proof.mean_difference <= spec.proof.max_difference <= 1e-4
    assert (spec.proof.pictures, spec.proof.source) == (3, "val")


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("unet", {"depth": 4, "width": 4}),
        ("unet", {"depth": 5, "width": 4, "upsample": "resize", "norm": "none"}),
        ("resnet", {"blocks": 1, "width": 4}),
        ("resnet", {"blocks": 1, "width": 4, "norm": "batch", "upsample": "resize", "downsample": "blur"}),
    ],
)
def test_every_generator_exports_equal(tmp_path, network, arguments, statistics):
    made = GENERATORS[network](in_channels=1, out_channels=4, **arguments)
    for _ in range(2):  # running statistics of their own
        made(torch.rand(2, 1, 64, 64))
    set_norm_statistics(made.eval(), statistics)
    spec = model_spec(network, {"in_channels": 1, "out_channels": 4, **arguments}, made, statistics)
    save_model(tmp_path / "m.safetensors", spec, {"A2B": made})
    save(tmp_path / "pictures" / "a.png", 50, 70, 1)
    proof = i2i.export_onnx(tmp_path / "m.safetensors", tmp_path / "m.onnx", verify=tmp_path / "pictures").proof
    assert proof.max_difference < 1e-4
    assert proof.source == str(tmp_path / "pictures")
    ours, exported = i2i.load(tmp_path / "m.safetensors"), i2i.load(tmp_path / "m.onnx")
    array = picture(37, 91, 1)
    difference = ours(array).astype(int) - exported(array)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 1e-3


def model_spec(network, arguments, made, statistics):
    generator = GeneratorSpec(
        network=network,
        arguments=arguments,
        in_channels=1,
        in_meaning="grey",
        out_channels=4,
        out_meaning="rgba",
        size_multiple=made.size_multiple,
        size_minimum=made.size_minimum,
    )
    return ModelSpec(
        i2i_version=i2i.__version__,
        algorithm="pix2pix",
        generators={"A2B": generator},
        norm_statistics=statistics,
        trained_crop_px=32,
        trained_side_px=32,
    )


def test_a_graph_that_differs_fails_and_leaves_no_file(tiny_run, tmp_path, monkeypatch):
    """A norm layer left in training mode: the graph then differs from what translate shows."""
    write = module._write_graph

    def broken(job, path):
        other = i2i.load(tiny_run, device="cpu")
        assert isinstance(other.backend, TorchBackend)
        set_norm_statistics(other.backend.network, "image")
        write(job._replace(backend=other.backend), path)

    monkeypatch.setattr(module, "_write_graph", broken)
    with pytest.raises(ExportError, match=r"differs from torch by up to .* 0\.0001 is allowed. No file was written"):
        i2i.export_onnx(tiny_run, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_generator_from_noise_is_plain_too(noise_model, noise_onnx):
    model = onnx.load(noise_onnx)
    onnx.checker.check_model(model, full_check=True)
    for value, name, dims in (
        (model.graph.input[0], "latent", ["batch", 16]),
        (model.graph.output[0], "output", ["batch", 3, 32, 32]),
    ):
        assert value.name == name
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == dims
    spec = i2i.load(noise_onnx).spec
    assert spec.model_copy(update={"proof": None}) == i2i.load(noise_model).spec
    assert spec.proof is not None
    assert 0 <= spec.proof.mean_difference <= spec.proof.max_difference <= 1e-4
    assert (spec.proof.pictures, spec.proof.source) == (5, "seeds 0 to 4")


def test_points_export_equal(point_model, tmp_path):
    i2i.export_onnx(point_model, tmp_path / "m.onnx")
    latents = seed_latents(range(200), 2)
    ours, exported = (i2i.load(path, device="cpu").points(latents) for path in (point_model, tmp_path / "m.onnx"))
    np.testing.assert_allclose(exported, ours, atol=1e-5)


def test_what_makes_no_sense_of_noise_is_named(noise_model, tmp_path):
    for words in ({"direction": "A2B"}, {"verify": tmp_path}):
        with pytest.raises(UsageError, match="Leave out --direction and --verify"):
            i2i.export_onnx(noise_model, tmp_path / "m.onnx", **words)
    assert list(tmp_path.iterdir()) == []


def test_both_directions_become_two_files(two_way_run, tmp_path):
    specs = module.export_both(two_way_run, tmp_path / "m.onnx")
    assert sorted(tmp_path.iterdir()) == list(specs) == [tmp_path / "m.A2B.onnx", tmp_path / "m.B2A.onnx"]
    array = picture(20, 30)
    for path, direction in zip(specs, ("A2B", "B2A"), strict=True):
        exported = i2i.load(path)
        assert list(exported.spec.generators) == [direction]
        difference = exported(array).astype(int) - i2i.load(two_way_run, direction)(array)
        assert np.abs(difference).max() <= 1
    with pytest.raises(UsageError, match=r"m\.A2B\.onnx exists already"):
        module.export_both(two_way_run, tmp_path / "m.onnx")


def test_both_directions_or_neither(two_way_run, tiny_run, tmp_path, monkeypatch):
    def second_fails(job, onnx_file):
        if "B2A" in job.spec.generators:
            raise ExportError("No.")

    for name, instead in (("_write_graph", lambda *_: None), ("_describe", lambda *_: None), ("_prove", second_fails)):
        monkeypatch.setattr(module, name, instead)
    with pytest.raises(ExportError):
        module.export_both(two_way_run, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m.B2A.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"m\.B2A\.onnx exists already"):
        module.export_both(two_way_run, tmp_path / "m.onnx")
    with pytest.raises(ExportError):
        module.export_both(two_way_run, tmp_path / "m.onnx", overwrite=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]
    with pytest.raises(UsageError, match="translates B2A, not A2B"):
        module.export_both(tiny_run, tmp_path / "new.onnx")


def test_nan_is_no_equality(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    from safetensors.torch import load_file, save_file

    tensors = load_file(tmp_path / "run" / "model.safetensors")
    tensors["B2A.down.0.1.weight"].fill_(float("nan"))
    save_file(tensors, tmp_path / "run" / "model.safetensors", {"i2i": i2i.load(tiny_run).spec.model_dump_json()})
    with pytest.raises(ExportError):
        i2i.export_onnx(tmp_path / "run", tmp_path / "m.onnx")


def test_what_cannot_be_exported_is_named(tiny_run, tiny_onnx, tmp_path):
    with pytest.raises(UsageError, match="is an ONNX file already"):
        i2i.export_onnx(tiny_onnx, tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=r"does not end in \.onnx"):
        i2i.export_onnx(tiny_run, tmp_path / "m.pt")
    shutil.copy(tiny_run / "model.safetensors", tmp_path)
    with pytest.raises(UsageError, match="Add --verify FOLDER"):
        i2i.export_onnx(tmp_path / "model.safetensors", tmp_path / "m.onnx")
    (tmp_path / "config.yaml").write_text("algorithm: [", encoding="utf-8")
    with pytest.raises(UsageError, match=r"The pictures of the run cannot be read.*\nAdd --verify FOLDER"):
        i2i.export_onnx(tmp_path / "model.safetensors", tmp_path / "m.onnx")
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"exists already\. Add --overwrite"):
        i2i.export_onnx(tiny_run, tmp_path / "mine.onnx")
    assert (tmp_path / "mine.onnx").read_bytes() == b"mine"
    with pytest.raises(UsageError, match="no folder with pictures"):
        i2i.export_onnx(tiny_run, tmp_path / "m.onnx", verify=tmp_path / "nowhere")
