"""Files as bands: any number of channels, none of them converted, and every value kept."""

import numpy as np
import pytest
import tifffile

from i2i.errors import ImageError
from i2i.images import FORMATS, Layout, band_names, composite, holds, read_facts, read_image, write_image
from tests.conftest import picture


def stacked(count: int, dtype: str = "uint16", height: int = 20, width: int = 30) -> np.ndarray:
    """A picture of `count` different channels."""
    return np.concatenate([picture(height, width, 1, np.dtype(dtype), seed=k) for k in range(count)], axis=2)


def layout(count: int) -> Layout:
    return Layout(count, tuple(f"b{k}" for k in range(count)))


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 13])
def test_what_is_written_is_read(tmp_path, count, dtype, suffix):
    array = stacked(count, "uint16")
    array = array.astype(np.float32) / 65535 if dtype == "float32" else array.astype(dtype)
    write_image(tmp_path / f"a{suffix}", array, bands=True)
    read = read_image(tmp_path / f"a{suffix}", layout=layout(count))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    assert read_facts(tmp_path / f"a{suffix}", layout=layout(count)).size == (20, 30)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_tiffs_by_other_programs(tmp_path, planar, compression, tile):
    array, path = stacked(5), tmp_path / "a.tif"
    data = array if planar == "contig" else array.transpose(2, 0, 1)
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig=planar, compression=compression, tile=tile)
    np.testing.assert_array_equal(read_image(path, layout=layout(5)), array)


def test_pages_are_bands_where_there_are_as_many(tmp_path):
    array, path = stacked(5), tmp_path / "a.tif"
    tifffile.imwrite(path, array.transpose(2, 0, 1), photometric="minisblack")
    np.testing.assert_array_equal(read_image(path, layout=layout(5)), array)
    with pytest.raises(ImageError, match="5 channels, but 4"):
        read_image(path, layout=layout(4))


@pytest.mark.parametrize("metadata", [{"axes": "CYX"}, {"axes": "ZCYX"}])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_axes_are_heeded(tmp_path, kind, metadata):
    array, path = stacked(3), tmp_path / "a.tif"
    planes = array.transpose(2, 0, 1)
    planes = np.stack([planes, planes]) if metadata["axes"] == "ZCYX" else planes
    tifffile.imwrite(path, planes, **{kind: True}, metadata=metadata, photometric="minisblack")
    if metadata["axes"] == "CYX":
        np.testing.assert_array_equal(read_image(path, layout=layout(3)), array)
    else:  # never the first plane alone
        with pytest.raises(ImageError, match=r"depth \(z\)"):
            read_image(path, layout=layout(3))


def test_two_channels_are_grey_with_alpha_only_in_pictures(tmp_path):
    array = stacked(2, "uint8")
    write_image(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", layout=layout(2)), array)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy", layout=layout(2)), array)
    with pytest.raises(ImageError, match=r"a\.npy.*channels_a"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tif", ".png"])
def test_another_number_of_channels_is_refused_by_name(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", stacked(3, "uint8"), bands=True)
    with pytest.raises(ImageError, match=rf"a\{suffix} has 3 channels, but 5 are expected: b0, b1"):
        read_image(tmp_path / f"a{suffix}", layout=layout(5))


def test_the_range_is_that_of_all_bands(tmp_path):
    array = stacked(4) // 16
    write_image(tmp_path / "a.tif", array, bands=True)
    read = read_image(tmp_path / "a.tif", layout=layout(4)._replace(value_range=(0, 4095)))
    np.testing.assert_array_equal(read, np.rint(array * (65535 / 4095)))  # the fourth is no alpha


def test_channels_of_a_file_are_selected_in_order(tmp_path):
    array = stacked(5)
    some = Layout(2, ("nir", "red"), select=(4, 1))
    for suffix in (".tif", ".npy"):
        write_image(tmp_path / f"a{suffix}", array, bands=True)
        np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}", layout=some), array[:, :, [3, 0]])
        assert read_facts(tmp_path / f"a{suffix}", layout=some).size == (20, 30)
    with pytest.raises(ImageError, match=r"a\.npy.*channel 7"):
        read_image(tmp_path / "a.npy", layout=some._replace(select=(1, 7)))


def test_formats_that_would_take_bands_for_alpha_do_not_hold_them(tmp_path):
    able = [suffix for suffix in FORMATS if holds(suffix, channels=4, bands=True)]
    assert able == [".tif", ".tiff", ".ome.tif", ".ome.tiff", ".npy", ".npz", ".zarr", ".ome.zarr"]
    assert holds(".png", channels=3, bands=True)
    with pytest.raises(ImageError, match="4 bands"):
        write_image(tmp_path / "a.png", stacked(4, "uint8"), bands=True)


def test_archives_with_several_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=stacked(2), y=stacked(2))
    with pytest.raises(ImageError, match="x, y"):
        read_image(tmp_path / "a.npz", layout=layout(2))


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        (("nir", "Blue", "green", "red"), [3, 2, 1]),
        (("nir", "red", "green"), [0, 1, 2]),
        (("a", "b"), [0]),
        (("thermal",), [0]),
    ],
)
def test_people_see_the_colours_or_the_first_three(bands, shown):
    array = stacked(len(bands))
    np.testing.assert_array_equal(composite(array, bands), array[:, :, shown])


def test_people_see_the_bands_that_are_chosen():
    array, bands = stacked(4), ("blue", "green", "red", "nir")
    np.testing.assert_array_equal(composite(array, bands, ("nir", "red", "green")), array[:, :, [3, 2, 1]])
    np.testing.assert_array_equal(composite(array, bands, ("nir",)), array[:, :, [3]])


def test_counts_of_pictures_are_no_bands():
    assert [band_names(count) for count in (1, 2, 3, 4)] == [(), ("1", "2"), (), ()]
    assert band_names(["red", "nir"]) == ("red", "nir")
