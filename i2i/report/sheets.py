"""Many pictures in one: sheets with titles, grids with numbers, clouds of points, animations.

Everything here returns the bytes of a file.
"""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from i2i.images import FORMATS, Array, to_pil
from i2i.metrics.pairs import as_rgb8
from i2i.words import show_count

_CELL_PX = (96, 256)  # smallest and largest side of a picture on a sheet
_GAP_PX = 4
_HEAD_PX = 20  # height of the titles of a sheet
_LABEL_PX = 16  # height of the line under a picture of a grid
_CLOUD_PX = 480
_CLOUD_REACH = 1.5  # from the middle to each side, in the points' own units, unless a point lies further out
_FINER = 2  # clouds are drawn this many times as large, then reduced, for smooth dots
_MADE, _REAL, _PALE = "#2266cc", "#c9ccd2", "#e4e4e4"


def sheet_png(rows: Sequence[Sequence[Array]], titles: Sequence[str]) -> bytes:
    """Return rows of pictures, (H, W, C) integers each, as one PNG with a title above every column.

    All cells have one size, and pictures keep their proportions. Small pictures are enlarged by whole factors without
    smoothing; large ones are reduced.
    """
    cell, zoom = _cell([picture for row in rows for picture in row])
    step, head = cell + _GAP_PX, _HEAD_PX
    sheet = Image.new("RGB", (step * len(titles) + _GAP_PX, head + step * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        draw.text((_GAP_PX + column * step + 2, 2), title, fill="black", font=font)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            sheet.paste(_fit(picture, cell, zoom), (_GAP_PX + column * step, head + row * step))
    return _png(sheet)


def cut_sheet(sheet: Array, columns: int) -> list[list[Array]]:
    """Return the square pictures, (H, W, C), of a sheet that `sheet_png` drew with so many titles, row by row."""
    cell = (sheet.shape[1] - _GAP_PX) // columns - _GAP_PX
    step = cell + _GAP_PX
    tops, lefts = range(_HEAD_PX, len(sheet) - cell, step), range(_GAP_PX, sheet.shape[1] - cell, step)
    return [[_unzoomed(sheet[top : top + cell, left : left + cell]) for left in lefts] for top in tops]


def _unzoomed(picture: Array) -> Array:
    """Return a picture as it was before `_fit` enlarged it by two, or itself."""
    half = picture[::2, ::2]
    return half if np.array_equal(half.repeat(2, axis=0).repeat(2, axis=1), picture) else picture


def grid_png(pictures: Sequence[Array | None], labels: Sequence[str], columns: int | None = None) -> bytes:
    """Return pictures, (H, W, C) integers each, row by row as one PNG, each with its label under it.

    None leaves a cell empty. columns: pictures in a row; by default about as many as there are rows.
    Pictures are enlarged and reduced as on a sheet; cells are at least as wide as the longest label.
    """
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    cell, zoom = _cell([picture for picture in pictures if picture is not None])
    font = ImageFont.load_default(11)
    across = max([cell, *(math.ceil(font.getlength(label)) for label in labels)]) + _GAP_PX
    down = cell + _LABEL_PX + _GAP_PX
    rows = -(-len(pictures) // columns)
    grid = Image.new("RGB", (across * columns + _GAP_PX, down * rows + _GAP_PX), "white")
    draw = ImageDraw.Draw(grid)
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = _GAP_PX + index % columns * across, _GAP_PX + index // columns * down
        if picture is not None:
            grid.paste(_fit(picture, cell, zoom), (left, top))
        draw.text((left + 1, top + cell + 1), label, fill="black", font=font)
    return _png(grid)


def cloud_png(points: Array, truth: Array | None = None) -> bytes:
    """Return finite points (N, 2) as a scatter plot, over the real ones (M, 2), pale, if they are given.

    The square spans -1.5 to 1.5 on both axes, or more in halves if a point lies further out; its ends are printed, so
    that plots of other spans can be told apart. y points upwards.
    """
    every = points if truth is None else np.concatenate([points, truth])
    reach = max(_CLOUD_REACH, math.ceil(2 * float(np.abs(every).max())) / 2)
    side = _CLOUD_PX * _FINER
    cloud = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(cloud)
    draw.line((side / 2, 0, side / 2, side), fill=_PALE, width=_FINER)
    draw.line((0, side / 2, side, side / 2), fill=_PALE, width=_FINER)
    draw.rectangle((0, 0, side - 1, side - 1), outline=_PALE, width=_FINER)
    for group, colour, radius in ((truth, _REAL, 3), (points, _MADE, 1.5)):  # the real ones show around the generated
        if group is not None:
            for x, y in (group * (1, -1) / reach + 1) * (side / 2):
                draw.circle((x, y), radius * _FINER, fill=colour)
    cloud = cloud.reduce(_FINER)
    draw, font = ImageDraw.Draw(cloud), ImageFont.load_default(11)
    draw.text((4, _CLOUD_PX // 2 + 2), f"{-reach:g}", fill="black", font=font)
    draw.text((_CLOUD_PX - 4, _CLOUD_PX // 2 + 2), f"{reach:g}", fill="black", font=font, anchor="ra")
    draw.text((4, 4), show_count(len(points), "point"), fill=_MADE, font=font)
    if truth is not None:
        draw.text((4, 18), f"{len(truth)} real ones", fill="#888888", font=font)
    return _png(cloud)


def animation(frames: Sequence[Array], suffix: str, fps: int) -> bytes:
    """Return pictures, (H, W, C) uint8 each and of one size, as an endless animation at `fps` pictures a second.

    suffix: .webp, which keeps every value, or .gif, which has 256 colours a frame, no alpha and times in hundredths of
    a second.
    """
    kind = FORMATS[suffix]
    first, *others = (to_pil(frame if kind == "WEBP" else as_rgb8(frame)) for frame in frames)
    options = {"lossless": True} if kind == "WEBP" else {}
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, **options)
    return buffer.getvalue()


def _cell(pictures: Sequence[Array]) -> tuple[int, int]:
    """Return the side of the cells, in pixels, and the factor by which small pictures are enlarged."""
    side = max(max(picture.shape[:2]) for picture in pictures)
    zoom = -(-_CELL_PX[0] // side) if side < _CELL_PX[0] else 1
    return min(side * zoom, _CELL_PX[1]), zoom


def _fit(picture: Array, cell: int, zoom: int) -> Image.Image:
    image = Image.fromarray(as_rgb8(picture))
    scale = min(cell / max(image.size), zoom)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")  # optimize takes ten times as long for a fiftieth of the size
    return buffer.getvalue()
