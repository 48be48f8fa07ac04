"""docs/deploy.md: its programs are files that run here without i2i."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.errors import UsageError
from i2i.exporting import ExportOptions, export_model
from i2i.exporting.triton import MAX_BATCH, triton_config
from i2i.images import read_image, write_image
from tests.conftest import ROOT, load_script, picture, save

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def pixels_onnx(tiny_run, tmp_path_factory) -> Path:
    """A model for pixels."""
    path = tmp_path_factory.mktemp("deploy") / "model.onnx"
    i2i.export(tiny_run, path, io="image")
    return path


def run(*words, cwd):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done


def is_as_i2i_has_it(model, folder, suffix):
    translated = read_image(folder / f"drawing{suffix}").astype(int)
    expected = i2i.load(model, device="cpu")(picture(37, 50))
    assert translated.shape == (37, 50, 3)
    assert np.abs(translated - expected).max() <= 1  # another version of ONNX Runtime may round differently


def test_the_page_shows_the_programs_that_are_tested():
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```(?:python|js|cpp)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown == [(EXAMPLES / f"translate.{kind}").read_text(encoding="utf-8") for kind in ("py", "mjs", "cpp")]
    assert "i2i" not in "".join(shown)


def test_python(pixels_onnx, tmp_path):
    save(tmp_path / "photo.png", 37, 50)
    done = run(sys.executable, EXAMPLES / "translate.py", pixels_onnx, "photo.png", "drawing.png", cwd=tmp_path)
    assert "CUDA" not in done.stderr  # where ONNX Runtime cannot start its CUDA provider, it prints errors
    is_as_i2i_has_it(pixels_onnx, tmp_path, ".png")


def test_python_lays_transparent_pictures_on_white_as_training_does(pixels_onnx, tmp_path):
    array = picture(37, 50, 4)
    array[array[:, :, 3] < 99, :3] = 0  # hidden colours are black, as in many icons
    write_image(tmp_path / "icon.png", array)
    run(sys.executable, EXAMPLES / "translate.py", pixels_onnx, "icon.png", "drawing.png", cwd=tmp_path)
    expected = i2i.load(pixels_onnx, device="cpu")(array, alpha="drop").astype(int)
    assert np.abs(read_image(tmp_path / "drawing.png") - expected).max() <= 1


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
    """Both runtimes from npm; skips where they cannot be had."""
    folder = tmp_path_factory.mktemp("node")
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("node or npm is not installed")
    words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "onnxruntime-node", "onnxruntime-web"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer")
    if done.returncode:
        pytest.skip(f"npm has no onnxruntime here: {done.stderr[-200:]}")
    yield folder
    shutil.rmtree(folder / "node_modules")  # 0.4 GB


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime-node", "onnxruntime-web"])
def test_javascript(pixels_onnx, node_modules, runtime):
    save(node_modules / "photo.ppm", 37, 50)
    shutil.copy(EXAMPLES / "translate.mjs", node_modules)
    (node_modules / "drawing.ppm").unlink(missing_ok=True)
    run("node", "translate.mjs", pixels_onnx, "photo.ppm", "drawing.ppm", runtime, cwd=node_modules)
    is_as_i2i_has_it(pixels_onnx, node_modules, ".ppm")


@pytest.mark.slow
def test_cpp(pixels_onnx, tmp_path):
    """Built with the release in $ONNXRUNTIME_DIR (its include and lib) or Debian's libonnxruntime-dev."""
    release = os.environ.get("ONNXRUNTIME_DIR")
    include = Path(release, "include") if release else Path("/usr/include/onnxruntime")
    if not shutil.which("g++") or not (include / "onnxruntime_cxx_api.h").exists():
        pytest.skip("g++ or ONNX Runtime's headers are not installed")
    save(tmp_path / "photo.ppm", 37, 50)
    library = [f"-L{release}/lib", f"-Wl,-rpath,{release}/lib"] if release else []
    words = ["-std=c++17", "-Wall", f"-I{include}", *library, EXAMPLES / "translate.cpp", "-o", "translate"]
    run("g++", *words, "-lonnxruntime", cwd=tmp_path)
    run("./translate", pixels_onnx, "photo.ppm", "drawing.ppm", cwd=tmp_path)
    is_as_i2i_has_it(pixels_onnx, tmp_path, ".ppm")


def parsed(config):
    """Parsed with Triton's own schema, which refuses unknown fields."""
    schema = importlib.util.find_spec("tritonclient")
    if schema is None or not schema.submodule_search_locations:
        pytest.skip("tritonclient is not installed")
    text_format = pytest.importorskip("google.protobuf.text_format")
    (folder,) = schema.submodule_search_locations
    # The module alone: its package imports gRPC.
    return text_format.Parse(config, load_script(Path(folder, "grpc", "model_config_pb2.py")).ModelConfig())


def test_triton_config_is_of_the_file(pixels_onnx, tiny_onnx):
    assert triton_config(pixels_onnx, "lineart").splitlines()[:5] == [
        'name: "lineart"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MAX_BATCH}",
        'input [ { name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]',
        'output [ { name: "output" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]',
    ]
    assert 'input [ { name: "image" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] } ]' in triton_config(tiny_onnx, "x")


def test_triton_config_keeps_to_the_published_schema(pixels_onnx):
    config = parsed(triton_config(pixels_onnx, "lineart"))
    (taken,), (given,) = config.input, config.output
    assert config.max_batch_size == MAX_BATCH
    assert config.HasField("dynamic_batching")
    for port, name in ((taken, "image"), (given, "output")):
        assert (port.name, list(port.dims)) == (name, [-1, -1, 3])
        assert type(config).DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number[port.data_type].name == (
            "TYPE_UINT8"
        )


def test_a_repository_for_triton(tiny_run, tmp_path):
    options = ExportOptions(triton=tmp_path / "models", io="image", size=(16, 32))
    ((path, spec),) = export_model(tiny_run, options).items()
    files = [file for file in sorted(tmp_path.rglob("*")) if file.is_file()]
    assert files == [tmp_path / "models" / "tiny" / "1" / "model.onnx", tmp_path / "models" / "tiny" / "config.pbtxt"]
    assert path == files[0]
    assert spec.fixed_size == (16, 32)
    config = files[1].read_text(encoding="utf-8")
    assert config == triton_config(path, "tiny")
    assert "dims: [ 16, 32, 3 ]" in config
    with pytest.raises(UsageError, match=r"1.model\.onnx"):
        export_model(tiny_run, ExportOptions(triton=tmp_path / "models"))


def test_versions_for_triton_share_a_config(tiny_run, tmp_path):
    def export(version, **options):
        chosen = ExportOptions(triton=tmp_path, triton_version=version, **options)
        return [path.relative_to(tmp_path).as_posix() for path in export_model(tiny_run, chosen)]

    config = tmp_path / "tiny" / "config.pbtxt"
    assert export(3, io="image") == ["tiny/3/model.onnx"]
    edited = config.read_text(encoding="utf-8") + "instance_group { count: 2 }\n"
    config.write_text(edited, encoding="utf-8")
    assert export(4, io="image") == ["tiny/4/model.onnx"]
    with pytest.raises(UsageError, match=r"3.model\.onnx"):
        export(3, io="image")
    with pytest.raises(UsageError, match=r"config\.pbtxt .*TYPE_FP32"):
        export(5)
    assert not (tmp_path / "tiny" / "5").exists()
    assert config.read_text(encoding="utf-8") == edited
    assert export(5, overwrite=True) == ["tiny/5/model.onnx"]
    assert "TYPE_FP32" in config.read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [{"output": "m.onnx", "triton_version": 2}, {"triton": "m", "triton_version": 0}])
def test_a_version_that_triton_does_not_take_is_refused(options):
    with pytest.raises(UsageError, match="triton-version"):
        ExportOptions(**options)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a:b"])
def test_a_name_that_no_server_takes_is_refused(tiny_run, tmp_path, name):
    (tmp_path / name).mkdir()
    shutil.copy(tiny_run / "model.safetensors", tmp_path / name)
    with pytest.raises(UsageError, match=r"_\.-"):
        export_model(tmp_path / name, ExportOptions(triton=tmp_path / "models", verify=tmp_path))
    assert not (tmp_path / "models").exists()
