"""OME-TIFF in and out: values, axes, sizes, names and notes, read back by tifffile; and OME-XML that is damaged."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

import i2i
from i2i.images import read_image, write_image
from i2i.images.axes import Axes
from i2i.images.ometiff import Pages, ome_xml, read_ome
from i2i.runtime.fit import Fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from tests.conftest import picture, run_i2i, save, tiny_config
from tests.images.test_omezarr import write_zarr

SCHEMA = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
SIZES = {
    **{"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500.0, "PhysicalSizeYUnit": "nm"},
    **{"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm", "TimeIncrement": 5.0, "TimeIncrementUnit": "s"},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Two times of three depths of an RGB picture, with what a microscope writes."""
    path = tmp_path_factory.mktemp("stack") / "in" / "cells.ome.tif"
    path.parent.mkdir()
    planes = np.stack([picture(40, 50, seed=seed) for seed in range(6)]).reshape(2, 3, 40, 50, 3)
    facts = {
        "PositionZ": [10.0 + 2 * (place % 3) for place in range(6)],
        "DeltaT": [5.1 * (place // 3) for place in range(6)],
    }
    texts = {"Name": "well A1", "Description": "Fixed & stained <µ>", "AcquisitionDate": "2026-01-02T03:04:05"}
    metadata = {"axes": "TZYXS", **SIZES, **texts, "Plane": facts, "Channel": {"Name": ["H&E"]}}
    tifffile.imwrite(path, planes, photometric="rgb", ome=True, metadata=metadata)
    return path


@pytest.fixture(scope="module")
def bands_run(tmp_path_factory):
    """A model of three stains, named, from two channels."""
    root = tmp_path_factory.mktemp("bands")
    for split in ("train", "val"):
        for side, count in (("A", 2), ("B", 3)):
            (root / "data" / f"{split}{side}").mkdir(parents=True)
            for seed in range(4):
                array = picture(64, 64, 4, np.uint16, seed=seed)[:, :, :count]
                np.save(root / "data" / f"{split}{side}" / f"{seed}.npy", array)
    words = ("data.channels_a=2", "data.channels_b=[dapi,gfp,cy3]", "data.direction=A2B")
    i2i.train(tiny_config(*words, data=root / "data"), root / "run")
    return root / "run"


def xml_of(path):
    """Return what a file says of its image, once tifffile takes it for an OME-TIFF."""
    with tifffile.TiffFile(path) as file:
        assert file.is_ome, path
        text = file.ome_metadata
        assert len(file.series) == 1
    image = ElementTree.fromstring(text).find(f"{SCHEMA}Image")
    return image, image.find(f"{SCHEMA}Pixels")


def series_of(path):
    with tifffile.TiffFile(path) as file:
        return file.series[0].axes, file.asarray()


def planes_of(pixels):
    return [
        {name: plane.get(name) for name in ("TheZ", "TheT", "PositionZ", "DeltaT")}
        for plane in pixels.iter(f"{SCHEMA}Plane")
    ]


def translated(source, run, tmp_path, number):
    """What the model makes of one plane alone."""
    write_image(tmp_path / "plane.png", tifffile.imread(source).reshape(-1, 40, 50, 3)[number])
    assert run_i2i("translate", tmp_path / "plane.png", "-m", run, "-o", tmp_path / f"{number}.png").returncode == 0
    return read_image(tmp_path / f"{number}.png")


def test_all_planes_keep_their_axes_sizes_and_texts(stack, tiny_run, tmp_path, monkeypatch):
    words = ["translate", stack, "-m", tiny_run, "--frames", "all", "-o"]
    done = run_i2i(*words, tmp_path / "out")
    assert (done.returncode, "Not kept" in done.stderr) == (0, False), done.stderr
    axes, array = series_of(tmp_path / "out" / "cells.ome.tif")
    assert (axes, array.shape) == ("TZYXS", (2, 3, 40, 50, 3))
    for number in (0, 4):
        np.testing.assert_array_equal(array[divmod(number, 3)], translated(stack, tiny_run, tmp_path, number))
    image, pixels = xml_of(tmp_path / "out" / "cells.ome.tif")
    assert {name: type(value)(pixels.get(name)) for name, value in SIZES.items()} == SIZES
    assert image.get("Name") == "well A1"
    assert image.findtext(f"{SCHEMA}Description") == "Fixed & stained <µ>"
    assert image.findtext(f"{SCHEMA}AcquisitionDate") == "2026-01-02T03:04:05"
    assert [one.get("Name") for one in pixels.iter(f"{SCHEMA}Channel")] == ["H&E"]
    assert planes_of(pixels)[4] == {"TheZ": "1", "TheT": "1", "PositionZ": "12.0", "DeltaT": "5.1"}
    monkeypatch.setattr("i2i.runtime.pictures.is_ome", lambda *_: False)
    assert run_i2i(*words, tmp_path / "without").returncode == 0
    axes, array = series_of(tmp_path / "without" / "cells.ome.tif")  # the control: pages, and no more
    assert axes not in ("TZYXS", "ZTYXS")


@pytest.mark.parametrize("words", [(), ("--plane", "t=2", "--plane", "z=3")])
def test_one_plane_says_which_it_was(stack, tiny_run, tmp_path, words):
    assert run_i2i("translate", stack, "-m", tiny_run, "-o", tmp_path / "out", *words).returncode == 0
    number = 5 if words else 0
    axes, array = series_of(tmp_path / "out" / "cells.ome.tif")
    np.testing.assert_array_equal(array, translated(stack, tiny_run, tmp_path, number))
    _, pixels = xml_of(tmp_path / "out" / "cells.ome.tif")
    assert (axes, pixels.get("SizeZ"), pixels.get("SizeT"), pixels.get("SizeC")) == ("YXS", "1", "1", "3")
    place = {"PositionZ": "14.0", "DeltaT": "5.1"} if words else {"PositionZ": "10.0", "DeltaT": "0.0"}
    assert planes_of(pixels) == [{"TheZ": "0", "TheT": "0", **place}]


@pytest.mark.parametrize("windows", [False, True])
def test_bands_are_channels_with_names(bands_run, tmp_path, windows):
    model = Translator.open(bands_run, device="cpu", fit=Fit("tile", None, 64))
    array = picture(300, 170, 4, np.uint16)[:, :, :2].transpose(2, 0, 1)
    metadata = {"axes": "CYX", **SIZES, "Channel": {"Name": ["phase", "dic"], "Fluor": ["a", "b"]}}
    tifffile.imwrite(
        tmp_path / "a.ome.tif", array, ome=True, metadata=metadata, photometric="minisblack", tile=(64, 64)
    )
    np.save(tmp_path / "a.npy", array.transpose(1, 2, 0))
    for source, output in (("a.ome.tif", "b.ome.tif"), ("a.npy", "b.npy")):
        task = Task(tmp_path / source, tmp_path / output)
        result = translate_files(model, [task], options=PictureOptions(windows=windows), workers=1)
        assert not result.refused, result.refused
    axes, made = series_of(tmp_path / "b.ome.tif")
    assert axes == "CYX"
    np.testing.assert_array_equal(made, np.load(tmp_path / "b.npy").transpose(2, 0, 1))
    _, pixels = xml_of(tmp_path / "b.ome.tif")
    channels = [*pixels.iter(f"{SCHEMA}Channel")]
    assert [one.get("Name") for one in channels] == ["dapi", "gfp", "cy3"]
    assert not any(one.get("Fluor") for one in channels)
    assert pixels.get("PhysicalSizeX") == "0.25"


def test_windows_write_the_same_xml(tiny_run, tmp_path):
    model = Translator.open(tiny_run, device="cpu", fit=Fit("tile", None, 64))
    metadata = {"axes": "YXS", **SIZES, "Name": "slide"}
    tifffile.imwrite(
        tmp_path / "a.tif", picture(300, 170), photometric="rgb", ome=True, metadata=metadata, tile=(64, 64)
    )
    found = []
    for windows in (True, False):
        task = Task(tmp_path / "a.tif", tmp_path / f"{windows}.tif")
        assert not translate_files(model, [task], options=PictureOptions(windows=windows), workers=1).refused
        image, pixels = xml_of(task.output)
        found.append((image.attrib, pixels.attrib, series_of(task.output)[1].tolist()))
    assert found[0] == found[1]
    assert (found[0][0]["Name"], found[0][1]["PhysicalSizeY"]) == ("slide", "500")


def test_a_cropped_picture_begins_where_it_does(tiny_run, tmp_path):
    metadata = {"axes": "YXS", **SIZES}
    for name, more in (("plain", {}), ("stage", {"Plane": {"PositionX": [7.0], "PositionZ": [3.0]}})):
        source = tmp_path / f"{name}.ome.tif"
        tifffile.imwrite(source, picture(40, 50), photometric="rgb", ome=True, metadata=metadata | more)
        assert run_i2i("translate", source, "-m", tiny_run, "-o", tmp_path / name, "--fit", "crop").returncode == 0
    _, pixels = xml_of(tmp_path / "plain" / "plain.ome.tif")
    width = int(pixels.get("SizeX"))
    assert (width < 50, float(pixels.get("PhysicalSizeX"))) == (True, 0.25)
    plane = pixels.find(f"{SCHEMA}Plane")
    assert (float(plane.get("PositionX")), plane.get("PositionXUnit")) == ((50 - width) // 2 / 4, "µm")
    plane = xml_of(tmp_path / "stage" / "stage.ome.tif")[1].find(f"{SCHEMA}Plane")
    assert (plane.get("PositionX"), plane.get("PositionZ")) == (None, "3.0")  # of the stage, which did not move


def test_other_files_become_ome_tiff(tiny_run, tmp_path):
    zarr = pytest.importorskip("zarr")
    save(tmp_path / "in" / "a.png", 40, 50)
    write_image(tmp_path / "in" / "b.ome.tif", picture(40, 50, seed=1))
    names = [one.output.name for one in list_tasks(tmp_path / "in", tmp_path, 3, options=PictureOptions("ome.tif"))]
    assert names == ["a.ome.tif", "b.ome.tif"]
    names = [one.output.name for one in list_tasks(tmp_path / "in", tmp_path, 3, options=PictureOptions(suffix="_x"))]
    assert names == ["a_x.png", "b_x.ome.tif"]
    assert (
        run_i2i("translate", tmp_path / "in", "-m", tiny_run, "-o", tmp_path / "out", "--format", "ome.tif").returncode
        == 0
    )
    assert xml_of(tmp_path / "out" / "a.ome.tif")[1].get("PhysicalSizeX") is None
    tifffile.imwrite(
        tmp_path / "c.tif", picture(40, 50), photometric="rgb", resolution=(40_000, 20_000), resolutionunit=3
    )
    for step in ("c.tif", "d.ome.zarr", "e.ome.tif"):  # a size of pixels on its way through all three
        following = {"c.tif": "d.ome.zarr", "d.ome.zarr": "e.ome.tif", "e.ome.tif": "f.ome.zarr"}[step]
        assert run_i2i("translate", tmp_path / step, "-m", tiny_run, "-o", tmp_path / following).returncode == 0
    _, pixels = xml_of(tmp_path / "e.ome.tif")
    assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeYUnit")) == ("0.25", "µm")
    planes = np.stack([picture(40, 50, seed=seed).transpose(2, 0, 1) for seed in range(6)]).reshape(2, 3, 3, 40, 50)
    write_zarr(tmp_path / "g.zarr", planes.swapaxes(1, 2), "tczyx", "0.4")
    words = ["translate", tmp_path / "g.zarr", "-m", tiny_run, "-o", tmp_path / "g.ome.tif", "--frames", "all"]
    assert run_i2i(*words).returncode == 0
    axes, array = series_of(tmp_path / "g.ome.tif")
    assert (axes, array.shape) == ("TZYXS", (2, 3, 40, 50, 3))
    (scales,) = dict(zarr.open_group(tmp_path / "f.ome.zarr", mode="r").attrs)["multiscales"]
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"][-2:] == [0.5, 0.25]


def test_what_other_formats_lose_is_told(stack, tiny_run, tmp_path):
    done = run_i2i("translate", stack, "-m", tiny_run, "-o", tmp_path, "--format", "png", "--keep-metadata")
    assert done.returncode == 0
    assert "OME metadata" in done.stderr
    assert b"OpenMicroscopy" not in (tmp_path / "cells.ome.png").read_bytes()
    assert b"openmicroscopy" not in (tmp_path / "cells.ome.png").read_bytes()  # of the input's pages
    done = run_i2i("translate", stack, "-m", tiny_run, "-o", tmp_path / "kept", "--keep-metadata")
    assert done.returncode == 0, done.stderr
    assert xml_of(tmp_path / "kept" / "cells.ome.tif")[1].get("SizeZ") == "1"


RICH = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Plate ID="Plate:0"/>
  <Experimenter ID="Experimenter:0" LastName="Zoë"/>
  <Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="63"/></Instrument>
  <Image ID="Image:7" Name="one">
    <ExperimenterRef ID="Experimenter:0"/><ExperimenterGroupRef ID="ExperimenterGroup:0"/>
    <InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:0" RefractiveIndex="1.5"/>
    <Pixels ID="Pixels:7" DimensionOrder="XYZCT" Type="uint8" SizeX="5" SizeY="4" SizeZ="3" SizeC="2" SizeT="1">
      <Channel ID="Channel:7:0" Name="red"><DetectorSettings ID="Detector:0"/></Channel>
      <Channel ID="Channel:7:1"/><TiffData/>
    </Pixels>
    <ROIRef ID="ROI:0"/><AnnotationRef ID="Annotation:1"/><AnnotationRef ID="Annotation:2"/>
  </Image>
  <Image ID="Image:8" Name="two"><Pixels ID="Pixels:8" Type="uint8"/></Image>
  <StructuredAnnotations>
    <MapAnnotation ID="Annotation:1"><Value><M K="gene">actin</M></Value></MapAnnotation>
    <XMLAnnotation ID="Annotation:2"><Value><Modulo xmlns="other"/></Value></XMLAnnotation>
    <CommentAnnotation ID="Annotation:3"><Value>of another picture</Value></CommentAnnotation>
  </StructuredAnnotations>
  <ROI ID="ROI:0"/>
</OME>"""
PAGES = Pages((("c", 2), ("z", 3)), (4, 5), 1, False, np.uint8)


def test_notes_people_and_microscope_are_kept_and_nothing_dangles():
    axes = read_ome(RICH)
    assert (axes.planes, axes.channels) == ((("c", 2), ("z", 3)), ("red", "2"))
    text = ome_xml(axes, PAGES).decode()
    root = ElementTree.fromstring(text)
    assert [one.tag.removeprefix(SCHEMA) for one in root] == [
        "Experimenter",
        "Instrument",
        "Image",
        "StructuredAnnotations",
    ]
    targets = {one.get("ID") for one in root.iter() if not one.tag.endswith(("Ref", "Settings"))}
    assert {one.get("ID") for one in root.iter() if one.tag.endswith(("Ref", "Settings"))} <= targets
    assert all(word in text for word in ("Zoë", 'NominalMagnification="63"', "actin", 'RefractiveIndex="1.5"'))
    assert not any(word in text for word in ("Plate", "another picture", "Modulo", "ROI", "Detector", "two"))
    assert root.find(f"{SCHEMA}Image/{SCHEMA}Pixels").get("DimensionOrder") == "XYZCT"
    older = read_ome(RICH.replace("2016-06", "2011-06"))
    assert "Zoë" not in ome_xml(older, PAGES).decode()
    assert 'Name="one"' in ome_xml(older, PAGES).decode()


@pytest.mark.parametrize(
    "damage",
    ["", "text", "<OME", "<OME></OME>", "<OME><Image/></OME>", RICH.replace("<OME", "<!DOCTYPE x><OME", 1), RICH[:-9]],
)
def test_damaged_xml_is_no_description(damage):
    assert read_ome(damage) is None


def test_damage_inside_costs_no_picture(tiny_run, tmp_path):
    odd = RICH.replace('SizeZ="3"', 'SizeZ="-many" PhysicalSizeX="NaN" PhysicalSizeYUnit="ells"')
    for name, text in (("odd", odd), ("cut", RICH[:-40])):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", picture(40, 50), photometric="rgb", description=text.encode(), metadata=None
        )
        assert run_i2i("translate", tmp_path / f"{name}.tif", "-m", tiny_run, "-o", tmp_path / "out").returncode == 0
    assert xml_of(tmp_path / "out" / "odd.tif")[1].get("SizeX") == "50"
    with tifffile.TiffFile(tmp_path / "out" / "cut.tif") as file:
        assert not file.is_ome


def test_pages_in_another_order_are_not_described():
    """As of files whose TiffData say which page is which."""
    mixed = RICH.replace("<TiffData/>", '<TiffData IFD="0" FirstZ="2"/>')
    assert read_ome(mixed).planes == ()
    straight = RICH.replace("<TiffData/>", '<TiffData IFD="4" FirstZ="1" FirstC="1"/>')
    assert read_ome(straight).planes == (("c", 2), ("z", 3))


def test_units_go_both_ways():
    axes = Axes(units=(("z", "micrometer"), ("y", "nanometer"), ("x", "furlong")), scale=(("y", 5.0), ("x", 2.0)))
    again = read_ome(ome_xml(replace(axes, offset=(("z", 3.0),)), PAGES._replace(planes=())).decode())
    assert dict(again.scale) == {"y": 5.0}


def test_a_stack_of_bands_keeps_all_axes(bands_run, tmp_path):
    model = Translator.open(bands_run, device="cpu")
    array = np.stack([picture(40, 50, 4, np.uint16, seed=seed).transpose(2, 0, 1)[:2] for seed in range(6)])
    source = tmp_path / "a.ome.tif"
    metadata = {"axes": "TZCYX", **SIZES}
    tifffile.imwrite(source, array.reshape(2, 3, 2, 40, 50), photometric="minisblack", ome=True, metadata=metadata)
    made = {}
    for name, options in (
        ("each", PictureOptions(frames="all")),
        ("one", PictureOptions(plane=(("t", 2), ("z", 3)))),
        ("times", PictureOptions(frames="all", plane=(("z", 3),))),
        ("none", PictureOptions()),
    ):
        task = Task(source, tmp_path / f"{name}.tif")
        refused = translate_files(model, [task], options=options, workers=1).refused
        assert bool(refused) == (name == "none")
        if not refused:
            made[name] = series_of(task.output)
    assert [axes for axes, _ in made.values()] == ["TZCYX", "CYX", "TCYX"]
    assert made["each"][1].shape == (2, 3, 3, 40, 50)
    np.testing.assert_array_equal(made["each"][1][1, 2], made["one"][1])
    np.testing.assert_array_equal(made["each"][1][:, 2], made["times"][1])
    _, pixels = xml_of(tmp_path / "each.tif")
    assert [one.get("Name") for one in pixels.iter(f"{SCHEMA}Channel")] == ["dapi", "gfp", "cy3"]
    assert (pixels.get("PhysicalSizeZ"), pixels.get("TimeIncrement")) == ("2", "5")


def test_a_grey_channel_gives_colours_no_name(tiny_run, tmp_path):
    metadata = {"axes": "YX", "Channel": {"Name": ["dapi"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", picture(40, 50)[:, :, 0], ome=True, metadata=metadata)
    assert run_i2i("translate", tmp_path / "a.ome.tif", "-m", tiny_run, "-o", tmp_path / "out").returncode == 0
    (channel,) = xml_of(tmp_path / "out" / "a.ome.tif")[1].iter(f"{SCHEMA}Channel")
    assert (channel.get("SamplesPerPixel"), channel.get("Name")) == ("3", None)
