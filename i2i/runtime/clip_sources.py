"""Clips of every kind, read the same way: videos, animations (GIF, APNG, WebP, AVIF) and folders of frames."""

from collections.abc import Callable, Container, Generator, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from i2i.errors import ImageError, UsageError, one_line
from i2i.images import Array, from_unit, read_image, to_unit, video
from i2i.images.decode import opened
from i2i.images.frames import thumbnail
from i2i.images.listing import list_pictures
from i2i.images.video import VIDEO_SUFFIXES, Video
from i2i.images.video_colours import Colours
from i2i.words import show_count

_MILLISECOND = Fraction(1, 1000)
_SHORTEST_MS, _USUAL_MS = 10, 100
"""Browsers show a frame of an animation that states no more than the first for the second."""


def survey(path: Path, max_pixels: int, rate: Fraction, seen: Callable[[int], None]) -> tuple[Video, list[Array]]:
    """Check all of a clip; return what it is, and a thumbnail of each frame.

    rate: frames a second of a folder. seen: called with the number of frames so far. Raises ImageError for what is
    damaged, UsageError for what is no clip.
    """
    if _is_video(path):
        return video.survey(path, max_pixels, seen)
    if path.is_dir():
        count, base, ends = len(list_pictures(path)), 1 / rate, None
    else:
        base = _MILLISECOND
        with opened(path, max_pixels) as source:
            count, ends = source.count(), list[int]()
            for number in range(count):
                source.decode(number)
                stated = round(source.image.info.get("duration", 0))
                ends.append((ends or [0])[-1] + (stated if stated > _SHORTEST_MS else _USUAL_MS))
    if count < 2:
        raise UsageError(f"{one_line(path)} holds {show_count(count, 'picture')}, and a video needs two or more.")
    starts = tuple(range(count)) if ends is None else (0, *ends[:-1])
    end = count if ends is None else ends[-1]
    thumbnails, first = list[Array](), None
    for number, frame in enumerate(_stills(path, range(count), max_pixels)):
        if first is not None and first.shape[:2] != frame.shape[:2]:
            raise ImageError(f"Picture {number + 1} of {one_line(path)} has another size than the first.")
        first = frame if first is None else first
        thumbnails.append(thumbnail(frame))
        seen(number + 1)
    assert first is not None
    height, width = first.shape[:2]
    average, deep = count / (end * base), first.itemsize > 1
    return Video(path, height, width, deep, Colours(), Fraction(1), average, base, starts, end), thumbnails


def frames(clip: Video, wanted: Container[int], max_pixels: int) -> Generator[Array]:
    """Yield the frames of a clip with `wanted` numbers, (H, W, 1 to 4), all in uint8 or all in uint16."""
    if _is_video(clip.path):
        yield from video.frames(clip, wanted)
        return
    kind = np.dtype(np.uint16 if clip.deep else np.uint8)
    for frame in _stills(clip.path, wanted, max_pixels):
        yield frame if frame.dtype == kind else from_unit(to_unit(frame), kind)


def sound_of(clip: Video) -> Path | None:
    """Return the file with the sound of a clip."""
    return clip.path if _is_video(clip.path) else None


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _stills(path: Path, wanted: Container[int], max_pixels: int) -> Iterator[Array]:
    if path.is_dir():
        for number, picture in enumerate(list_pictures(path)):
            if number in wanted:
                yield read_image(picture, max_pixels)
        return
    with opened(path, max_pixels) as source:
        for number in range(source.count()):
            if number in wanted:
                yield source.decode(number)
