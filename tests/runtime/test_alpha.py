"""Alpha is prepared in one way: the network sees what training saw, and previews show what is written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import i2i
from i2i.algorithms import resolve
from i2i.data.sets import make_set
from i2i.errors import ImageError, UsageError
from i2i.evaluation import evaluate_pairs
from i2i.images import FORMATS, largest, off_white, on_white, read_image, to_channels, write_image
from i2i.images.decode import opened
from i2i.images.encode import Extras, encode
from i2i.models.modelfile import read_spec
from i2i.models.spec import Part, translating
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions, written_channels
from i2i.runtime.pictures import read
from i2i.runtime.pipeline import translate_files
from i2i.runtime.translator import Translator
from tests.cli.test_cli import call
from tests.conftest import DATA, assert_looks_like, picture, tiny_config
from tests.runtime.test_pictures import srgb
from tests.runtime.test_translator import Identity, identity

ICON_A, ICON_B = DATA / "rgba_icon_A.png", DATA / "rgba_icon_B.png"


class Network(Identity):
    """A function of (N, C, H, W) in [-1, 1] as a network; keeps what it saw."""

    def __init__(self, function):
        super().__init__(16, 16)
        self.function = function

    def run(self, batch):
        self.seen = batch
        return self.function(batch)


def model(function, inputs=3, outputs=3, alpha="kept"):
    part = translating("unet", {}, inputs, outputs, 16, 16).model_copy(update={"alpha": alpha})
    return Translator(identity().spec.model_copy(update={"parts": {"A2B": part}}), Network(function), "A2B")


def through(translator, source, name=None, **options):
    """Translate a file as the command does, and return where it is."""
    made = PictureOptions(**options)
    channels = written_channels(translator.generator, made)
    folder = source.parent / "out"
    tasks = list_tasks(source, folder / name if name else folder, channels, overwrite=True, options=made)
    result = translate_files(translator, tasks, options=made)
    if result.refused:
        raise ImageError(result.refused[0].reason)
    return tasks[0].output


def unchanged(batch):
    return batch


def rings(batch):
    """Dark rings that start inside an icon and end outside it."""
    places = np.add(*np.meshgrid(np.arange(batch.shape[2]), np.arange(batch.shape[3]), indexing="ij"))
    return np.broadcast_to(np.where(places % 8 < 2, -1, 1), batch.shape).astype(np.float32)


@pytest.fixture
def icon(tmp_path):
    return Path(shutil.copy(ICON_A, tmp_path / "icon.png"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@given(st.data())
def test_off_white_undoes_on_white(dtype, data):
    top = int(np.iinfo(dtype).max)
    colour, alpha = (np.array([[[data.draw(st.integers(0, top))]]], dtype) for _ in range(2))
    shown = on_white(colour, alpha)
    back = off_white(shown, alpha)
    assert on_white(back, alpha) == shown
    if alpha == top:
        assert back == colour


def test_every_level_of_8_bits_comes_back():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    colour, alpha = colour.astype(np.uint8)[:, :, None], alpha.astype(np.uint8)[:, :, None]
    shown = on_white(colour, alpha)
    exact = colour * (alpha / 255) + (255 - alpha)
    np.testing.assert_allclose(shown, exact, atol=0.5)
    np.testing.assert_array_equal(on_white(off_white(shown, alpha), alpha), shown)
    deep = on_white(colour.astype(np.uint16) * 257, alpha.astype(np.uint16) * 257)  # the largest products of all
    np.testing.assert_allclose(deep / 257, exact, atol=0.5)


def test_the_network_sees_white_behind_an_icon_whatever_is_written(icon):
    seen = to_channels(read_image(ICON_A), 3)
    for options in ({}, {"alpha": "keep"}, {"alpha": "drop"}, {"format": "jpg"}, {"format": "bmp"}):
        for alpha in ("kept", "consumed"):
            translator = model(unchanged, alpha=alpha)
            through(translator, icon, **options)
            np.testing.assert_array_equal(
                np.rint((translator.backend.seen[0].transpose(1, 2, 0) + 1) * 127.5), seen, err_msg=f"{options} {alpha}"
            )
    assert seen[0, 0].tolist() == [255, 255, 255]  # and not the hidden black


def test_a_model_of_opaque_pictures_carries_alpha_through(icon):
    assert_looks_like(read_image(through(model(unchanged), icon)), read_image(icon))
    dropped = read_image(through(model(unchanged), icon, alpha="drop"))
    np.testing.assert_array_equal(dropped, to_channels(read_image(icon), 3))
    np.testing.assert_array_equal(read_image(through(model(unchanged), icon, format="bmp")), dropped)


def test_a_model_of_transparent_pictures_writes_what_it_drew(icon):
    """Rings outside the icon stay whole."""
    translator = model(rings, alpha="consumed")
    drawn = translator.translate(read_image(icon))
    written = read_image(through(translator, icon))
    np.testing.assert_array_equal(written, drawn)
    kept = read_image(through(translator, icon, alpha="keep"))
    np.testing.assert_array_equal(kept[:, :, 3], read_image(icon)[:, :, 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("channels", "outputs"), [(2, 1), (2, 3), (4, 1), (4, 3)])
def test_grey_and_deep_alpha_is_carried_too(tmp_path, dtype, channels, outputs):
    top = largest(dtype)
    array = picture(20, 30, 4)[:, :, [0, 3] if channels == 2 else slice(None)]
    array = (array * (top / 255)).astype(dtype)
    source = tmp_path / "a.tif"
    write_image(source, array)
    back = read_image(through(model(unchanged, outputs, outputs), source))
    assert back.shape[2] in (outputs + 1, 4)  # deep grey with alpha is written as RGB with alpha
    expected = np.concatenate([to_channels(array[:, :, :-1], outputs), array[:, :, -1:]], axis=2)
    assert_looks_like(back, expected)


def test_a_model_that_takes_alpha_and_makes_none_gets_none_back(icon):
    translator = model(lambda batch: batch[:, :3], 4, 3)
    assert read_image(through(translator, icon)).shape[2] == 3
    np.testing.assert_array_equal(read_image(through(translator, icon)), read_image(icon)[:, :, :3])
    assert read_image(through(translator, icon, alpha="keep")).shape[2] == 4


def test_a_model_of_four_channels_gives_back_all_of_them(icon):
    np.testing.assert_array_equal(read_image(through(model(unchanged, 4, 4), icon)), read_image(icon))


def test_a_model_that_cuts_out_writes_its_own_alpha(tmp_path):
    """Background removal: RGB to RGBA."""

    def cut(batch):
        return np.concatenate([batch, np.where(batch[:, :1] > 0, 1, -1)], axis=1).astype(np.float32)

    source = tmp_path / "photo.png"
    write_image(source, picture(20, 30))
    translator = model(cut, 3, 4)
    expected = translator.translate(picture(20, 30))
    assert 0 < (expected[:, :, 3] == 0).mean() < 1
    np.testing.assert_array_equal(read_image(through(translator, source)), expected)
    write_image(source, picture(20, 30, 4))  # whose own alpha is not put back
    shown = to_channels(picture(20, 30, 4), 3)
    np.testing.assert_array_equal(read_image(through(translator, source)), translator.translate(shown))
    for options in ({"alpha": "drop"}, {"format": "bmp"}, {"name": "a.bmp"}, {"name": "a.png", "alpha": "drop"}):
        flat = read_image(through(translator, source, **options))
        np.testing.assert_array_equal(flat, to_channels(translator.translate(shown), 3), err_msg=str(options))


def test_keep_is_refused_where_a_format_holds_no_alpha(icon):
    with pytest.raises(UsageError, match="jpg"):
        PictureOptions(format="jpg", alpha="keep")
    with pytest.raises(ImageError, match="alpha keep"):
        through(model(unchanged), icon, "a.jpg", alpha="keep")


def test_animations_keep_the_alpha_of_each_frame(tmp_path):
    frames = [np.roll(read_image(ICON_A), 6 * k, axis=1) for k in range(3)]
    source = tmp_path / "a.webp"
    source.write_bytes(encode(frames, "WEBP", lossless=True, extras=Extras(durations_ms=(100, 100, 100))))
    for suffix in (None, "tiff"):
        options = PictureOptions(frames="all", format=suffix)
        output = through(model(unchanged), source, frames="all", format=suffix)
        with opened(output, 10**6) as file:
            made = read(file, file.count(), options).frames
        assert len(made) == 3
        for one, expected in zip(made, frames, strict=True):
            assert_looks_like(one, expected)


@pytest.fixture(scope="module")
def icons(tmp_path_factory):
    """Pairs of icons in train and val, and a run trained on them."""
    root = tmp_path_factory.mktemp("icons")
    for split in ("train", "val"):
        for side, path in (("A", ICON_A), ("B", ICON_B)):
            (root / f"{split}{side}").mkdir()
            for k in range(2):
                image = Image.open(path)
                image.transpose(Image.Transpose.ROTATE_90 if k else Image.Transpose.FLIP_TOP_BOTTOM).save(
                    root / f"{split}{side}" / f"{k}.png"
                )
    changes = ["data.direction=A2B", "data.resize_px=48"]
    i2i.train(tiny_config(*changes, data=root), root / "run")
    return root


def on_sheet(path, row, column):
    """Cut a picture of 48 px, shown at twice its size, out of a sheet."""
    top, left = 20 + row * 100, 4 + column * 100
    return read_image(path)[top : top + 96 : 2, left : left + 96 : 2]


def test_training_previews_and_every_use_show_one_picture(icons, tmp_path):
    spec = read_spec(icons / "run" / "model.safetensors")
    assert spec.generators["A2B"].alpha == "consumed"
    preview = on_sheet(sorted((icons / "run" / "samples").iterdir())[-1], 0, 1)
    source = icons / "valA" / "0.png"
    written = {}
    for name in ("png", "bmp", "tiff"):
        words = ["translate", source, "-m", icons / "run", "-o", tmp_path / name, "--format", name]
        assert call(*map(str, words)) == 0
        written[name] = read_image(tmp_path / name / f"0.{name}")
    sheet = evaluate_pairs(icons / "run", str(icons), split="val", sheet=True).sheet
    (tmp_path / "sheet.png").write_bytes(sheet)
    written["evaluate"] = on_sheet(tmp_path / "sheet.png", 0, 1)
    loaded = i2i.load(icons / "run", device="cpu")
    written["api, path"] = np.asarray(loaded(source))
    written["api, PIL"] = np.asarray(loaded(Image.open(source)))
    written["api, array"] = loaded(read_image(source))
    for name, array in written.items():
        np.testing.assert_array_equal(array, preview, err_msg=name)


def test_what_training_saw_decides_for_each_direction(icons, tiny_run):
    data = make_set("paired", resolve(tiny_config("data.resize_px=48", data=icons)))
    assert data.transparent == (True, False)  # B is opaque
    told = [note for note in data.notes if "transparent" in note]
    assert len(told) == 1
    assert "data.channels_a" in told[0]
    assert read_spec(tiny_run / "model.safetensors").generators["B2A"].alpha == "kept"


def test_alpha_that_is_full_everywhere_is_none(tmp_path):
    for side in "AB":
        for k in range(3):
            array = to_channels(picture(48, 48, seed=k), 4)
            write_image(tmp_path / f"train{side}" / f"{k}.png", array)
    config = resolve(tiny_config("data.resize_px=48", data=tmp_path))
    assert make_set("paired", config).transparent == (False, False)
    array[0, 0, 3] = 0
    write_image(tmp_path / "trainB" / "2.png", array)
    assert make_set("paired", config).transparent == (False, True)


def test_few_transparent_pictures_among_many_are_found(tmp_path):
    for side in "AB":
        for k in range(40):
            array = picture(16, 16, 4 if (side, k) == ("A", 18) else 3)
            write_image(tmp_path / f"train{side}" / f"{k:02}.png", array)
    config = resolve(tiny_config(data=tmp_path))
    assert make_set("paired", config).transparent == (True, False)


def test_old_files_keep_alpha(tiny_run):
    one = read_spec(tiny_run / "model.safetensors").parts["B2A"].model_dump(exclude={"alpha"})
    assert Part(**one).keeps_alpha


@pytest.mark.parametrize("alpha", [None, "keep", "drop"])
@pytest.mark.parametrize("target", ["b.png", "b.jpg", "b.tif", "b.bmp", "b.webp"])
@pytest.mark.parametrize("kind", ["rgb", "rgba", "deep rgba", "deep grey", "float", "jpeg"])
def test_a_call_saves_what_the_command_writes(tmp_path, kind, target, alpha):
    """Byte for byte: depth, alpha and profile."""
    source = tmp_path / {"jpeg": "a.jpg", "float": "a.tif"}.get(kind, "a.png")
    array = {
        "rgb": picture(20, 30),
        "rgba": picture(20, 30, 4),
        "deep rgba": picture(20, 30, 4, np.uint16),
        "deep grey": picture(20, 30, 1, np.uint16),
        "float": picture(20, 30) / np.float32(255),
        "jpeg": picture(20, 30),
    }[kind]
    profile = None if kind == "deep grey" else srgb()
    source.write_bytes(encode([array], FORMATS[source.suffix], extras=Extras(icc=profile)))
    translator = model(lambda batch: batch * np.float32(0.87))
    if alpha == "keep" and kind.endswith("rgba") and target in ("b.jpg", "b.bmp"):
        with pytest.raises(ImageError, match="alpha keep"):
            through(translator, source, target, alpha=alpha)
        with pytest.raises(ImageError, match="alpha keep"):
            translator(source, alpha=alpha).save(tmp_path / target)
        return
    expected = through(translator, source, target, alpha=alpha).read_bytes()
    made = translator(source, alpha=alpha)
    made.save(tmp_path / target)
    assert (tmp_path / target).read_bytes() == expected
    assert made.array.dtype == array.dtype
    if target == "b.png" and kind != "float":
        np.testing.assert_array_equal(made, read_image(tmp_path / target))
        assert made.image.info.get("icc_profile") == profile


def test_pil_images_come_back_as_pil_images(tmp_path, icon):
    image = Image.open(icon)
    image.info["icc_profile"] = srgb()
    made = model(unchanged)(image)
    assert made.mode == "RGBA"
    assert made.info["icc_profile"] == srgb()
    assert_looks_like(np.asarray(made), read_image(icon))
    assert model(unchanged)(image, alpha="drop").mode == "RGB"
    deep = Image.fromarray(picture(20, 30, 1, np.uint16)[:, :, 0])
    made = model(unchanged, 1, 1)(deep)
    assert made.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(made), np.asarray(deep))
    assert model(unchanged)(deep).mode == "RGB"


def test_a_call_shows_itself(icon, tmp_path):
    made = model(unchanged)(icon)
    assert made._repr_png_().startswith(b"\x89PNG")
    assert made.image.mode == "RGBA"
    with pytest.raises(ImageError, match=r"\bb\b.*suffix"):
        made.save(tmp_path / "b")
