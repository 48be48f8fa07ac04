"""Nodes of ComfyUI, called as it calls them, without it."""

import importlib.util
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import i2i
from i2i.errors import ModelError, UsageError
from i2i.hosts.comfyui import MODEL, LoadModel, TranslateImages
from i2i.images import cut_out, to_channels, write_image
from i2i.models.shipped import shipped_names
from tests.conftest import ROOT, picture
from tests.runtime.test_holes import HOLE, filler  # noqa: F401

TYPES = {"IMAGE": torch.Tensor, "MASK": torch.Tensor, "STRING": str, "INT": int, "FLOAT": float}


class Cancelled(Exception):
    """What ComfyUI raises where its user cancels."""


@pytest.fixture
def comfy(tmp_path, monkeypatch):
    """A stand-in for ComfyUI: its folders, its bar, and the custom node of docs/hosts.md."""
    models = tmp_path / "models"
    known = {}

    def list_files(name):
        return sorted(str(file.relative_to(known[name])) for file in known[name].rglob("*") if file.is_file())

    paths = SimpleNamespace(
        models_dir=str(models),
        folder_names_and_paths=known,
        add_model_folder_path=lambda name, path: known.setdefault(name, models / path),
        get_filename_list=list_files,
        get_full_path=lambda name, file: str(known[name] / file),
    )
    host = SimpleNamespace(models=models, updates=[], total=None, cancelled=False)

    def stop():
        if host.cancelled:
            raise Cancelled

    def bar(total):
        host.total = total
        return SimpleNamespace(update=host.updates.append)

    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    monkeypatch.setitem(sys.modules, "comfy.utils", SimpleNamespace(ProgressBar=bar))
    management = SimpleNamespace(throw_exception_if_processing_interrupted=stop)
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    node = tmp_path / "i2i_nodes.py"
    node.write_text(re.search(r"```python\n(.*?)```", (ROOT / "docs/hosts.md").read_text("utf-8"), re.DOTALL)[1])
    spec = importlib.util.spec_from_file_location("i2i_nodes", node)
    host.nodes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(host.nodes)
    assert set(host.nodes.NODE_CLASS_MAPPINGS) == set(host.nodes.NODE_DISPLAY_NAME_MAPPINGS)
    return host


@torch.inference_mode()
def run(host, name, **given):
    """Check what a node is given against what it asks for, and run it."""
    node = host.nodes.NODE_CLASS_MAPPINGS[name]
    asked = node.INPUT_TYPES()
    fields = {**asked["required"], **asked.get("optional", {})}
    assert set(asked["required"]) <= set(given) <= set(fields)
    for field, value in given.items():
        kind = fields[field][0]
        assert value in kind if isinstance(kind, list) else isinstance(value, TYPES.get(kind, object))
    outputs = getattr(node(), node.FUNCTION)(**given)
    assert len(outputs) == len(node.RETURN_TYPES)
    assert node.RETURN_TYPES in (("IMAGE",), (MODEL,))
    return outputs[0]


def as_comfy(*arrays):
    """Pictures as its loader makes them."""
    return torch.from_numpy(np.stack(arrays).astype(np.float32) / 255.0)


def as_saved(images):
    """Pictures as its node for saving writes them."""
    return np.clip(255.0 * images.numpy(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(37, 50), (16, 16)])
def test_pictures_are_those_of_translate(comfy, tiny_run, shape):
    model = run(comfy, "I2ILoad", model="lineart", path=str(tiny_run), device="cpu")
    arrays = [picture(*shape, seed=seed) for seed in (0, 1)]
    made = run(comfy, "I2ITranslate", model=model, image=as_comfy(*arrays))
    assert (made.shape, made.dtype) == ((2, *shape, 3), torch.float32)
    assert np.array_equal(as_saved(made), np.stack(i2i.translate(arrays, tiny_run, device="cpu")))
    assert (comfy.total, comfy.updates) == (2, [1, 1])


def test_floats_keep_more_than_8_bits(comfy, tiny_run):
    model = run(comfy, "I2ILoad", model="lineart", path=str(tiny_run), device="cpu")
    image = as_comfy(picture(20, 30)) * 0.987 + 0.001
    made = run(comfy, "I2ITranslate", model=model, image=image)
    deep = np.rint(image[0].numpy() * 65535).astype(np.uint16)
    expected = i2i.translate(deep, tiny_run, device="cpu")
    assert np.array_equal(np.rint(made[0].numpy() * 65535), expected)
    assert not np.array_equal(as_comfy(as_saved(made)[0])[0], made[0])


def test_alpha_that_was_inverted_twice_is_still_8_bits(comfy, tiny_run):
    model = run(comfy, "I2ILoad", model="lineart", path=str(tiny_run), device="cpu")
    array = picture(40, 256, 4)
    image = as_comfy(array)
    image[..., 3] = 1.0 - (1.0 - image[..., 3])  # as LoadImage and JoinImageWithAlpha do
    assert not torch.equal(image, as_comfy(array))
    made = run(comfy, "I2ITranslate", model=model, image=image)
    assert np.array_equal(as_saved(made)[0], i2i.translate(array, tiny_run, device="cpu"))


def test_models_in_its_folder_are_offered(comfy, tiny_run, tiny_onnx):
    folder = comfy.models / "i2i"
    folder.mkdir(parents=True)
    (folder / "mine.onnx").write_bytes(tiny_onnx.read_bytes())
    (folder / "notes.txt").write_text("")
    node = comfy.nodes.NODE_CLASS_MAPPINGS["I2ILoad"]
    assert node.INPUT_TYPES()["required"]["model"][0] == ["mine.onnx", *shipped_names()]
    made = run(comfy, "I2ITranslate", model=run(comfy, "I2ILoad", model="mine.onnx"), image=as_comfy(picture(20, 20)))
    assert np.array_equal(as_saved(made)[0], i2i.translate(picture(20, 20), tiny_onnx))
    before = node.IS_CHANGED(model="mine.onnx")
    (folder / "mine.onnx").write_bytes(tiny_onnx.read_bytes())
    assert node.IS_CHANGED(model="mine.onnx") != before


def test_a_mask_says_what_is_filled(comfy, filler, tiny_run, tmp_path):  # noqa: F811
    array = picture(22, 31)
    mask = torch.from_numpy(HOLE[None].astype(np.float32))
    model = run(comfy, "I2ILoad", model="lineart", path=str(filler), device="cpu")
    made = as_saved(run(comfy, "I2ITranslate", model=model, image=as_comfy(array), mask=mask))[0]
    write_image(tmp_path / "erased.png", cut_out(array, HOLE))
    expected = i2i.load(filler, device="cpu")(tmp_path / "erased.png", mask="auto").array
    assert np.array_equal(made, expected)
    other = run(comfy, "I2ILoad", model="lineart", path=str(tiny_run), device="cpu")
    with pytest.raises(UsageError):
        run(comfy, "I2ITranslate", model=other, image=as_comfy(array), mask=mask)


def test_seeds_make_the_pictures_of_generate(comfy, named_model, cppn_model):
    model = run(comfy, "I2ILoad", model="lineart", path=str(named_model), device="cpu")
    name = i2i.load(named_model).generator.blocks[-1].classes[1]
    made = run(comfy, "I2IGenerate", model=model, seed=3, count=2, labels=name)
    expected = i2i.generate(named_model, seeds=[3, 4], labels=[name], device="cpu")
    assert np.array_equal(as_saved(made), np.stack([to_channels(np.asarray(one), 3) for one in expected]))
    model = run(comfy, "I2ILoad", model="lineart", path=str(cppn_model), device="cpu")
    wide = run(comfy, "I2IGenerate", model=model, seed=0, count=1, width=40, height=24)
    (expected,) = i2i.generate(cppn_model, seeds=1, size=(24, 40), device="cpu")
    assert np.array_equal(as_saved(wide)[0], np.asarray(expected.convert("RGB")))
    with pytest.raises(UsageError, match="Translate"):
        run(comfy, "I2IGenerate", model=i2i.load("lineart", device="cpu"), seed=0, count=1)
    with pytest.raises(UsageError, match="Generate"):
        run(comfy, "I2ITranslate", model=model, image=as_comfy(picture(8, 8)))


def test_cancel_reaches_the_work(comfy, tiny_run):
    model = run(comfy, "I2ILoad", model="lineart", path=str(tiny_run), device="cpu")
    comfy.cancelled = True
    with pytest.raises(Cancelled):
        run(comfy, "I2ITranslate", model=model, image=as_comfy(picture(20, 20)))
    with pytest.raises(Cancelled):
        model.before_tile()


def test_what_cannot_go_through_is_refused(comfy, tiny_run):
    model = run(comfy, "I2ILoad", model="lineart", path=str(tiny_run), device="cpu")
    image = as_comfy(picture(20, 20))
    image[0, 3, 4, 1] = float("nan")
    with pytest.raises(ModelError):
        run(comfy, "I2ITranslate", model=model, image=image)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        (torch.zeros(8, 8, 3), None),
        (torch.zeros(0, 8, 8, 3), None),
        (torch.zeros(1, 0, 8, 3), None),
        (torch.zeros((1, 8, 8, 3), dtype=torch.uint8), None),  # would be clipped to black and white
        (torch.zeros(1, 8, 8, 3), torch.zeros(0, 8, 8)),
        (torch.zeros(1, 8, 8, 3), torch.zeros(8, 8)),
        (torch.zeros(1, 8, 8, 3), torch.zeros(1, 4, 8)),
    ],
)
def test_tensors_of_other_nodes_are_checked(tiny_run, image, mask):
    model = LoadModel().open("", str(tiny_run), device="cpu")[0]
    with pytest.raises(UsageError, match=r"image|mask"):
        TranslateImages().translate(model, image, mask)


def test_floats_of_any_precision_go_through(tiny_run):
    model = LoadModel().open("", str(tiny_run), device="cpu")[0]
    images = torch.from_numpy(picture(20, 24)[None] / np.float32(255)).bfloat16()
    (made,) = TranslateImages().translate(model, images.requires_grad_())
    (float32,) = TranslateImages().translate(model, images.detach().float())
    assert torch.equal(made, float32)
