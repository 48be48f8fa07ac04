"""Models one after another, against the same models with a lossless file between them."""

import numpy as np
import pytest

from i2i.config.derive import CentreMask
from i2i.errors import ModelError, UsageError
from i2i.images import read_image, to_channels, write_image
from i2i.models.modelfile import load_generator, read_spec, save_model
from i2i.models.spec import Derivation
from i2i.runtime.chain import open_following
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator
from tests.cli.test_cli import call
from tests.conftest import LINEART, picture, save


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", 20, 27)
    return tmp_path


def translate(*words):
    assert call("translate", *map(str, words)) == 0


def changed(path, out, **changes):
    """A model with another description."""
    spec = read_spec(path)
    networks = {name: load_generator(path, spec, name) for name in spec.parts}
    save_model(out, spec.model_copy(update=changes), networks)
    return out


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_chain_equals_two_commands_with_a_file_between(here, tiny_run, tiny_onnx, two_way_run, suffix):
    """Of three models here, one in ONNX Runtime. The control stops after the second."""
    translate("photo.png", "-m", tiny_run, "-o", "1.png")
    translate("1.png", "-m", f"{two_way_run}", "--direction", "A2B", "-o", "2.png")
    translate("2.png", "-m", tiny_onnx, "-o", f"3.{suffix}")
    chain = ["--then", f"{two_way_run}:A2B", "--then", tiny_onnx]
    translate("photo.png", "-m", tiny_run, *chain, "-o", f"chain.{suffix}")
    assert (here / f"chain.{suffix}").read_bytes() == (here / f"3.{suffix}").read_bytes()
    translate("photo.png", "-m", tiny_run, *chain[:2], "-o", f"short.{suffix}")
    assert (here / f"short.{suffix}").read_bytes() != (here / f"3.{suffix}").read_bytes()


def test_alpha_goes_along(here, tiny_run, two_way_run):
    sticker = np.concatenate([picture(20, 27), np.full((20, 27, 1), 255, np.uint8)], axis=2)
    sticker[:9, :, 3] = 40
    write_image(here / "sticker.png", sticker)
    translate("sticker.png", "-m", tiny_run, "-o", "1.png")
    translate("1.png", "-m", two_way_run, "--direction", "B2A", "-o", "2.png")
    translate("sticker.png", "-m", tiny_run, "--then", f"{two_way_run}:B2A", "-o", "chain.png")
    assert np.array_equal(read_image(here / "chain.png"), read_image(here / "2.png"))
    assert np.array_equal(read_image(here / "chain.png")[:, :, 3], sticker[:, :, 3])


def test_pictures_from_noise_go_on_too(here, noise_model, tiny_run):
    words = ["generate", "-m", str(noise_model), "-n", "3", "--seed", "5", "--separate"]
    assert call(*words, "-o", "made") == 0
    translate("made", "-m", tiny_run, "-o", "styled")
    assert call(*words, "--then", str(tiny_run), "-o", "chain") == 0
    for name in ("000005.png", "000006.png", "000007.png"):
        assert np.array_equal(read_image(here / "chain" / name), read_image(here / "styled" / name))
        assert not np.array_equal(read_image(here / "chain" / name), read_image(here / "made" / name))


def test_models_that_do_not_go_together_are_refused(here, noise_model, tiny_run):
    spec = read_spec(tiny_run / "model.safetensors")
    part = spec.generators["B2A"]
    deep = changed(tiny_run / "model.safetensors", here / "deep.safetensors", input_range=(0.0, 4095.0))
    with pytest.raises(UsageError, match="4095"):
        open_following([str(deep)], spec, part)
    assert len(open_following([str(deep)], spec, part, input_range=(0.0, 4095.0))) == 1
    fills = Derivation(settings=CentreMask())
    filler = changed(tiny_run / "model.safetensors", here / "fill.safetensors", derivation=fills)
    made = ImageGenerator.open(noise_model)
    with pytest.raises(UsageError, match="holes"):
        open_following([str(filler)], made.spec, made.generator)
    small = changed(tiny_run / "model.safetensors", here / "small.safetensors", fixed_size=(16, 16))
    with pytest.raises(ModelError, match="32x32"):
        open_following([str(small)], made.spec, made.generator)


def edges(image):
    """Size of the grey steps to the right and down, (H - 1, W - 1)."""
    grey = to_channels(image, 1)[:, :, 0].astype(float)
    return np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]


def test_the_final_edges_follow_the_structure():
    """The shipped models draw lines and colour them; the control takes the lines of the next picture."""
    files = sorted((LINEART / "test").glob("*.png"))[:12]
    colours = [read_image(path)[:, read_image(path).shape[1] // 2 :] for path in files]
    draw, style = Translator.open("lineart"), Translator.open("colour")
    structures = [edges(draw(one)).ravel() for one in colours]
    finals = [edges(style(draw(one))).ravel() for one in colours]
    own = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(structures, finals, strict=True)])
    others = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(structures, finals[1:] + finals[:1], strict=True)])
    assert own > 0.2, "0.29 when measured"
    assert others < 0.1, "0.02 when measured"
