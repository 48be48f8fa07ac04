"""Masks of `i2i translate`: what is outside a hole stays as it is, bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import i2i
from i2i.config.derive import FreeFormMask
from i2i.images import cut_out, read_image, write_image
from i2i.models.modelfile import save_model
from i2i.models.spec import Derivation, ModelSpec, translating
from i2i.networks import UNet
from tests.cli.test_cli import call
from tests.conftest import picture, save


@pytest.fixture(scope="module")
def filler(tmp_path_factory):
    """A model that fills holes, untrained."""
    torch.manual_seed(0)
    arguments = {"in_channels": 4, "out_channels": 3, "depth": 4, "width": 4, "dropout": 0, "fills_holes": True}
    spec = ModelSpec(
        i2i_version="0",
        algorithm="context_encoder",
        parts={"A2B": translating("unet", arguments, 4, 3, 16, 16)},
        norm_statistics="image",
        derivation=Derivation(settings=FreeFormMask()),
        trained_crop_px=16,
        trained_side_px=16,
    )
    path = tmp_path_factory.mktemp("filler") / "model.safetensors"
    save_model(path, spec, {"A2B": UNet(**arguments)})
    return path


def read(name):
    return read_image(Path(name))


HOLE = np.zeros((22, 31), bool)
HOLE[4:13, 7:20] = True


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A picture, its mask, and the picture with the hole erased."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", 22, 31)
    write_image(tmp_path / "mask.png", np.where(HOLE, 255, 0).astype(np.uint8)[:, :, None])
    write_image(tmp_path / "erased.png", cut_out(read(tmp_path / "photo.png"), HOLE))
    return tmp_path


def translate(filler, name, mask, *words, output="out.png"):
    given = [] if mask is None else ["--mask", mask]
    assert call("translate", name, "-m", str(filler), "-o", output, "--overwrite", *given, *words) == 0
    return read(output)


@pytest.mark.parametrize("words", [[], ["--fit", "resize"], ["--fit", "tile"]])
def test_pixels_outside_the_mask_stay_bit_for_bit(filler, here, words):
    photo = read("photo.png")
    masked = translate(filler, "photo.png", "mask.png", *words)
    assert np.array_equal(masked[~HOLE], photo[~HOLE])
    assert not np.array_equal(masked[HOLE], photo[HOLE])
    assert np.array_equal(translate(filler, "erased.png", "auto", *words), masked)
    control = translate(filler, "erased.png", None, *words)
    assert np.array_equal(control[~HOLE], photo[~HOLE]) == ("resize" not in words)


def test_sixteen_bits_and_other_depths_stay_too(filler, here):
    deep = (picture(22, 31).astype(np.uint16) * 257) ^ 0x35
    write_image(here / "deep.png", deep)
    masked = translate(filler, "deep.png", "mask.png")
    assert masked.dtype == np.uint16
    assert np.array_equal(masked[~HOLE], deep[~HOLE])
    shallow = translate(filler, "deep.png", "mask.png", "--bit-depth", "8")
    assert np.abs(shallow[~HOLE] - deep[~HOLE] / 257).max() <= 0.5


def test_a_mask_may_be_white_on_transparent_and_has_the_pictures_size(filler, here):
    """White on transparent would be white all over on the white that pictures lie on."""
    layer = np.where(HOLE[:, :, None], np.uint8(255), np.array([255, 255, 255, 0], np.uint8))
    write_image(here / "layer.png", layer)
    masked = translate(filler, "photo.png", "mask.png")
    assert np.array_equal(translate(filler, "photo.png", "layer.png"), masked)
    save(here / "small.png", 8, 8)
    assert call("translate", "photo.png", "-m", str(filler), "-o", "x.png", "--mask", "small.png") == 3
    write_image(here / "black.png", np.zeros((22, 31, 1), np.uint8))
    assert call("translate", "photo.png", "-m", str(filler), "-o", "x.png", "--mask", "black.png") == 3
    assert call("translate", "photo.png", "-m", str(filler), "-o", "x.png", "--mask", "auto") == 3


def test_a_folder_of_masks_goes_by_names(filler, here):
    for name in ("a", "b"):
        save(here / "photos" / f"{name}.png", 22, 31, seed=ord(name))
    (here / "masks").mkdir()
    (here / "mask.png").rename(here / "masks" / "a.png")
    words = ["photos", "-m", str(filler), "-o", "out", "--mask", "masks", "--report", "report.json"]
    assert call("translate", *words) == 3
    (refused,) = json.loads((here / "report.json").read_text())["failures"]
    assert refused["picture"].endswith("b.png")
    photo, output = read("photos/a.png"), read("out/a.png")
    assert (output != photo).any(axis=2)[HOLE].all()
    assert np.array_equal(output[~HOLE], photo[~HOLE])


def test_alpha_outside_the_hole_stays_unless_dropped(filler, here):
    photo = np.concatenate([read("photo.png"), np.full((22, 31, 1), 255, np.uint8)], axis=2)
    photo[:3, :, 3] = 0
    write_image(here / "sticker.png", photo)
    masked = translate(filler, "sticker.png", "mask.png")
    assert np.array_equal(masked[~HOLE], photo[~HOLE])
    assert (masked[HOLE][:, 3] == 255).all()
    dropped = translate(filler, "sticker.png", "mask.png", "--alpha", "drop")
    assert dropped.shape[2] == 3
    assert (dropped[:3] == 255).all()
    assert np.array_equal(dropped, translate(filler, "sticker.png", "mask.png", output="out.bmp"))


def test_python_writes_the_same_and_an_exported_file_fills_alike(filler, here, tmp_path):
    masked = translate(filler, "photo.png", "mask.png")
    done = i2i.load(filler)("photo.png", mask="mask.png")
    done.save("saved.png")
    assert np.array_equal(done.array, masked)
    assert (here / "saved.png").read_bytes() == (here / "out.png").read_bytes()
    (here / "holes").mkdir()
    (here / "erased.png").rename(here / "holes" / "erased.png")
    i2i.export(filler, here / "model.onnx", verify=here / "holes")
    exported = translate(here / "model.onnx", "photo.png", "mask.png")
    assert np.abs(exported.astype(int) - masked).max() <= 1
    assert np.array_equal(exported[~HOLE], masked[~HOLE])
