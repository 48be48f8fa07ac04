"""Read videos frame by frame: checked whole before any long work, upright, in the colours that their tags describe.

PyAV is loaded when the first video is met. A file is opened as one of a few containers and may open no other file or
address: playlists are not among them.
"""

import contextlib
import importlib.util
import struct
from collections.abc import Callable, Container, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from i2i.errors import ImageError, UsageError, one_line
from i2i.files import utf8_name
from i2i.images.encode import Array
from i2i.images.frames import thumbnail
from i2i.images.interlacing import progressive
from i2i.images.pixels import reason_of
from i2i.images.video_colours import Colours, colours_of, refuse_hdr, to_array
from i2i.machine import thread_count

VIDEO_CODECS = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
"""Suffixes of videos that i2i writes, and the codec of each."""
ANIMATIONS = {".gif": "gif", ".png": "apng", ".apng": "apng"}
"""Suffixes of animations that a video can become, and the kind of each."""
VIDEO_SUFFIXES = frozenset([*VIDEO_CODECS, ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"])
"""Suffixes of videos that i2i reads."""

_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,nut"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""Signs of a display matrix (a, b, c, d) to the EXIF orientation that means the same."""
_SMALL_PX = 96
"""Frames are reduced to squares of this side before thumbnails, since swscale is not exact below."""
_MISSING_S = 0.5
"""A file of _EXACT containers that ends this much before its header says is cut short."""
_EXACT = ("mp4", "matroska")


class Video(NamedTuple):
    """What is known of a video, once all of it was decoded."""

    path: Path
    height: int
    width: int
    """Sides in pixels, upright."""
    deep: bool
    """Whether it has more than 8 bits a channel."""
    colours: Colours
    aspect: Fraction
    """Width of a pixel by its height, upright."""
    rate: Fraction
    """Frames a second, on average."""
    base: Fraction
    """Unit of time in seconds."""
    starts: tuple[int, ...]
    """When each frame begins, ascending, in `base`."""
    end: int
    """When the last one ends."""
    orientation: int = 1
    """How its stored frames are turned, as EXIF numbers it."""
    interlaced: bool = False
    """Whether frames were interlaced, before they were made whole."""


def is_animation(output: Path) -> bool:
    """Whether a video that becomes this file becomes an animation."""
    return output.suffix.lower() in ANIMATIONS


def check_pyav() -> None:
    """Raise UsageError where PyAV is not installed."""
    if importlib.util.find_spec("av") is None:
        raise UsageError("Videos need the library PyAV: pip install 'i2i-toolkit[video]'.")


@contextlib.contextmanager
def opened_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the container of a video and its stream; what the body raises from PyAV becomes an ImageError."""
    import av

    name = one_line(path)
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes).")
        with utf8_name(path) as place, av.open(f"file:{place}", options=_OPTIONS) as container:
            streams = [one for one in container.streams.video if not one.disposition & one.disposition.attached_pic]
            if not streams:
                held = "pictures, only sound" if container.streams.audio else "pictures that i2i reads"
                raise ImageError(f"{name} holds no {held}.")
            if streams[0].codec_context is None:  # unknown, as where the header is cut short
                raise ImageError(f"{name} is damaged, or in a coding that i2i does not read. Convert it to H.264.")
            streams[0].thread_type = "AUTO"
            streams[0].codec_context.thread_count = thread_count()
            yield container, streams[0]
    except av.error.MemoryError as error:
        raise MemoryError(str(error)) from error
    except av.error.InvalidDataError as error:
        raise ImageError(f"{name} is damaged, or no video that i2i reads.") from error
    except av.error.FFmpegError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or reason_of(error)}.") from error
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or error}.") from error


def survey(path: Path, max_pixels: int, seen: Callable[[int], None] = lambda count: None) -> tuple[Video, list[Array]]:
    """Decode a whole video; return what it is, and a thumbnail of each frame.

    seen: called with the number of frames so far. Raises ImageError for a file that is damaged, cut short, without
    pictures, or HDR, and for frames of more than `max_pixels`.
    """
    name, thumbnails, starts = one_line(path), list[Array](), list[int]()
    with opened_video(path) as (container, stream):
        _check_size(name, stream, max_pixels)
        first, last, stored = None, None, _Stored()
        for frame in progressive(stored.watch(name, _decoded(name, container, stream)), stream):
            first, last, orientation = first or frame, frame, stored.orientation
            thumbnails.append(thumbnail(to_array(frame, orientation, _SMALL_PX)))
            starts.append(_start(frame, starts[-1] if starts else None, _step(stream)))
            seen(len(starts))
        if first is None or last is None:
            raise ImageError(f"{name} holds no pictures that can be decoded. It may be cut short or damaged.")
        end = starts[-1] + (last.duration or _step(stream))
        return _describe(path, stream, first, stored, tuple(starts), end), thumbnails


class _Stored:
    """What is known of the frames of a video as they are stored."""

    orientation = 1
    interlaced = False

    def watch(self, name: str, frames: Iterator[Any]) -> Iterator[Any]:
        """Yield the same frames; raises ImageError for one of another size than the first."""
        size = None
        for count, frame in enumerate(frames):
            if size is None:
                size, self.orientation = (frame.width, frame.height), _orientation(frame)
            if (frame.width, frame.height) != size:
                raise ImageError(f"{name} changes its size after {count} frames. Cut it there.")
            self.interlaced = self.interlaced or frame.interlaced_frame
            yield frame


def _describe(path: Path, stream: Any, first: Any, stored: _Stored, starts: tuple[int, ...], end: int) -> Video:
    upright = stored.orientation < 5
    height, width = (first.height, first.width) if upright else (first.width, first.height)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return Video(
        path,
        height,
        width,
        max(one.bits for one in first.format.components) > 8,
        colours_of(first),
        aspect if upright else 1 / aspect,
        _rate(stream),
        stream.time_base,
        starts,
        end,
        stored.orientation,
        stored.interlaced,
    )


def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or 25)


def _step(stream: Any) -> int:
    """Return how long a frame is shown if it does not say."""
    return max(round(1 / _rate(stream) / stream.time_base), 1)


def _start(frame: Any, last: int | None, step: int) -> int:
    """Return when a frame begins, later than the last one."""
    if last is None:
        return frame.pts or 0
    return max(last + step if frame.pts is None else frame.pts, last + 1)


def frames(video: Video, wanted: Container[int] | None = None) -> Iterator[Array]:
    """Yield all frames, or those of `wanted` numbers, (H, W, 3 or 4) in uint8, or uint16 if the video is deep."""
    wanted = range(len(video.starts)) if wanted is None else wanted
    with opened_video(video.path) as (container, stream):
        for number, frame in enumerate(progressive(container.decode(stream), stream)):
            if number in wanted:
                yield to_array(frame, video.orientation)


def _check_size(name: str, stream: Any, max_pixels: int) -> None:
    height, width = stream.codec_context.height, stream.codec_context.width
    if height * width > max_pixels:
        raise ImageError(f"{name} is {width}x{height}, over the limit of {max_pixels:,} pixels.")


def _decoded(name: str, container: Any, stream: Any) -> Iterator[Any]:
    """Yield all frames; raises ImageError where the decoder makes pixels up, and if the file ends too early."""
    exact = any(one in container.format.name for one in _EXACT)
    reached, wanted = 0.0, (container.duration or 0) / 1_000_000 if exact else 0.0
    begin = (container.start_time or 0) / 1_000_000
    for packet in container.demux():  # all streams, since any of them may be the longest
        if packet.pts is not None:
            reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin)
        if packet.stream.index == stream.index:
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise ImageError(f"{name} is damaged after {frame.time or 0:.1f} s.")
                refuse_hdr(name, frame)
                yield frame
    if reached + _MISSING_S < wanted:
        raise ImageError(f"{name} is cut short: it ends after {reached:.1f} s of {wanted:.1f} s.")


def _orientation(frame: Any) -> int:
    """Return the EXIF orientation that means the same as the display matrix of a frame."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(found))
    top = max(map(abs, (a, b, c, d))) or 1
    signs = tuple(round(value / top) for value in (a, b, c, d))
    return _ORIENTATIONS.get(signs, 1)
