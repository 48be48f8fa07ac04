"""Inputs derived from single pictures: what each derivation promises, and their use from training to translation."""

import shutil

import numpy as np
import pytest
import torch

import i2i
from i2i.config import parse, to_yaml
from i2i.config.derive import DERIVE_SETTINGS, Mask
from i2i.config.settings import DataSettings
from i2i.data.derive import DERIVATIONS, derive
from i2i.data.loader import batches
from i2i.data.previews import find_previews, find_val_pairs
from i2i.data.sets import make_set, refuse_settings
from i2i.errors import ConfigError, ExportError, UsageError
from i2i.evaluation import evaluate_pairs
from i2i.images import largest, read_image, to_channels, write_image
from i2i.interop.exporting import export_weights
from i2i.models.modelfile import read_spec
from i2i.models.spec import Derivation
from tests.conftest import picture, run_i2i, smallest_config, tiny_config

NAMES = list(DERIVATIONS)
MASKS = [name for name in NAMES if issubclass(DERIVE_SETTINGS[name], Mask)]
DRAWN = ["rectangle_mask", "free_form_mask"]


def settings(name, **values):
    return DERIVE_SETTINGS[name](name=name, **values)


def derived(name, seed=0, side=(48, 64), dtype=np.uint8, channels=3, content=0, **values):
    """A picture and what is derived from it."""
    target = picture(*side, dtype=np.uint8 if dtype == np.float32 else dtype, channels=channels, seed=content)
    if dtype == np.float32:
        target = target.astype(np.float32) / 255
    return target, derive(target, settings(name, **values), seed)


def channels_of(name):
    return (DERIVE_SETTINGS[name].input_channels or (3,))[0]


def on_singles(name, *overrides, data):
    """The smallest pix2pix that learns from derived inputs."""
    changes = ["data.direction=A2B", f"data.derive.name={name}", f"data.channels_a={channels_of(name)}", *overrides]
    return tiny_config(*changes, data=data)


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    """A plain folder of single pictures with its splits."""
    root = tmp_path_factory.mktemp("singles")
    for split, count in (("train", 6), ("val", 3), ("test", 2)):
        for seed in range(count):
            write_image(root / split / f"{seed}.png", picture(64, 128, seed=seed)[20:40, 84:108])  # in colour
    return root


def test_every_entry_has_settings_and_a_function():
    assert set(DERIVATIONS) == set(DERIVE_SETTINGS)
    for name, kind in DERIVE_SETTINGS.items():
        assert kind.model_fields["name"].default == name
        given = {"derive": {"name": name}, "channels_a": channels_of(name)}
        assert parse(DataSettings, given, "test").derive == kind()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", NAMES)
def test_inputs_have_the_size_and_type_of_the_picture(name, dtype):
    for side in ((48, 128), (33, 17), (5, 5)):
        target, made = derived(name, side=side, dtype=dtype)
        assert made.shape == (*target.shape[:2], {"edges": 1}.get(name, channels_of(name)))
        assert made.dtype == dtype
        assert made.max() <= largest(dtype)
        assert side != (48, 128) or not np.array_equal(to_channels(made, 3), target)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_draw_gives_the_same_input(name):
    one, again, other = (derived(name, seed)[1] for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert np.array_equal(one, other) == (name not in DRAWN)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", MASKS)
def test_masks_hide_the_hole_and_nothing_else(name, dtype):
    for seed in range(20):
        target, made = derived(name, seed, dtype=dtype)
        hole = made[:, :, 3] == 0
        assert hole.any()
        assert not hole.all()
        assert not made[hole].any()
        assert (made[~hole, 3] == largest(dtype)).all()
        np.testing.assert_array_equal(made[~hole, :3], target[~hole])


@pytest.mark.parametrize("name", MASKS)
def test_masks_do_not_depend_on_the_pixels(name):
    one, other = (derived(name, 3, content=content)[1] for content in (0, 1))
    np.testing.assert_array_equal(one[:, :, 3], other[:, :, 3])


def test_the_centre_is_as_large_as_asked_and_in_the_middle():
    hole = derived("centre_mask", side=(40, 60))[1][:, :, 3] == 0
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (10, 29, 15, 44)
    assert hole.sum() == 20 * 30
    assert (derive(picture(3, 3), settings("centre_mask", side=0.1), 0)[:, :, 3] == 0).sum() == 1


def test_rectangles_keep_to_their_sides_and_their_number():
    for seed in range(50):
        made = derive(picture(100, 50), settings("rectangle_mask", most=1, side=(0.2, 0.3)), seed)
        hole = made[:, :, 3] == 0
        height, width = hole.any(axis=1).sum(), hole.any(axis=0).sum()
        assert hole.sum() == height * width
        assert 20 <= height <= 30
        assert 10 <= width <= 15
    areas = [
        np.mean([(derived("rectangle_mask", seed, most=most)[1][:, :, 3] == 0).mean() for seed in range(60)])
        for most in (1, 5)
    ]
    assert areas[0] < 0.7 * areas[1]


def test_strokes_are_as_wide_as_asked():
    from cv2 import DIST_L2, distanceTransform

    for seed in range(20):
        made = derive(picture(100, 100), settings("free_form_mask", most=1, width=0.1), seed)
        hole = (made[:, :, 3] == 0).astype(np.uint8)
        assert distanceTransform(hole, DIST_L2, 5).max() >= 4  # of 10 px: 5 from the middle to either edge
        assert hole.mean() < 0.6


def test_derivations_without_draws_do_what_they_say():
    flat = np.full((32, 48, 3), [10, 100, 200], np.uint8)
    for name in ("blur", "low_resolution"):
        np.testing.assert_array_equal(derive(flat, settings(name), 0), flat)
    np.testing.assert_array_equal(derive(flat, settings("grey"), 0), to_channels(flat, 1))
    assert (derive(flat, settings("edges"), 0) == 255).all()
    step = flat.copy()
    step[:, 24:] = 255
    black = derive(step, settings("edges"), 0)[:, :, 0] == 0
    assert set(np.flatnonzero(black.any(axis=0))) <= {23, 24}
    assert black[1:-1].any(axis=1).all()
    target, soft = derived("blur", sigma_px=3.0)
    assert soft.std() < target.std()
    small = derive(target, settings("low_resolution", factor=4), 0)
    spectra = [np.abs(np.fft.fft2(each[:, :, 0].astype(float)))[12:36, 16:48].sum() for each in (small, target)]
    assert spectra[0] < 0.1 * spectra[1]  # nothing is left of the fine half of the frequencies


def shown(config, numbers):
    return make_set("paired", config).load(numbers).batch


@pytest.mark.parametrize("name", NAMES)
def test_training_targets_are_the_pictures(singles, name):
    config = on_singles(name, data=singles)
    batch = shown(config, range(6))
    assert batch["a"].shape == (6, channels_of(name), 16, 16)
    alone = make_set("images", tiny_config(data=singles)).load(range(6)).batch["image"]
    assert torch.equal(batch["b"], alone)
    assert make_set("paired", config).what == "6 pictures"


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_functions_of_seed_and_number(singles, name):
    """They do not depend on the worker, on what was loaded before, or on the epoch; resuming and workers stay exact."""
    config = on_singles(name, data=singles)
    straight = shown(config, range(12))["a"]
    assert torch.equal(torch.cat([shown(config, [number])["a"] for number in range(12)]), straight)
    assert torch.equal(shown(config, [9, 2])["a"], straight[[9, 2]])
    workers = on_singles(name, "data.workers=2", "data.cache=ram", data=singles)
    loaded = torch.cat([one.batch["a"] for one in batches(make_set("paired", workers), workers, 0, 12, "cpu")])
    assert torch.equal(loaded, straight)
    holes = {hole.numpy().tobytes() for hole in straight[:, 3]}
    assert len(holes) == 12
    other = shown(on_singles(name, "train.seed=1", data=singles), range(12))["a"]
    assert holes.isdisjoint({hole.numpy().tobytes() for hole in other[:, 3]})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["data.derive.name=grey"], "data.channels_a"),
        (["data.derive.name=edges", "data.channels_a=4"], "data.channels_a"),
        (["data.derive.name=centre_mask"], "data.channels_a"),
        (["data.derive.name=centre_mask", "data.channels_a=4", "data.channels_b=1"], "data.channels_b"),
        (["data.derive.name=blur", "data.channels_b=1"], "data.channels_a"),
        (["data.derive.name=blur", "data.direction=B2A"], "data.direction"),
        (["data.derive.name=blur", "data.augment=kornia"], "data.augment"),
        (["data.derive.name=blur", "data.colour_jitter=0.5"], "colour_jitter"),
        (["data.derive.name=centre_mask", "data.derive.side=1.5", "data.channels_a=4"], "data.derive.side"),
        (["data.derive.name=rectangle_mask", "data.derive.side=[0.5,0.1]", "data.channels_a=4"], "data.derive"),
        (["data.derive.name=edges", "data.derive.low=300"], "data.derive"),
        (["data.derive.name=gray"], "grey"),
        (["data.derive=grey"], "data.derive.name=grey"),
        (["data.derive.side=0.3"], "data.derive.name is missing"),
        (["data.derive.name=blur", "data.derive.sigma=3"], "data.derive.sigma_px"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(few_pairs, changes, named):
    with pytest.raises(ConfigError, match=named):
        refuse_settings("paired", tiny_config("data.direction=A2B", *changes, data=few_pairs))


def test_another_derivation_brings_its_own_settings(tmp_path):
    config = on_singles("centre_mask", "data.derive.side=0.3", data=".")
    (tmp_path / "mine.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert i2i.load_config(tmp_path / "mine.yaml") == config
    other = i2i.load_config(tmp_path / "mine.yaml", ["data.derive.name=free_form_mask"])
    assert other.data.derive == settings("free_form_mask")


@pytest.mark.parametrize(("kind", "algorithm"), [("unpaired", "cyclegan"), ("images", "gan")])
@pytest.mark.parametrize("name", ["blur", "grey"])
def test_data_without_pairs_derives_nothing(few_pairs, kind, algorithm, name):
    """The refusal comes before a demand for what only derivations need, such as one channel for grey."""
    config = smallest_config(algorithm, few_pairs, f"data.derive.name={name}", "data.direction=A2B")
    with pytest.raises(ConfigError, match=rf"data\.derive is {name}, but {algorithm}"):
        make_set(kind, config)


def test_files_with_two_pictures_need_a_side(few_pairs, tmp_path):
    config = on_singles("blur", data=few_pairs)
    assert "data.side" in make_set("paired", config).notes[-1]
    config = on_singles("blur", "data.side=B", data=few_pairs)
    alone = make_set("images", tiny_config("data.side=B", data=few_pairs)).load(range(4)).batch["image"]
    assert torch.equal(shown(config, range(4))["b"], alone)
    shutil.copytree(few_pairs / "train", tmp_path / "trainA")
    shutil.copytree(few_pairs / "train", tmp_path / "trainB")
    with pytest.raises(i2i.I2IError, match=r"data\.side"):
        make_set("paired", on_singles("blur", data=tmp_path))
    two = f"data.path=[{tmp_path / 'trainA'},{few_pairs / 'train'}]"
    with pytest.raises(UsageError, match="one"):
        make_set("paired", on_singles("blur", two, data=tmp_path))
    named = make_set("paired", on_singles("blur", two, "data.side=B", data=tmp_path))
    assert {picture.path.parent for picture in named.lists[0]} == {few_pairs / "train"}
    assert str(few_pairs / "train") in named.notes[-1]


def test_holes_of_previews_and_val_pairs_do_not_depend_on_the_seed(singles):
    """The same holes in every training, whatever its seed, so that their scores compare."""
    data = on_singles("free_form_mask", "train.seed=5", data=singles).data
    previews = find_previews(data, "paired", "A2B", 2)
    assert previews.split == "val"
    assert [one.name for one in previews.inputs] == ["0.png", "1.png"]
    assert previews.truths == [one.target for one in previews.inputs]
    assert [one.seed for one in find_val_pairs(data, 500)][:2] == [one.seed for one in previews.inputs]
    assert len({one.seed for one in find_val_pairs(data, 500)}) == 3


def test_a_folder_of_pictures_is_trained_exported_scored_and_used(singles, tmp_path):
    """Training with previews and the best weights kept, export with its proof, scores of both files, and use."""
    i2i.train(on_singles("grey", "train.keep=best", data=singles), tmp_path / "run")
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    assert spec.derivation == Derivation(settings=settings("grey"))
    assert spec.metrics.keys() >= {"val, L1.A2B"}
    i2i.export(tmp_path / "run", tmp_path / "m.onnx")
    scores = [evaluate_pairs(model, str(singles), sheet=True) for model in (tmp_path / "run", tmp_path / "m.onnx")]
    assert scores[0].pairs == 2
    assert scores[0].sheet is not None
    assert scores[0].model == pytest.approx(scores[1].model, abs=0.05)
    assert scores[0].baselines == scores[1].baselines
    assert 0 < scores[0].baselines["input_copied"]["l1"] < 100
    assert i2i.load(tmp_path / "m.onnx")(singles / "test" / "0.png").array.shape == (20, 24, 3)


@pytest.fixture(scope="module")
def filler(tmp_path_factory, singles):
    """A run that fills holes, and its exports."""
    root = tmp_path_factory.mktemp("filler")
    i2i.train(on_singles("centre_mask", data=singles), root / "run")
    i2i.export(root / "run", root / "image.onnx", io="image")
    i2i.export(root / "run", root / "half.onnx", precision="fp16")
    return root


def test_a_run_and_its_exported_file_are_scored_on_the_same_holes(filler, singles):
    one, other = (evaluate_pairs(filler / model, str(singles)) for model in ("run", "image.onnx"))
    assert one.baselines == other.baselines
    assert one.model == pytest.approx(other.model, abs=0.05)


@pytest.mark.parametrize("model", ["run", "image.onnx", "half.onnx"])
def test_a_photo_with_an_erased_region_comes_back_filled_and_otherwise_untouched(filler, model, tmp_path):
    target = picture(45, 70)
    hole = np.zeros(target.shape[:2], bool)
    hole[10:30, 20:50] = True
    erased = np.concatenate([target, np.where(hole, 0, 255).astype(np.uint8)[:, :, None]], axis=2)
    write_image(tmp_path / "photo.png", erased)
    done = run_i2i("translate", tmp_path / "photo.png", "-m", filler / model, "-o", tmp_path / "filled.png")
    assert done.returncode == 0, done.stderr
    filled = read_image(tmp_path / "filled.png")
    assert filled.shape == target.shape
    np.testing.assert_array_equal(filled[~hole], target[~hole])
    assert (filled[hole] != target[hole]).any()
    hidden = erased.copy()
    hidden[hole, :3] = 99  # some editors leave colours behind alpha, others none
    np.testing.assert_array_equal(i2i.load(filler / model)(hidden), filled)
    np.testing.assert_array_equal(i2i.load(filler / model)(target), target)  # nothing is erased in it


@pytest.mark.parametrize("model", ["run", "half.onnx"])
def test_deep_pictures_keep_known_pixels_too(filler, model):
    deep = picture(32, 32, 4, np.uint16)
    deep[:, :, 3] = 65535
    deep[8:20, 8:20, 3] = 0
    filled = i2i.load(filler / model)(deep)
    known = deep[:, :, 3] > 0
    assert filled.dtype == np.uint16
    np.testing.assert_array_equal(filled[known], deep[known, :3])


def test_soft_edges_blend(filler):
    """Where an eraser was soft, the picture shows through in proportion to its alpha."""
    model, target = i2i.load(filler / "run"), picture(32, 32, 4)
    target[:, :, 3] = 255
    target[8:24, 8:24, 3] = 0
    target[8:24, 8:10, 3] = 128
    filled = model(target).astype(int)
    darker = target.copy()
    darker[8:24, 8:10, :3] = 0
    assert (model(darker)[8:24, 8:10] <= filled[8:24, 8:10] + 1).all()


def test_an_export_is_not_verified_on_pictures_without_holes(filler, singles, tmp_path):
    with pytest.raises(UsageError, match="test"):
        i2i.export(filler / "run", tmp_path / "m.onnx", verify=singles / "test")


def test_hole_filling_weights_are_not_exported_to_other_projects(filler, tmp_path):
    with pytest.raises(ExportError):
        export_weights(filler / "run", tmp_path / "net.pth")
