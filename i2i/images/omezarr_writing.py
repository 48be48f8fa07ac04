"""An OME-Zarr picture, written as its rows come: chunks, smaller sizes, and what the axes and channels mean.

The format is OME-NGFF 0.4 in Zarr 2, or 0.5 in Zarr 3 where the input is of that version. A plane is written at its
place among those of the input, or several along the axes that they had there.
"""

import contextlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i.errors import ImageError, UsageError, one_line
from i2i.files import atomic_folder
from i2i.images.axes import Axes
from i2i.images.encode import Array
from i2i.version import DISTRIBUTION

CHUNK_PX = 512
"""Side of a chunk; a picture is halved until it fits into one."""
_ORDER = "tczyx"
"""Of axes, as the format wants it."""
_KINDS = {"t": "time", "c": "channel"}
_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
_PALETTE = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF", "FFFFFF")
"""Of channels that are no colours, in turn."""


@contextlib.contextmanager
def new_zarr(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield an empty folder that becomes `path`, and replaces an OME-Zarr there; sync: as in `atomic_write`.

    Raises ImageError where anything else is there.
    """
    if os.path.lexists(path) and not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        raise ImageError(f"{one_line(path)} is there and is no Zarr, so it is not replaced. Move it, or name another.")
    with atomic_folder(path, replace=True, sync=sync) as folder:
        yield folder


def encode_zarr(frames: Sequence[Array], axes: Axes) -> bytes:
    """Return frames (H, W, C) as a zip of the files of a folder; several follow one another along `axes.planes`."""
    files: dict[str, Any] = {}
    steps = axes.planes if len(frames) > 1 else ()
    write_zarr(files, (iter([frame]) for frame in frames), frames[0].shape[:2], axes, steps)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content.to_bytes())
    return buffer.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Write the files of a picture that `encode_zarr` has made into an empty folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        packed.extractall(folder)


def write_zarr(
    store: Path | dict[str, Any],
    planes: Iterable[Iterator[Array]],
    sides: tuple[int, int],
    axes: Axes,
    steps: Sequence[tuple[str, int]] = (),
) -> None:
    """Write a picture into an empty folder, or a mapping of names to contents.

    planes: the rows of each, (N, W, C) of one type, in order. sides: height and width. axes: names of channels are left
    out where there are more or fewer channels. steps: the axes along which planes follow one another, the slowest
    first, and their sizes; none of a single plane. Raises UsageError where zarr is missing.
    """
    planes, sizes = iter(planes), dict(steps)
    rows = next(planes)
    first = next(rows)
    channels = first.shape[2] * sizes.get("c", 1)
    letters = [one for one in _ORDER if one in dict(axes.units) or one in sizes or (one == "c" and channels > 1)]
    group = load_zarr().open_group(store, mode="w", zarr_format=3 if axes.version == "0.5" else 2)
    levels = []
    for number, (height, width) in enumerate(level_sides(sides)):
        lengths = {**sizes, "c": channels, "y": height, "x": width}
        levels.append(_level(group, number, {one: lengths.get(one, 1) for one in letters}, first.dtype))
    seen = _Seen(channels)
    every = itertools.chain([itertools.chain([first], rows)], planes)
    for place, own in zip(np.ndindex(*sizes.values()), every, strict=True):
        at: dict[str, Any] = dict(zip(sizes, place, strict=True))
        start = at.get("c", 0) * first.shape[2]
        at["c"] = slice(start, start + first.shape[2])
        _write_plane(levels, _Plane(letters, at), own, seen, axes.classes)
    described = _described(axes, letters, len(levels))
    described |= {"omero": {"channels": _channels(axes.channels, channels, first.dtype, seen)}}
    if axes.version == "0.5":
        described = {"ome": {"version": "0.5", **described}}
    group.attrs.update(described)  # last: readers see a picture only once this is written


class _Plane(NamedTuple):
    """Where a plane lies in an array with the axes `letters`: its place on some of them, or its channels; else 0."""

    letters: Sequence[str]
    at: dict[str, Any]

    def rows(self, top: int, bottom: int) -> tuple[Any, ...]:
        """Return the index of some rows: (C, N, W), or (N, W) without an axis of channels."""
        where = {**self.at, "y": slice(top, bottom), "x": slice(None)}
        return tuple(where.get(one, 0) for one in self.letters)


def _write_plane(levels: Sequence[Any], plane: _Plane, rows: Iterator[Array], seen: "_Seen", nearest: bool) -> None:
    """Write all sizes of a plane."""
    top = 0
    for strip in _strips(rows):
        seen.add(strip, plane.at["c"])
        _put(levels[0], plane, top, strip)
        top += len(strip)
    for finer, coarser in itertools.pairwise(levels):
        _reduce(finer, coarser, plane, nearest)


def load_zarr() -> Any:
    """Return the module zarr; raises UsageError where it is missing."""
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise UsageError(f"OME-Zarr needs zarr. Run: pip install '{DISTRIBUTION}[zarr]'") from error
    return zarr


def level_sides(sides: tuple[int, int]) -> list[tuple[int, int]]:
    """Return height and width of each size of a picture, the largest first."""
    found = [sides]
    while max(found[-1]) > CHUNK_PX and min(found[-1]) > 1:
        found.append((found[-1][0] // 2, found[-1][1] // 2))
    return found


def _level(group: Any, number: int, lengths: dict[str, int], dtype: Any) -> Any:
    """Make the empty array of one size; lengths: of its axes, in order."""
    from numcodecs import Blosc

    named: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    packed: Any = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    if group.metadata.zarr_format == 3:
        named = {"dimension_names": list(lengths)}
        packed = load_zarr().codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=dtype.itemsize)
    return group.create_array(
        str(number),
        shape=list(lengths.values()),
        chunks=[CHUNK_PX if one in "yx" else 1 for one in lengths],
        dtype=dtype,
        compressors=packed,
        **named,
    )


def _strips(rows: Iterator[Array]) -> Iterator[Array]:
    """Yield rows as strips of whole chunks, so that each chunk is written once; the last is shorter."""
    waiting: list[Array] = []
    for some in rows:
        waiting.append(some)
        if sum(map(len, waiting)) >= CHUNK_PX:
            joined = np.concatenate(waiting)
            whole = len(joined) // CHUNK_PX * CHUNK_PX
            yield joined[:whole]
            waiting = [joined[whole:]]
    if (last := np.concatenate(waiting)).size:
        yield last


def _put(level: Any, plane: _Plane, top: int, strip: Array) -> None:
    """Write rows (N, W, C) of a plane at `top`."""
    channels = strip.transpose(2, 0, 1)
    level[plane.rows(top, top + len(strip))] = channels if "c" in plane.letters else channels[0]


def _reduce(finer: Any, coarser: Any, plane: _Plane, nearest: bool) -> None:
    """Halve one size into the next, some rows at a time."""
    height, width = coarser.shape[-2:]
    for top in range(0, height, CHUNK_PX):
        bottom = min(top + CHUNK_PX, height)
        planes = np.asarray(finer[plane.rows(2 * top, 2 * bottom)])
        planes = planes[None] if planes.ndim == 2 else planes
        _put(coarser, plane, top, _halved(planes[:, :, : 2 * width], nearest).transpose(1, 2, 0))


def _halved(planes: Array, nearest: bool) -> Array:
    """Return (C, H, W), of even sides, at half the size: means of four, rounded in integers; or one of four."""
    if nearest:
        return planes[:, ::2, ::2]
    count, height, width = planes.shape
    squares = planes.reshape(count, height // 2, 2, width // 2, 2)
    if planes.dtype.kind == "f":
        return squares.mean(axis=(2, 4), dtype=planes.dtype)
    return ((squares.sum(axis=(2, 4), dtype=np.uint32) + 2) >> 2).astype(planes.dtype)


class _Seen:
    """The least and the largest value of each channel."""

    def __init__(self, channels: int):
        self.least, self.most = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, strip: Array, channels: slice) -> None:
        self.least[channels] = np.fmin(self.least[channels], strip.min(axis=(0, 1)))
        self.most[channels] = np.fmax(self.most[channels], strip.max(axis=(0, 1)))


def _described(axes: Axes, letters: Sequence[str], levels: int) -> dict[str, Any]:
    """Return the multiscales of the format."""
    units, scale, offset = dict(axes.units), dict(axes.scale), dict(axes.offset)
    named = [
        {"name": one, "type": _KINDS.get(one, "space"), **({"unit": units[one]} if units.get(one) else {})}
        for one in letters
    ]
    datasets = []
    for number in range(levels):
        sizes = [scale.get(one, 1.0) * (2**number if one in "yx" else 1) for one in letters]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": sizes}]
        if offset:
            steps.append({"type": "translation", "translation": [offset.get(one, 0.0) for one in letters]})
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    scales = {"axes": named, "datasets": datasets}
    return {"multiscales": [scales if axes.version == "0.5" else {"version": "0.4", **scales}]}


def _channels(names: Sequence[str], count: int, dtype: Any, seen: _Seen) -> list[dict[str, Any]]:
    """Return the name, colour and window of each channel, as viewers show it."""
    colours = [colour for _, colour in _RGB] if count == 3 else list(_PALETTE) if count > 1 else ["FFFFFF"]
    if len(names) != count:
        names = [name for name, _ in _RGB] if count == 3 else [str(number + 1) for number in range(count)]
    top = 1.0 if dtype == np.float32 else float(np.iinfo(dtype).max)
    found = []
    for place, name in enumerate(names):
        low, high = (0.0, top) if dtype == np.uint8 else (float(seen.least[place]), float(seen.most[place]))
        low, high = (low, high) if np.isfinite([low, high]).all() and low < high else (0.0, top)
        window = {"start": low, "end": high, "min": min(low, 0.0), "max": max(high, top)}
        found.append({"label": name, "color": colours[place % len(colours)], "active": True, "window": window})
    return found
