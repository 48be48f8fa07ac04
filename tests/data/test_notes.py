"""Notes on the pictures before training."""

import re
import shutil

import numpy as np
import pytest

from i2i.data.notes import enlarged
from i2i.data.sets import make_set
from i2i.errors import ConfigError, ImageError
from i2i.images import Header, write_image
from i2i.training.estimate import estimate, find_data
from i2i.training.run import Run
from tests.conftest import picture, tiny_config


def notes(folder, *overrides):
    """What training on a folder of pairs says before it starts."""
    config = tiny_config("data.workers=0", *overrides, data=folder)
    data = make_set("paired", config)
    data[0]
    return data


def pairs(folder, a, b, suffix=".png"):
    """Two pairs."""
    for name in ("x", "y"):
        for side, array in (("trainA", a), ("trainB", b)):
            (folder / side).mkdir(exist_ok=True)
            if suffix == ".npy":
                np.save(folder / side / f"{name}.npy", array)
            else:
                write_image(folder / side / f"{name}{suffix}", array)
    return folder


def test_twelve_bits_in_sixteen_are_noticed_and_can_be_set(tmp_path):
    deep = picture(24, 24, 3, np.uint16) // 16
    pairs(tmp_path, deep, picture(24, 24))
    data = notes(tmp_path)
    (note,) = (note for note in data.notes if "16-bit" in note)
    assert f"{deep.max():,} of 65,535" in note
    assert "data.input_range=[0,4095]" in note
    assert data[0]["a"].max() < -0.85
    set_range = notes(tmp_path, "data.input_range=[0,4095]")
    assert not any("16-bit" in note for note in set_range.notes)
    assert set_range[0]["a"].max() > 0.8
    np.testing.assert_array_equal(set_range[0]["b"], data[0]["b"])  # bytes stay as they are
    with pytest.raises(ImageError, match=r"0 to 100[^$]*data\.input_range"):
        notes(tmp_path, "data.input_range=[0,100]")
    with pytest.raises(ConfigError, match=r"data\.input_range"):
        notes(tmp_path, "data.input_range=[5,5]")


@pytest.mark.parametrize(
    ("side", "resize", "crop", "advice"),
    [
        (64, 286, 64, "data.resize_px=72"),
        (64, 286, 256, "data.crop_px=64 and data.resize_px=72"),
        (28, 64, 64, "data.crop_px=32 and data.resize_px=32"),  # as many GANs: the crop is the whole picture
        (64, 96, 64, None),
        (256, 286, 256, None),
        (16, 36, 32, None),  # no smaller crop to suggest
        (64, None, 64, None),
    ],
)
def test_much_enlarged_pictures_are_noted_with_settings_that_enlarge_less(side, resize, crop, advice):
    data = tiny_config(f"data.resize_px={resize or 'null'}", f"data.crop_px={crop}").data
    note = enlarged([Header(side, 2 * side), None, Header(side, side)], data)
    assert (note is not None) == (advice is not None)
    assert advice is None or f"Set {advice}." in note


def test_training_notes_that_a_preset_enlarges_pictures(tmp_path):
    pairs(tmp_path, picture(24, 24), picture(24, 24))
    said = [[note for note in notes(tmp_path, f"data.resize_px={px}").notes if "enlarged" in note] for px in (36, 286)]
    assert list(map(len, said)) == [0, 1]


def test_floats_train_as_the_same_bytes_do(tmp_path):
    array = picture(24, 24)
    for folder in ("bytes", "floats"):
        (tmp_path / folder).mkdir()
    whole = notes(pairs(tmp_path / "bytes", array, array), "data.resize_px=null")
    floats = (array / np.float32(255)) * 4000 - 1000
    options = ("data.input_range=[-1000,3000]", "data.resize_px=null")
    made = notes(pairs(tmp_path / "floats", floats, floats, ".npy"), *options)
    np.testing.assert_allclose(made[3]["a"], whole[3]["a"], atol=1e-6)
    with pytest.raises(ImageError, match="0 to 1"):
        notes(tmp_path / "floats")
    resized = notes(tmp_path / "floats", options[0])  # bicubic overshoot stays in the range
    assert all(side.abs().max() <= 1 for number in range(4) for side in resized[number].values())


def test_grey_files_under_rgb_are_named_with_their_setting(tmp_path):
    pairs(tmp_path, picture(24, 24), picture(24, 24, 1))
    (note,) = (note for note in notes(tmp_path).notes if "grey" in note)
    assert re.search(r"\bB\b.* grey\b", note)
    assert "data.channels_b=1" in note
    assert not any("grey" in note for note in notes(tmp_path, "data.channels_b=1").notes)


def test_pages_after_the_first_are_counted(tmp_path):
    import tifffile

    pairs(tmp_path, picture(24, 24), picture(24, 24))
    (tmp_path / "trainA" / "x.png").unlink()
    pages = np.stack([picture(24, 24)] * 3)
    tifffile.imwrite(tmp_path / "trainA" / "x.tif", pages, photometric="rgb", metadata=None)
    (note,) = (note for note in notes(tmp_path).notes if "left out" in note)
    assert note.startswith("2 frames")
    assert "x.tif" in note


def test_what_is_left_out_of_val_is_said_once_and_a_dry_run_says_all(tmp_path, few_pairs):
    shutil.copytree(few_pairs, tmp_path / "D")
    for split in ("train", "val"):
        (tmp_path / "D" / split / f".{split}.png").write_bytes(b"")
    config = tiny_config("data.workers=0", data=tmp_path / "D")
    said = "\n".join(Run(config, tmp_path / "run").data.notes)
    assert (said.count(".train.png"), said.count(".val.png")) == (1, 1)
    config = Run(config, tmp_path / "run").config
    assert ".train.png" in "\n".join(estimate(config, find_data(config)))
