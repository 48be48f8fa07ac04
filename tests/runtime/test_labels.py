"""Models that translate to a label: the label is chosen by name, and fixed in exported files."""

import numpy as np
import pytest

import i2i
from i2i.errors import ModelError, UsageError
from i2i.images import read_image
from i2i.models.modelfile import load_generator, read_spec, save_model
from i2i.runtime.fit import Fit
from tests.cli.test_cli import call
from tests.conftest import picture, save


def test_a_label_decides(labelled_model):
    """Each label of each set makes another picture, and the same names in any order the same one."""
    array = picture(40, 36)
    names = [(thing, colour) for thing in ("bag", "shoe") for colour in ("blue", "grey", "red")]
    made = {pair: i2i.load(labelled_model, device="cpu", labels=pair)(array).tobytes() for pair in names}
    assert len({*made.values()}) == len(names)
    swapped = i2i.load(labelled_model, device="cpu", labels=["colour=red", "thing=bag"])
    assert swapped(array).tobytes() == made["bag", "red"]
    assert swapped.generator.labels == ["thing=bag", "colour=red"]


@pytest.mark.parametrize(
    ("labels", "word"), [((), "thing"), (("bag",), "colour"), (("bag", "green"), "green"), (("bag", "shoe"), "two")]
)
def test_unknown_and_missing_labels_are_named(labelled_model, labels, word):
    with pytest.raises(UsageError, match=word):
        i2i.load(labelled_model, labels=labels)


def test_a_model_without_labels_takes_none(tiny_run):
    with pytest.raises(UsageError, match="label"):
        i2i.load(tiny_run, labels=["bag"])


@pytest.mark.parametrize("tile", ["frozen", "exact"])
def test_tiles_know_the_label(labelled_model, tile):
    array = picture(96, 96)
    whole, other = (i2i.load(labelled_model, device="cpu", labels=[one, "red"]) for one in ("bag", "shoe"))
    tiled = i2i.Translator.open(labelled_model, device="cpu", fit=Fit("tile", tile, 64), labels=["bag", "red"])
    made, wanted, wrong = (model.translate(array).astype(int) for model in (tiled, whole, other))
    assert np.abs(made - wanted).mean() < 0.3 * np.abs(made - wrong).mean()


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_an_exported_file_has_its_label(labelled_model, tmp_path, io):
    onnx = tmp_path / "m.onnx"
    save(tmp_path / "photos" / "a.png", 40, 36)
    spec = i2i.export(labelled_model, onnx, verify=tmp_path / "photos", io=io, labels=["shoe", "grey"]).spec
    assert spec.proof.max_difference <= (1 if io == "image" else 1e-4)
    array = picture(40, 36)
    ours, exported = i2i.load(labelled_model, device="cpu", labels=["shoe", "grey"]), i2i.load(onnx)
    assert exported.generator.labels == ours.generator.labels
    assert np.abs(ours(array).astype(int) - exported(array)).max() <= 1
    assert np.array_equal(i2i.load(onnx, labels=["shoe"])(array), exported(array))
    with pytest.raises(UsageError, match="bag"):
        i2i.load(onnx, labels=["bag"])


def test_commands_take_labels(labelled_model, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    save(photo, 40, 36)
    model = str(labelled_model)
    assert call("translate", str(photo), "-m", model, "-o", str(tmp_path / "a.png")) == 2
    assert "--label" in capsys.readouterr().err
    for name in ("bag", "shoe"):
        words = ("--label", f"{name},red", "-o", str(tmp_path / f"{name}.png"))
        assert call("translate", str(photo), "-m", model, *words) == 0
        expected = i2i.load(labelled_model, labels=[name, "red"])(read_image(photo))
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png"), expected)
    assert call("info", model) == 0
    assert "shoe" in capsys.readouterr().out
    pth = ("--format", "pytorch-CycleGAN-and-pix2pix", "-o", str(tmp_path / "m.pth"))
    assert call("export", model, *pth) == 1
    assert call("export", model, *pth, "--label", "bag,red") == 2


def test_labels_that_the_network_lacks_are_refused(labelled_model, tmp_path):
    spec = read_spec(labelled_model)
    network = load_generator(labelled_model, spec, "A2B")
    part = spec.parts["A2B"]
    spoiled = part.model_copy(update={"blocks": part.blocks[:1]})
    save_model(tmp_path / "m.safetensors", spec.model_copy(update={"parts": {"A2B": spoiled}}), {"A2B": network})
    with pytest.raises(ModelError, match="condition"):
        i2i.load(tmp_path / "m.safetensors", labels=["bag"])
