"""Label maps: classes in, classes out, and nothing in between."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

import i2i
from i2i.config.settings import DataSettings
from i2i.data.folders import find_pairs
from i2i.data.items import read_pair
from i2i.data.sets import make_set
from i2i.errors import ConfigError, ImageError
from i2i.images import Layout, read_image
from i2i.images.label_maps import coloured, nearest_to, to_labels
from i2i.metrics import METRICS
from i2i.models.modelfile import read_spec
from i2i.runtime.fit import Fit
from tests.conftest import run_i2i, tiny_config

VALUES = (10, 20, 95)
NAMED = ("data.meaning_b=labels", "data.channels_b=[dark,middle,light]", "data.values_b=[10,20,95]")
CLASSES = (*NAMED, "data.direction=A2B")
LAYOUT = Layout(3, ("dark", "middle", "light"), values=VALUES)


@pytest.fixture(scope="module")
def land(tmp_path_factory, few_pairs):
    """Shipped photos as A, and their brightness in three classes as B, in PNGs with a palette."""
    root = tmp_path_factory.mktemp("land")
    for split in ("train", "val", "test"):
        for side in "AB":
            (root / f"{split}{side}").mkdir()
        for pair in find_pairs([str(few_pairs)], split):
            _, photo = read_pair(pair)
            grey = photo.mean(axis=2)
            classes = np.select([grey < 85, grey < 170], VALUES[:2], VALUES[2]).astype(np.uint8)
            Image.fromarray(photo).save(root / f"{split}A" / f"{pair.name}.png")
            image = Image.fromarray(classes)
            image.putpalette([value * 7 % 256 for value in range(768)])
            image.save(root / f"{split}B" / f"{pair.name}.png")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, land):
    out = tmp_path_factory.mktemp("runs") / "land"
    i2i.train(tiny_config(*CLASSES, "train.keep=best", data=land), out)
    return out


def classes_of(path):
    return np.asarray(Image.open(path))


def test_every_format_says_the_same_classes(land, tmp_path):
    path = sorted((land / "trainB").iterdir())[0]
    classes = classes_of(path)
    assert set(np.unique(classes)) <= {*VALUES}
    np.save(tmp_path / "a.npy", classes.astype(np.int64))
    tifffile.imwrite(tmp_path / "a.tif", classes.astype(np.int32))
    Image.fromarray(classes).save(tmp_path / "a.png")
    for file in (path, *tmp_path.iterdir()):
        hot = read_image(file, layout=LAYOUT)
        assert hot.dtype == np.uint8
        np.testing.assert_array_equal(hot, 255 * (classes[:, :, None] == VALUES))
        np.testing.assert_array_equal(to_labels(hot, VALUES)[:, :, 0], classes)


def test_classes_are_never_mixed(land):
    """At a scale where bicubic resizing would; and the pixels stay where they are in A."""
    data = make_set("paired", tiny_config(*CLASSES, "data.resize_px=37", "data.crop_px=32", data=land))
    shown = data.load(range(8)).batch
    assert set(shown["b"].unique().tolist()) == {-1.0, 1.0}
    assert (shown["b"].sum(dim=1) == -1).all()  # one class each
    light = shown["a"].mean(dim=1)
    means = [light[shown["b"][:, k] == 1].mean() for k in range(3)]
    assert means == sorted(means)
    plain = make_set("paired", tiny_config("data.resize_px=37", "data.crop_px=32", data=land))  # the control
    assert len(plain.load(range(8)).batch["b"].unique()) > 50
    array = np.arange(12).reshape(3, 4, 1)
    assert nearest_to(array, 6, 8)[::2, ::2].tolist() == array.tolist()


def test_outputs_are_label_maps(run, land, tmp_path):
    part = read_spec(run / "model.safetensors").generators["A2B"]
    assert (part.outputs.meaning, part.outputs.values) == ("labels", VALUES)
    assert "dark, middle, light (labels)" in run_i2i("info", run).stdout
    source = sorted((land / "testA").iterdir())[0]
    Image.open(source).save(tmp_path / "photo.jpg")
    assert run_i2i("translate", tmp_path / "photo.jpg", "-m", run, "-o", tmp_path / "out").returncode == 0
    made = classes_of(tmp_path / "out" / "photo.png")  # not .jpg, which would make up classes
    assert made.dtype == np.uint8
    assert made.ndim == 2
    assert set(np.unique(made)) <= {*VALUES}
    model = i2i.load(run)
    photo = read_image(tmp_path / "photo.jpg")
    np.testing.assert_array_equal(model(photo)[:, :, 0], made)
    np.testing.assert_array_equal(model(tmp_path / "photo.jpg").array[:, :, 0], made)
    np.testing.assert_array_equal(to_labels(model.translate(photo, np.float32), VALUES)[:, :, 0], made)
    done = run_i2i("translate", source, "-m", run, "-o", tmp_path / "x", "--format", "jpg")
    assert done.returncode == 2
    assert "label map" in done.stderr


def test_scores_are_those_of_classes(run, land, tmp_path):
    done = run_i2i("evaluate", "-m", run, "--data", land, "--json", "--sheet", tmp_path / "s.png")
    assert done.returncode == 0, done.stderr
    (scores,) = json.loads(done.stdout)["result"]["scores"]
    model, accuracies = i2i.load(run), []
    for path in sorted((land / "testA").iterdir()):
        accuracies.append((model(read_image(path))[:, :, 0] == classes_of(land / "testB" / path.name)).mean())
    assert scores["model"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert set(scores["bands"]) <= {"dark", "middle", "light"}
    assert {*scores["baselines"]["affine_colour"]} == {"accuracy", "iou"}
    assert scores["baselines"]["affine_colour"]["iou"] > scores["baselines"]["target_mean"]["iou"]
    assert run_i2i("evaluate", "-m", run, "--data", land, "--metrics", "l1").returncode == 2


def test_accuracy_and_iou_by_hand():
    truth = 255 * (np.array([[0, 0, 0, 1], [1, 1, 2, 2]])[:, :, None] == range(4)).astype(np.uint8)
    made = np.array([[0, 0, 1, 1], [1, 2, 2, 2]])[:, :, None] == range(4)
    assert METRICS["accuracy"].of(made, truth, True) == 6 / 8
    assert METRICS["iou"].each(made, truth)[:3] == pytest.approx([2 / 3, 2 / 4, 2 / 3])
    assert np.isnan(METRICS["iou"].each(made, truth)[3])  # a class that is nowhere is no class that was missed
    assert METRICS["iou"].of(made, truth, True) == pytest.approx((2 / 3 + 2 / 4 + 2 / 3) / 3)
    assert METRICS["accuracy"].each(made, truth)[:3] == pytest.approx([2 / 3, 2 / 3, 1])
    valid = np.array([[1, 1, 0, 1], [1, 0, 1, 1]], bool)
    assert METRICS["accuracy"].of(made, truth, True, valid) == 1
    assert len(np.unique(coloured(np.eye(12)[None]).reshape(-1, 3), axis=0)) == 12


def test_classes_may_be_inputs_and_keep_their_values_when_resized(land, tmp_path):
    config = tiny_config(*NAMED, "data.direction=B2A", "schedule.images=4", "schedule.decay_images=0", data=land)
    model = i2i.load(i2i.train(config, tmp_path / "run"))
    path = sorted((land / "testB").iterdir())[0]
    array = classes_of(path)
    made = model(array)
    assert made.shape == (*array.shape, 3)
    np.testing.assert_array_equal(model(path).array, made)
    with pytest.raises(ImageError, match="17"):
        model(np.full((32, 32), 17, np.uint8))
    seen = []
    model.planner.fit, own = Fit("resize"), model.backend.run
    model.backend.run = lambda values: seen.append(values) or own(values)
    model(array)
    assert set(np.unique(seen[0])) == {-1.0, 1.0}


def test_pixels_without_a_class_are_without_data(land, tmp_path):
    path = sorted((land / "trainB").iterdir())[0]
    classes = classes_of(path).copy()
    classes[:4] = 255
    Image.fromarray(classes).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="255"):
        read_image(tmp_path / "a.png", layout=LAYOUT)
    assert (read_image(tmp_path / "a.png", layout=LAYOUT._replace(nodata=255.0))[:4] == 0).all()
    with pytest.raises(ImageError, match="3 channels"):
        read_image(sorted((land / "trainA").iterdir())[0], layout=LAYOUT)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (("data.values_b=[1,2,3]",), "meaning_b"),
        (("data.meaning_b=labels", "data.values_b=[1,1,3]"), "channels_b"),
        (("data.meaning_b=labels", "data.channels_b=1"), "channels_b"),
        (("data.meaning_b=labels", "data.normalise_b=percentiles"), "normalise_b"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        tiny_config(*changes)


def test_a_count_names_the_classes():
    layout = DataSettings(meaning_a="labels", channels_a=4).layouts[0]
    assert (layout.values, layout.bands) == ((0, 1, 2, 3), ("0", "1", "2", "3"))
