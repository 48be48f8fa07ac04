"""A TIFF larger than memory: read, translated and written in windows, with the pixels that it has in tiles otherwise.

It is read once for each thing that depends on the whole picture: the mean that fills pixels without data, where there
may be such; the reduced copy that gives norm statistics, where the network uses those of the picture, or in its place
the picture itself, once for each norm layer; and the translation.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from i2i import status
from i2i.errors import ImageError, ModelError, one_line
from i2i.files import atomic_write
from i2i.images import FORMATS, Array, from_unit, suffix_of, to_channels
from i2i.images.cog import copy_as_cog
from i2i.images.decode import opened, opened_bare
from i2i.images.encode import Extras
from i2i.images.explained import explained
from i2i.images.geo import fits
from i2i.images.metadata import fitting_profile
from i2i.images.omezarr_writing import CHUNK_PX, new_zarr, write_zarr
from i2i.images.source import Source
from i2i.images.windows import CACHE_BYTES, Windows, write_npy, write_tiff
from i2i.models.spec import Part
from i2i.runtime.described import axes_of, is_ome, marked, nodata_of, ome_of, place_with
from i2i.runtime.fit import Reduction, reduced_sides
from i2i.runtime.picture_options import PictureOptions, output_dtype
from i2i.runtime.pictures import DecodedPicture, as_written, finished
from i2i.runtime.plan import Plan
from i2i.runtime.refusals import write_failure
from i2i.runtime.tasks import Task
from i2i.runtime.tiles import as_statistics, planned_lines, through_tiles
from i2i.runtime.torch_backend import TorchBackend
from i2i.runtime.translator import Translator

_ROWS = 256
"""Rows that are read at a time where no tile is translated."""
_ANY_PIXELS = 2**48
_STRIPS = {"TIFF": 0, "NPY": 0, "ZARR": CHUNK_PX}
"""Formats that are written as rows come, and the rows that wait until they are, beside a row of tiles."""


def plan_windows(translator: Translator, task: Task, options: PictureOptions) -> Plan | None:
    """Return the plan of a picture that goes through in windows; None for one that goes through whole, or is no TIFF.

    Raises ImageError.
    """
    with opened(task.source, _ANY_PIXELS, options.layout) as source:
        plan = translator.planner.plan(*source.header, one_line(task.source))
        if plan.way == "strips":
            plan = translator.planner.plan(*source.header, one_line(task.source), "tiles")
        if source.kind not in ("TIFF", "NPY") or plan.way == "whole":
            return None
        if translator.generator.recurrent:
            raise ImageError(f"{task.source}: --windows goes with no model of clips. Leave it out.")
        if plan.way != "tiles" or plan.sides != plan.source:
            raise ImageError(f"{task.source}: --windows goes with tiles. Leave out --fit crop or resize.")
        kind = FORMATS[task.output.suffix.lower()]
        if kind not in _STRIPS:
            raise ImageError(
                f"{task.source}: --windows writes no {task.output.suffix}. Use --format tiff, npy or ome.zarr."
            )
        part, (_, width) = translator.generator, plan.sides
        rows = 8 * (part.in_channels + part.out_channels) * plan.tile_px + 8 * part.out_channels * _STRIPS.get(kind, 0)
        return plan._replace(memory_bytes=plan.memory_bytes + CACHE_BYTES + rows * width)


def translate_windows(translator: Translator, plan: Plan, task: Task, options: PictureOptions) -> int:
    """Translate a picture and write it; return the number of pages after it. Raises what `Translator.translate` does.

    Memory depends on the width of the picture, not on its height.
    """
    part = translator.generator
    if translator.spec.io == "image":
        raise ModelError("--windows needs a model exported with --io tensor, or its run folder.")
    with contextlib.ExitStack() as stack:
        with explained(task.source):
            source = stack.enter_context(opened_bare(task.source, _ANY_PIXELS, options.layout))
        windows = Windows(source, options.layout)
        windows.find_mean(_tops(translator, plan), _ROWS)
        extras = Extras(axes=source.axes)
        place = place_with(source.place, options.layout, windows.has_blank)
        picture = DecodedPicture(source.path, (), "TIFF", extras, lossless=False, place=place)
        before_tile = stack.enter_context(_counting(translator, plan))
        rows = _written_rows(translator, plan, windows, picture, task.output.suffix, options, before_tile)
        try:
            if FORMATS[task.output.suffix.lower()] == "ZARR":
                with new_zarr(task.output, sync=False) as folder:
                    write_zarr(folder, [rows], plan.source, axes_of(picture, part))
            else:
                _write_file(task.output, rows, plan.source, source, picture, part, options.cog)
        except OSError as error:
            raise write_failure(task.output, error) from error
        return source.left_out()


def _write_file(
    path: Path,
    rows: Iterator[Array],
    sides: tuple[int, int],
    source: Source,
    picture: DecodedPicture,
    part: Part,
    cog: bool,
) -> None:
    """Write an array or a TIFF, as GDAL copies it if it is to be cloud-optimised."""
    values = part.outputs.values if part.outputs else ()
    bands, first = bool(part.out_bands) and not values, next(rows)
    extras, rows = _extras(source, picture, first, part, bands), itertools.chain([first], rows)
    if is_ome(picture, suffix_of(path), cog):
        extras = replace(extras, ome=ome_of(axes_of(picture, part), sides, first, bands))
    with atomic_write(path, sync=False) as temp:
        if FORMATS[path.suffix.lower()] == "NPY":
            write_npy(temp, rows, sides)
        else:
            write_tiff(temp, rows, sides, extras, bands)
        if cog:
            with atomic_write(temp, sync=False) as copy:
                copy_as_cog(temp, copy, nearest=not bands and bool(values))


def _extras(source: Source, picture: DecodedPicture, first: Array, part: Part, bands: bool) -> Extras:
    nodata, place = nodata_of(picture, part, "TIFF"), picture.place
    if nodata is not None and nodata != place.nodata and fits(nodata, first.dtype):
        place = place.with_nodata(nodata)
    pictures = not bands and not (part.outputs and part.outputs.values)
    icc = fitting_profile(source.image.info.get("icc_profile"), first.shape[2]) if pictures else None
    return Extras(icc=icc, tags=tuple(place.written(part.out_bands if bands else ())), resolution=place.resolution)


def _written_rows(
    translator: Translator,
    plan: Plan,
    windows: Windows,
    picture: DecodedPicture,
    suffix: str,
    options: PictureOptions,
    before_tile: Callable[[], None],
) -> Iterator[Array]:
    """Yield the output, (some rows, W, C), in the values that are written."""
    part, top = translator.generator, 0
    nodata = nodata_of(picture, part, FORMATS[suffix.lower()])

    def read(rows: slice, columns: slice) -> Array:
        return to_channels(windows.image(rows, columns).image, part.in_channels)

    exact = translator.planner.fit.tile == "exact"
    copies = None if exact else (_statistics(plan, part, windows, _tops(translator, plan)) for _ in range(1))
    made = through_tiles(plan, translator.spec, part, translator.backend, read, copies, before_tile)
    for values in made:
        frame, blank = windows.image(slice(top, top + values.shape[1]), slice(0, plan.source[1]))
        output = from_unit(values, output_dtype(frame, suffix, options))
        rows = replace(picture, frames=(frame,))
        written = as_written(rows, finished(rows, [output], part, options.alpha), suffix, part, options)[0]
        if nodata is not None and windows.has_blank:  # also where it has none here: no other pixel may have its value
            written = marked(written, np.zeros(frame.shape[:2], bool) if blank is None else blank, nodata)
        yield written
        top += values.shape[1]


def _tops(translator: Translator, plan: Plan) -> Iterator[int]:
    """Yield the first of every _ROWS rows, and show how many are done; may raise what `before_tile` raises."""
    height = plan.source[0]
    with status.doing(f"Reading {plan.name}, rows") as step:
        for top in range(0, height, _ROWS):
            translator.before_tile()
            step.done, step.total = top, height
            yield top


@contextlib.contextmanager
def _counting(translator: Translator, plan: Plan) -> Iterator[Callable[[], None]]:
    """Show how many tiles are done, of all that are read; yields what is called before each."""
    backend, exact = translator.backend, translator.planner.fit.tile == "exact"
    passes = 1 + (backend.statistics_layers if exact and isinstance(backend, TorchBackend) else 0)
    lines = planned_lines(plan, translator.spec, translator.generator, backend)
    with status.doing(f"{plan.name}, tiles") as step:
        step.total = passes * math.prod(len(line.origins) for line in lines)

        def count() -> None:
            translator.before_tile()
            step.done += 1

        yield count


def _statistics(plan: Plan, part: Part, windows: Windows, tops: Iterable[int]) -> Array:
    """Return what gives norm statistics, as tiles.statistics_copy of the whole picture."""
    sides = reduced_sides(*plan.source, plan.statistics_px**2, part.size_multiple, part.size_minimum)
    reduction = Reduction(plan.source, sides)
    for top in tops:
        image = windows.image(slice(top, top + _ROWS), slice(0, plan.source[1])).image
        reduction.add(to_channels(image, part.in_channels))
    return as_statistics(part, reduction.done())
