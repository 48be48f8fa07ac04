"""What pictures are compared by: small copies, maps of edges, and the names of their colour profiles."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i.data.items import Picture, read_picture
from i2i.errors import ImageError
from i2i.images import ANY_BANDS, Array, Header, Layout, shown
from i2i.metrics.pairs import as_rgb8

DUPLICATE_LEVELS = 2.0
"""Near-duplicates are pictures whose 16 px thumbnails differ by less: root mean square, in grey levels."""
LEAST_PAIRS = 20
"""Fewer show neither a shuffle nor a shift."""
PAIRED_RANK = 0.7
"""Pairs look shuffled where a picture is nearer to its partner than to this share of the others, on average."""
SHIFT = 1.0
"""Of 64 px thumbnails: pairs are called misaligned where the median shift of their edges is more."""
EDGES_PX = 64
"""Side of the maps of edges."""
_THUMB_PX = 16


class Look(NamedTuple):
    """What a picture is known by.

    thumb: a small copy, float (16 * 16 * 3,) in 0 to 255. edges: the strength of its edges, float (64, 64).
    constant: one colour throughout. grey: without colours. bands: the number of channels of arrays that cannot be
    shown as pictures, else 0. most: the largest value of 16-bit files, else 0.
    """

    picture: Picture
    size: Header
    thumb: Array
    edges: Array
    constant: bool
    grey: bool
    bands: int = 0
    most: int = 0


def look_at(picture: Picture) -> Look | ImageError:
    """Decode a picture, or bands, and make its small copies; return the error of a broken one."""
    import cv2

    try:
        array = read_picture(picture)
    except ImageError as error:
        picture = picture._replace(layout=Layout(bands=ANY_BANDS))
        try:
            array = read_picture(picture)
        except ImageError:
            return error
        if array.shape[2] in (1, 3, 4):  # it is a picture, and wrong in another way
            return error
    bands = array.shape[2] if picture.layout.bands else 0
    rgb = as_rgb8(shown(array, picture.layout))
    thumb = cv2.resize(rgb, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.resize(rgb, (EDGES_PX, EDGES_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    constant, plain = bool(np.ptp(array, axis=(0, 1)).max() == 0), array.shape[2] < 3 and not bands
    most = int(array.max()) if array.dtype == np.uint16 else 0
    return Look(picture, Header(*array.shape[:2]), thumb.ravel(), edges, constant, plain, bands, most)


def near_duplicates(first: Array, second: Array) -> list[tuple[int, int]]:
    """Return the places (i, j) of rows of `first` (N, D) and `second` (M, D) that are near-duplicates."""
    found = []
    squares = np.square(second).sum(axis=1, dtype=np.float64)
    for start in range(0, len(first), 256):
        block = first[start : start + 256].astype(np.float64)
        distances = np.square(block).sum(axis=1)[:, None] + squares[None] - 2 * block @ second.T.astype(np.float64)
        near = distances < DUPLICATE_LEVELS**2 * first.shape[1]
        found += [(start + int(i), int(j)) for i, j in zip(*np.nonzero(near), strict=True)]
    return found


def mirrored(thumbs: Array) -> Array:
    """Return `Look.thumb` of mirrored pictures, for rows (N, sides * 16 * 16 * 3) of one side or of both."""
    pictures = thumbs.reshape(len(thumbs), -1, _THUMB_PX, _THUMB_PX, 3)
    return pictures[:, :, :, ::-1].reshape(thumbs.shape)


def partner_ranks(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Return, for each pair, the share of all B whose edges correlate less with A's than its own B's do."""
    import cv2

    def rows(maps: Sequence[Array]) -> Array:
        half = (EDGES_PX // 2, EDGES_PX // 2)
        small = [cv2.GaussianBlur(cv2.resize(one, half, interpolation=cv2.INTER_AREA), (0, 0), 1) for one in maps]
        flat = np.stack(small).reshape(len(maps), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        return flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-3)

    correlations = rows(a) @ rows(b).T
    own = np.diag(correlations)
    count = len(own)
    return (correlations < own[:, None]).sum(axis=1) / (count - 1)


def median_shift(both: Sequence[tuple[Look, Look]]) -> Array:
    """Return the median (x, y) by which B's edges lie off A's, in pixels of the thumbnails."""
    import cv2

    window = cv2.createHanningWindow((EDGES_PX, EDGES_PX), cv2.CV_32F)
    shifts = []
    for a, b in both:
        shift, response = cv2.phaseCorrelate(a.edges, b.edges, window)
        if response > 0.1:  # less says nothing
            shifts.append(shift)
    return np.median(shifts, axis=0) if len(shifts) >= LEAST_PAIRS else np.zeros(2)


def profile_name(path: Path) -> str:
    """Return the name of a file's ICC profile."""
    from PIL import Image, ImageCms

    try:
        with Image.open(path) as image:
            icc = image.info.get("icc_profile")
        return ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip() if icc else "without profile"
    except (OSError, ValueError, ImageCms.PyCMSError):  # .npy and others that Pillow does not read; damaged profiles
        return "without profile"
