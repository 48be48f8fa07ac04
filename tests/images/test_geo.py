"""GeoTIFF: what a file says of its place, scale and nodata is in the translation, and GDAL reads it there."""

import sys

import numpy as np
import pytest
import rasterio
import tifffile

from i2i.errors import ImageError, UsageError
from i2i.images import Layout, read_facts, read_masked, write_image
from i2i.images.decode import opened
from i2i.images.geo import NOWHERE, Place, with_nodata, without_data
from i2i.images.shards import stored
from i2i.images.source import Source
from i2i.models.spec import PictureSpec
from i2i.runtime.fit import make_fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from tests.conftest import picture
from tests.runtime.test_translator import identity

WHERE = rasterio.Affine(10, 0, 600000, 0, -10, 5000000)
BANDS = ("red", "green", "nir")


@pytest.fixture
def scene(tmp_path):
    """A GeoTIFF by GDAL: three bands of 40x50 px in UTM 33N, with nodata 0 in a corner and statistics."""
    array = picture(50, 40, 3, np.uint16).transpose(2, 0, 1).clip(1, None)
    array[:, :5, :7] = 0
    options = {"driver": "GTiff", "width": 40, "height": 50, "count": 3, "dtype": "uint16", "nodata": 0, "tiled": False}
    with rasterio.open(tmp_path / "scene.tif", "w", crs="EPSG:32633", transform=WHERE, **options) as file:
        file.write(array)
        file.update_tags(SENSOR="MSI", PLACE="Žďár")
        file.update_tags(1, STATISTICS_MEAN="17")
    return tmp_path / "scene.tif"


def bands_model(fit=None) -> Translator:
    """A model of named bands that returns what it gets."""
    found = identity()
    named = PictureSpec(channels=3, meaning="bands", bands=BANDS)
    part = found.generator.model_copy(update={"inputs": named, "outputs": named})
    spec = found.spec.model_copy(update={"parts": {"A2B": part}})
    return Translator(spec, found.backend, "A2B", make_fit(fit, None, None))


def translated(source, model, **options):
    made = PictureOptions(**options)
    tasks = list_tasks(source, source.parent / "out", 3, options=made)
    result = translate_files(model, tasks, options=made)
    assert result.refused == []
    return tasks[0].output, result


def test_gdal_finds_place_bands_and_nodata_in_the_output(scene):
    path, result = translated(scene, bands_model())
    with rasterio.open(path) as file, rasterio.open(scene) as before:
        assert (file.crs, file.transform, file.nodata) == (before.crs, before.transform, 0)
        assert file.descriptions == BANDS
        assert (file.tags()["SENSOR"], file.tags()["PLACE"]) == ("MSI", "Žďár")
        assert "STATISTICS_MEAN" not in file.tags(1)  # of other values
        np.testing.assert_array_equal(file.read(), before.read())
        assert file.colorinterp == before.colorinterp
    assert result.lost == {}


def test_a_crop_moves_the_corner(scene):
    path, _ = translated(scene, bands_model("crop"))
    with rasterio.open(path) as file:
        assert file.shape == (48, 32)
        assert file.transform == WHERE @ rasterio.Affine.translation(4, 1)  # cut evenly on both sides


def test_no_pixel_becomes_nodata_by_chance():
    array = np.zeros((4, 4, 3), np.uint16)
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    done = with_nodata(array, mask, 0)
    assert (done[0] == 0).all()
    assert (done[1:] == 1).all()
    floats = with_nodata(np.full((4, 4, 1), -9999, np.float32), mask, -9999)
    assert (floats[0] == -9999).all()
    assert (floats[1:] != -9999).all()
    assert np.isnan(with_nodata(floats, mask, np.nan)[0]).all()


def test_only_pixels_without_any_value_have_no_data():
    array = np.ones((2, 2, 3), np.uint16)
    array[0, 0], array[1, 1, 0] = 0, 0
    assert without_data(array, 0).tolist() == [[True, False], [False, False]]
    assert without_data(array, 7) is None
    assert without_data(array, None) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (1e4 / 0.25, 1e4 / 0.5), "resolutionunit": "CENTIMETER"}, (0.25, 0.5)),
        ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}}, (0.25, 0.5)),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YXS",
                    **{"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"},
                    **{"PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"},
                },
            },
            (0.25, 0.5),
        ),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"axes": "YXS", "unit": "um"}}, (0.25, 0.5)),
    ],
)
def test_the_size_of_pixels_is_kept(tmp_path, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", picture(20, 30), photometric="rgb", **options)
    path, result = translated(tmp_path / "a.tif", identity())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        sides = [1e4 * tag.value[1] / tag.value[0] for tag in (page.tags[282], page.tags[283])]
        assert page.tags[296].value == 3  # a centimetre
    assert sides == pytest.approx(expected, rel=1e-5)
    assert result.lost == {}


def test_what_another_format_loses_is_said(scene):
    _, result = translated(scene, bands_model(), format="png")
    assert set(result.lost) == {"georeference", "GDAL metadata", "nodata value"}


def test_damaged_tags_cost_no_picture(tmp_path):
    tags = [(33922, "d", 4, (0.0, 0.0, 0.0, 1.0), True), (42113, "s", 0, "none", True)]
    tifffile.imwrite(tmp_path / "a.tif", picture(20, 30), photometric="rgb", extratags=tags)
    path, _ = translated(tmp_path / "a.tif", identity())
    assert path.exists()
    assert Place({42113: "none"}).nodata is None
    assert Source.place.fget(None) is NOWHERE


@pytest.mark.parametrize("cog", [True, False])  # with a control
def test_gdal_takes_an_output_for_cloud_optimised(tmp_path, cog):
    array = np.tile(picture(300, 400, 3, np.uint16), (3, 2, 1)).transpose(2, 0, 1).clip(1, None)
    array[:, :100] = 0
    options = {"driver": "GTiff", "width": 800, "height": 900, "count": 3, "dtype": "uint16", "nodata": 0}
    with rasterio.open(tmp_path / "a.tif", "w", crs="EPSG:32633", transform=WHERE, **options) as file:
        file.write(array)
    path, _ = translated(tmp_path / "a.tif", bands_model(), cog=cog)
    with rasterio.open(path) as file:
        assert (file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG") == cog
        assert (file.overviews(1) == [2]) == cog
        assert (file.crs.to_epsg(), file.transform, file.nodata, file.descriptions) == (32633, WHERE, 0, BANDS)
        np.testing.assert_array_equal(file.read(), array)


def test_what_cannot_be_cloud_optimised_is_refused(scene, monkeypatch):
    with pytest.raises(UsageError, match="png"):
        PictureOptions(cog=True, format="png")
    with pytest.raises(UsageError, match="--frames all"):
        PictureOptions(cog=True, frames="all")
    path, _ = translated(scene, bands_model(), cog=True)
    assert path.suffix == ".tif"
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UsageError, match=r"\[cog\]"):
        PictureOptions(cog=True)


@pytest.mark.parametrize(("fit", "corner"), [(None, (0, 0)), ("crop", (1, 4))])
@pytest.mark.parametrize(("ending", "world"), [(".png", ".pgw"), (".png", ".wld"), (".jpg", ".jgw"), (".tif", ".tifw")])
def test_world_files_go_along_and_move_with_the_corner(tmp_path, ending, world, fit, corner):
    write_image(tmp_path / f"a{ending}", picture(50, 40))
    (tmp_path / f"a{world}").write_text("10\n0\n0\n-10\n600005\n4999995\n")
    model = identity()
    model = Translator(model.spec, model.backend, "A2B", make_fit(fit, None, None))
    path, _ = translated(tmp_path / f"a{ending}", model)
    with rasterio.open(path) as file:
        top, left = corner
        assert file.shape == (50 - 2 * top, 40 - 2 * left)
        assert file.transform == WHERE @ rasterio.Affine.translation(left, top)


def test_other_files_of_that_name_stay_behind(tmp_path):
    write_image(tmp_path / "a.png", picture(50, 40))
    (tmp_path / "a.pgw").write_text("not six numbers")
    path, _ = translated(tmp_path / "a.png", identity())
    assert [one.name for one in path.parent.iterdir()] == ["a.png"]


def masked(path, bands, array, there):
    """Write what GDAL writes: a picture, its overview and its mask, as pages."""
    colours = {"photometric": "minisblack" if bands else "rgb", "planarconfig": "contig", "tile": (16, 16)}
    mask = {"photometric": "minisblack", "tile": (16, 16)}
    with tifffile.TiffWriter(path) as writer:
        writer.write(array, subfiletype=0, metadata=None, **colours)
        writer.write(array[::2, ::2], subfiletype=1, metadata=None, **colours)
        writer.write(there, subfiletype=4, metadata=None, compression="zlib", **mask)
        writer.write(there[::2, ::2], subfiletype=5, metadata=None, compression="zlib", **mask)


@pytest.mark.parametrize("bands", [False, True])
def test_what_a_mask_leaves_out_is_without_data_and_overviews_are_no_pictures(tmp_path, bands):
    there = np.ones((40, 50), bool)
    there[:10] = there[:, 33:40] = False
    masked(tmp_path / "a.tif", bands, picture(40, 50), there)
    layout = Layout(3, ("a", "b", "c")) if bands else Layout()
    with opened(tmp_path / "a.tif", 10**6, layout) as source:
        assert (source.count(), source.left_out()) == (1, 0)
    image, blank = read_masked(tmp_path / "a.tif", layout=layout)
    np.testing.assert_array_equal(blank, ~there)
    np.testing.assert_array_equal(image[there], picture(40, 50)[there])
    assert read_facts(tmp_path / "a.tif", layout=layout).nodata


def test_a_masked_picture_becomes_one_with_nodata(tiny_run, tmp_path):
    """Whole, in windows, and by rasterio; the control: without the mask, no pixel is left out."""
    there = np.ones((200, 150), bool)
    there[:70] = there[:, 33:40] = False
    masked(tmp_path / "a.tif", False, picture(200, 150), there)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.dataset_mask() > 0, there)
    tifffile.imwrite(tmp_path / "b.tif", picture(200, 150), photometric="rgb")
    model = Translator.open(tiny_run, device="cpu", fit=make_fit("tile", None, 64))
    found = {}
    for name, windows in (("a", True), ("a", False), ("b", True)):
        task = Task(tmp_path / f"{name}.tif", tmp_path / f"{name}{windows}.tif")
        assert not translate_files(model, [task], options=PictureOptions(windows=windows), workers=1).refused
        with rasterio.open(task.output) as file:
            found[name, windows] = file.dataset_mask() > 0, file.nodata, file.read()
    for windows in (True, False):
        np.testing.assert_array_equal(found["a", windows][0], there)
        assert found["a", windows][1] == 0
    np.testing.assert_array_equal(found["a", True][2], found["a", False][2])
    assert (found["b", True][0].all(), found["b", True][1]) == (True, None)


def masked_beside(path, values, there):
    """Write a TIFF whose mask GDAL writes into a file of its own."""
    height, width, count = values.shape
    sides = {"width": width, "height": height, "count": count, "dtype": values.dtype}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "w", driver="GTiff", **sides) as file:
        file.write(values.transpose(2, 0, 1))
        file.write_mask(there)
    assert path.with_name(f"{path.name}.msk").exists()


@pytest.mark.parametrize("bands", [False, True])
def test_a_mask_in_a_file_beside_counts_too(tmp_path, tiny_run, bands):
    there = np.ones((200, 150), bool)
    there[:70] = there[:, 33:40] = False
    source, layout = tmp_path / "a.tif", Layout(3, ("a", "b", "c")) if bands else Layout()
    masked_beside(source, picture(200, 150), there)
    image, blank = read_masked(source, layout=layout)
    np.testing.assert_array_equal(blank, ~there)
    np.testing.assert_array_equal(image[there], picture(200, 150)[there])
    assert read_facts(source, layout=layout).nodata
    known = stored(source)
    if not bands:
        model, outputs = Translator.open(tiny_run, device="cpu", fit=make_fit("tile", None, 64)), []
        for windows in (True, False):
            task = Task(source, tmp_path / f"{windows}.tif")
            assert not translate_files(model, [task], options=PictureOptions(windows=windows), workers=1).refused
            with rasterio.open(task.output) as file:
                outputs.append(file.read())
                np.testing.assert_array_equal(file.dataset_mask() > 0, there)
        np.testing.assert_array_equal(*outputs)
    source.with_name("a.tif.msk").unlink()  # the control
    assert read_masked(source, layout=layout).blank is None
    assert not read_facts(source, layout=layout).nodata
    assert stored(source) != known  # so that nothing that was kept of it counts any more


def test_a_file_beside_that_is_no_mask_of_the_picture_is_named(tmp_path):
    source, beside = tmp_path / "a.tif", tmp_path / "a.tif.msk"
    masked_beside(source, picture(40, 50), np.ones((40, 50), bool))
    good = beside.read_bytes()
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((20, 50), np.uint8))
    for content in (b"no mask", b"", good[:40], (tmp_path / "other.tif").read_bytes()):
        beside.write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.tif\.msk"):
            read_masked(source)
    beside.write_bytes(good)
    assert read_masked(source).blank is None


def test_a_stack_is_without_data_where_one_of_its_files_is(tmp_path):
    there = np.ones((40, 50), bool)
    there[:10] = False
    for band, shown in (("1", np.ones_like(there)), ("2", there)):
        masked_beside(tmp_path / f"x_B{band}.tif", picture(40, 50)[:, :, :1], shown)
    layout = Layout(2, ("one", "two"), stack="{name}_B*.tif")
    path = tmp_path / "x_B{1,2}.tif"
    np.testing.assert_array_equal(read_masked(path, layout=layout).blank, ~there)
    assert read_facts(path, layout=layout).nodata
