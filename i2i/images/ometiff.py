"""OME-XML, the description of an OME-TIFF: what a file says of its axes and channels, and what a translation says.

Version 2016-06 is written. Of an input of that version, the microscope, the people, the stage and notes on the picture
are kept; of older ones, sizes, names and times. What it says of channels and regions is not: they are others now.
"""

import contextlib
import copy
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.etree import ElementTree as Xml

import numpy as np

from i2i.images.axes import Axes
from i2i.version import __version__

_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_UNITS = {
    **{"m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer", "nm": "nanometer", "Å": "angstrom"},
    **{"s": "second", "ms": "millisecond", "µs": "microsecond", "ns": "nanosecond", "min": "minute", "h": "hour"},
}
"""OME-XML's symbols, and the names that OME-Zarr has for them."""
_SYMBOLS = {name: symbol for symbol, name in _UNITS.items()}
_TYPES = {"uint8": "uint8", "uint16": "uint16", "float32": "float"}
_BEFORE = (
    *("AcquisitionDate", "ExperimenterRef", "Description", "InstrumentRef"),
    *("ObjectiveSettings", "ImagingEnvironment", "StageLabel"),
)
"""What is kept in front of the pixels, in the schema's order."""
_NOTES = ("BooleanAnnotation", "CommentAnnotation", "DoubleAnnotation", "LongAnnotation", "MapAnnotation")
"""Notes that are kept, if the picture refers to them."""
_POSITIONS = {"t": "DeltaT", "x": "PositionX", "y": "PositionY", "z": "PositionZ"}
"""Of a plane, along each axis."""
_MOST_PLANES = 1 << 20


class Pages(NamedTuple):
    """What a file holds."""

    planes: tuple[tuple[str, int], ...]
    """Axes along which its frames follow one another, the slowest first, and their sizes."""
    sides: tuple[int, int]
    """Height and width in pixels."""
    channels: int
    """Of a frame."""
    apart: bool
    """Whether each channel has a page of its own."""
    dtype: Any


def read_ome(description: str, image: int = 0) -> Axes | None:
    """Return what an OME-XML says of one of its images; None for other texts, and for damaged ones."""
    if not re.match(r"\s*<", description) or "OME" not in description[:2000] or "<!DOCTYPE" in description:
        return None  # the parser would follow the entities of a DOCTYPE
    with contextlib.suppress(Exception):  # it is found damaged in many ways, and costs no picture
        return _read(Xml.fromstring(description.strip("\0 \t\r\n")), image)
    return None


def _read(root: Any, image: int) -> Axes:
    found = [one for one in root if _name(one) == "Image"][image]
    pixels = next(one for one in found if _name(one) == "Pixels")
    document = Xml.Element("OME")
    if root.tag == f"{{{_NAMESPACE}}}OME":
        document.extend([one for one in root if _name(one) != "Image" or one is found])
    else:
        kept = [one for one in found if _name(one) in ("AcquisitionDate", "Description", "Pixels")]
        Xml.SubElement(document, "Image", found.attrib).extend(kept)
    sizes = {axis: _number(pixels.get(f"Size{axis.upper()}"), 1) for axis in "tcz"}
    known = list(_sizes(pixels))
    units = {axis: unit for axis, unit, _ in known}
    letters = [axis for axis in "tczyx" if axis in "cyx" or axis in units or sizes[axis] > 1]
    return Axes(
        units=tuple((axis, units.get(axis, "")) for axis in letters),
        scale=tuple((axis, size) for axis, _, size in known),
        channels=_channel_names(pixels),
        planes=_planes(pixels, sizes),
        document=document,
    )


def _name(element: Any) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _number(text: str | None, default: float) -> Any:
    """Return a positive, finite number of the type of `default`, which takes the place of others."""
    try:
        number = type(default)(text or "")
    except ValueError:
        return default
    return number if 0 < number < math.inf else default


def _sizes(pixels: Any) -> Iterator[tuple[str, str, float]]:
    """Yield axis, unit and size of a pixel along it, where both are known."""
    names = {"t": ("TimeIncrement", "s"), **{axis: (f"PhysicalSize{axis.upper()}", "µm") for axis in "zyx"}}
    for axis, (name, usual) in names.items():
        symbol = pixels.get(f"{name}Unit", usual).replace("\u03bc", "µ")
        if (size := _number(pixels.get(name), 0.0)) and symbol in _UNITS:
            yield axis, _UNITS[symbol], size


def _channel_names(pixels: Any) -> tuple[str, ...]:
    channels = [one for one in pixels if _name(one) == "Channel"]
    if not any(one.get("Name") for one in channels):
        return ()
    return tuple(one.get("Name") or str(number) for number, one in enumerate(channels, 1))


def _planes(pixels: Any, sizes: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the axes along which the pages of a file follow one another; none where their order is another."""
    order = pixels.get("DimensionOrder", "XYCZT").lower()[2:]
    samples = max((_number(one.get("SamplesPerPixel"), 1) for one in pixels if _name(one) == "Channel"), default=1)
    sizes = {**sizes, "c": max(sizes["c"] // samples, 1)}
    if sorted(order) != ["c", "t", "z"] or math.prod(sizes.values()) > _MOST_PLANES:
        return ()
    for data in (one for one in pixels if _name(one) == "TiffData"):
        first = int(data.get("IFD", 0)), *(int(data.get(f"First{axis.upper()}", 0)) for axis in order)
        steps = np.cumprod([1, *(sizes[axis] for axis in order[:2])])
        if first[0] != sum(place * int(step) for place, step in zip(first[1:], steps, strict=True)):
            return ()
    return tuple((axis, sizes[axis]) for axis in reversed(order) if sizes[axis] > 1)


def ome_xml(axes: Axes, pages: Pages) -> bytes:
    """Return the OME-XML of a file; names of channels are left out where there are more or fewer channels."""
    root = Xml.Element("OME", {"xmlns": _NAMESPACE, "Creator": f"i2i {__version__}"})
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:schemaLocation", f"{_NAMESPACE} {_NAMESPACE}/ome.xsd")
    old = _plain(axes.document)
    before = next((one for one in old if one.tag == "Image"), Xml.Element("Image"))
    refs = before.findall("AnnotationRef")
    name = before.get("Name", "")
    image = Xml.Element("Image", {"ID": "Image:0", **({"Name": name} if name else {})})
    image.extend([one for tag in _BEFORE for one in before.findall(tag)])
    image.append(_pixels(axes, pages, before.find("Pixels")))
    image.extend(refs)
    notes, wanted = Xml.Element("StructuredAnnotations"), {ref.get("ID") for ref in refs}
    every = old.findall("StructuredAnnotations/*")
    notes.extend([one for one in every if one.tag in _NOTES and one.get("ID") in wanted])
    root.extend([*old.findall("Experimenter"), *old.findall("Instrument"), image, *([notes] if len(notes) else [])])
    _drop_dangling(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>' + Xml.tostring(root, encoding="utf-8", xml_declaration=False)


def _plain(document: Any) -> Any:
    """Return a copy of a document without namespaces."""
    done = Xml.Element("OME") if document is None else copy.deepcopy(document)
    for one in done.iter():
        one.tag, one.tail = _name(one), None
    return done


def _drop_dangling(root: Any) -> None:
    """Remove references, and settings of parts, whose target is not in the document."""
    known = {one.get("ID") for one in root.iter() if not _is_reference(one)}
    for parent in list(root.iter()):
        for one in [one for one in parent if _is_reference(one) and one.get("ID") not in known]:
            parent.remove(one)


def _is_reference(element: Any) -> bool:
    return str(element.tag).endswith(("Ref", "Settings"))


def _pixels(axes: Axes, pages: Pages, before: Any) -> Any:
    """Return the element that says what the pages are."""
    planes = dict(pages.planes)
    samples = 1 if pages.apart else pages.channels
    apart = pages.channels if pages.apart else 1
    sizes = {"c": planes.get("c", apart), "z": planes.get("z", 1), "t": planes.get("t", 1)}
    order = [axis for axis, _ in reversed(pages.planes)]  # the fastest first
    order = [*(axis for axis in "c" if axis not in order), *order, *(axis for axis in "zt" if axis not in order)]
    pixels = Xml.Element("Pixels", {"ID": "Pixels:0", "DimensionOrder": f"XY{''.join(order)}".upper()})
    pixels.set("Type", _TYPES[np.dtype(pages.dtype).name])
    height, width = pages.sides
    for axis, size in {"x": width, "y": height, **sizes, "c": samples * sizes["c"]}.items():
        pixels.set(f"Size{axis.upper()}", str(size))
    pixels.set("BigEndian", "false")
    if samples > 1:
        pixels.set("Interleaved", "true")
    units = dict(axes.units)
    for axis, length in axes.scale:
        if symbol := _SYMBOLS.get(units.get(axis, "")):
            name = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
            pixels.set(name, f"{length:.10g}")
            pixels.set(f"{name}Unit", symbol)
    names = axes.channels if len(axes.channels) == sizes["c"] else ()
    for number in range(sizes["c"]):
        named = {"Name": names[number]} if names else {}
        Xml.SubElement(pixels, "Channel", {"ID": f"Channel:0:{number}", "SamplesPerPixel": str(samples), **named})
    Xml.SubElement(pixels, "TiffData", {"IFD": "0", "PlaneCount": str(math.prod(sizes.values()))})
    pixels.extend(_plane_facts(axes, sizes, before))
    return pixels


def _plane_facts(axes: Axes, sizes: dict[str, int], before: Any) -> Iterator[Any]:
    """Yield an element for each plane of whose time and place something is known, as the input's first channel says."""
    facts = {}
    for one in before.iter("Plane") if before is not None else ():
        if one.get("TheC", "0") == "0":
            facts[one.get("TheZ", "0"), one.get("TheT", "0")] = one
    chosen, offset, units = dict(axes.chosen), dict(axes.offset), dict(axes.units)
    cropped = {"PositionX", "PositionY"} if {"x", "y"} & offset.keys() else set[str]()  # whose stage did not move
    start = {
        _POSITIONS[axis]: (place, units.get(axis, "")) for axis, place in offset.items() if sizes.get(axis, 1) == 1
    }
    for t in range(sizes["t"]):
        for z in range(sizes["z"]):
            fact = facts.get((str(chosen.get("z", z)), str(chosen.get("t", t))), Xml.Element("Plane"))
            names = [name for name in _POSITIONS.values() if name not in cropped and fact.get(name)]
            own = {one: fact.get(one, "") for name in names for one in (name, f"{name}Unit") if fact.get(one)}
            for name, (place, unit) in start.items():
                if unit in _SYMBOLS and not fact.get(name):
                    own |= {name: f"{place:.10g}", f"{name}Unit": _SYMBOLS[unit]}
            if own:
                for c in range(sizes["c"]):
                    yield Xml.Element("Plane", {"TheC": str(c), "TheZ": str(z), "TheT": str(t), **own})
