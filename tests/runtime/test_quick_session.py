"""Folders of many pictures: Winograd's convolutions where the first picture proves them equal, and never otherwise."""

import numpy as np
import pytest
import torch

import i2i
from i2i.images import read_image
from i2i.models import winograd
from i2i.models.modelfile import save_model
from i2i.models.spec import ModelSpec, translating
from i2i.networks import GENERATORS
from i2i.runtime import quick_session
from i2i.runtime.backends import OnnxBackend
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.translator import Translator
from tests.conftest import picture, save


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A ResNet with two blocks of 8 channels, as .onnx."""
    folder = tmp_path_factory.mktemp("resnet")
    arguments = {"in_channels": 3, "out_channels": 3, "blocks": 2, "width": 2}
    torch.manual_seed(0)
    module = GENERATORS["resnet"](**arguments)
    spec = ModelSpec(
        i2i_version=i2i.__version__,
        algorithm="cyclegan",
        parts={"A2B": translating("resnet", arguments, 3, 3, module.size_multiple, module.size_minimum)},
        norm_statistics="image",
        trained_crop_px=32,
        trained_side_px=32,
    )
    save_model(folder / "model.safetensors", spec, {"A2B": module})
    save(folder / "in" / "a.png", 40, 50)
    i2i.export(folder / "model.safetensors", folder / "model.onnx", verify=folder / "in")
    return folder / "model.onnx"


@pytest.fixture
def opened(monkeypatch):
    """The files that were rewritten, with layers of 8 channels."""
    found = []
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 8)
    plain = quick_session.rewritten

    def noted(content):
        found.append(plain(content))
        return found[-1]

    monkeypatch.setattr(quick_session, "rewritten", noted)
    return found


def image(side=32, count=1):
    return (
        np.stack([picture(side, side, seed=seed) for seed in range(count)]).transpose(0, 3, 1, 2).astype(np.float32)
        / 127.5
        - 1
    )


def test_many_images_take_the_quick_way_and_few_the_plain_one(resnet, opened):
    backend = OnnxBackend(resnet, "cpu", 1)
    assert backend.for_many(quick_session.MANY - 1) is backend
    quick = backend.for_many(quick_session.MANY)
    plain = backend.run(image())
    assert opened == []
    np.testing.assert_allclose(quick.run(image()), plain, atol=1e-4)
    assert quick._quick.session is not None
    assert (quick.run(image()) != plain).any()  # it is another way
    np.testing.assert_array_equal(backend.run(image()), plain)
    np.testing.assert_array_equal(quick.run(image(count=2)), backend.run(image(count=2)))
    assert len(opened) == 1
    other = quick.with_threads(2)
    np.testing.assert_allclose(other.run(image()), plain, atol=1e-4)
    assert other._quick.session is not None


def test_large_images_take_the_plain_way(resnet, opened, monkeypatch):
    monkeypatch.setattr(quick_session, "_MOST_VALUES", 3 * 32 * 32)
    backend = OnnxBackend(resnet, "cpu", 1)
    quick = backend.for_many(100)
    np.testing.assert_array_equal(quick.run(image(64)), backend.run(image(64)))
    assert opened == []
    quick.run(image(32))
    assert len(opened) == 1


@pytest.mark.parametrize("damage", ["other values", "nothing to open", "no layer"])
def test_what_is_not_equal_is_not_used(resnet, monkeypatch, damage):
    made = {"other values": _with_other_kernels(resnet), "nothing to open": b"no model", "no layer": None}[damage]
    monkeypatch.setattr(quick_session, "rewritten", lambda content: made)
    backend = OnnxBackend(resnet, "cpu", 1)
    quick = backend.for_many(100)
    for _ in range(2):
        np.testing.assert_array_equal(quick.run(image()), backend.run(image()))
    assert quick._quick.session is None


def _with_other_kernels(file):
    """The same graph, with other kernels in its first block."""
    import onnx

    model = onnx.load(file)
    weight = next(one for one in model.graph.initializer if "blocks.0" in one.name)
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0] += 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return model.SerializeToString()


def test_a_folder_comes_out_within_a_level(resnet, opened, tmp_path, monkeypatch):
    """And not where it has fewer pictures than pay."""
    for number in range(6):
        save(tmp_path / "in" / f"{number}.png", 33 + number, 40, seed=number)
    made = {}
    for most, name in ((7, "plain"), (6, "quick")):
        monkeypatch.setattr("i2i.runtime.onnx_backend.MANY", most)
        options = PictureOptions(format="png")
        tasks = list_tasks(tmp_path / "in", tmp_path / name, 3, options=options)
        result = translate_files(Translator.open(resnet, device="cpu"), tasks, options=options)
        assert (result.written, result.refused) == (6, [])
        assert len(opened) == (name == "quick")
        made[name] = [read_image(path).astype(int) for path in sorted((tmp_path / name).iterdir())]
    for one, other in zip(*made.values(), strict=True):
        assert np.abs(one - other).max() <= 1
