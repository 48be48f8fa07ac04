"""Write videos: in segments that are whole files of their own, joined without coding anything again.

No B-frames: every packet is then shown when it is decoded, whatever the timing, and segments join at any frame.
"""

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from i2i.images.animation_writing import write_animation
from i2i.images.encode import Array
from i2i.images.video import ANIMATIONS, VIDEO_CODECS, Video, is_animation, opened_video
from i2i.images.video_colours import to_frame
from i2i.words import show_count

SEGMENT = ".nut"
"""Suffix of segments: a container that keeps every codec and every unit of time."""
_QUALITY = 66
"""Default of --quality: about what eyes cannot tell from the source."""
_LOOKAHEAD = "lookahead=10"  # frames that x264 holds, 12 MB each in 4K
_INTERLACED = (
    "The source is interlaced: of each frame, one of its two fields was kept and its missing lines were computed,\n"
    "so that the output has whole frames at the same rate."
)


class SegmentWriter:
    """Encodes frames of one video, (H, W, 3) in uint8 or uint16, into a segment.

    like: the source, whose timing, colours and shape of pixels stay. suffix: of the joined video. quality: 1 to 100.
    """

    def __init__(self, path: Path, like: Video, suffix: str, quality: int | Literal["lossless"] | None):
        self.like, self.suffix, self.quality = like, suffix.lower(), quality
        self.container = av.open(f"file:{path}", "w", format="nut")
        self.stream: Any = None

    def add(self, array: Array, start: int) -> None:
        """Encode a frame that is shown from `start` on, in the unit of time of the source."""
        self.stream = self.stream or self._open(array)
        if self.suffix in ANIMATIONS:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
        else:
            frame = to_frame(array, self.stream.pix_fmt, self.like.colours)
        frame.pts, frame.time_base = start, self.like.base
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds."""
        if self.stream is not None:
            self.container.mux(self.stream.encode(None))
        self.container.close()

    def _open(self, array: Array) -> Any:
        height, width = array.shape[:2]
        if self.suffix in ANIMATIONS:  # kept exactly, until `join` knows when each frame ends
            codec, options = "png", dict[str, str]()
        else:
            codec, options = VIDEO_CODECS[self.suffix], _options(self.suffix, self.quality)
        stream: Any = self.container.add_stream(codec, rate=self.like.rate.limit_denominator(65535), options=options)
        stream.width, stream.height = width, height
        stream.codec_context.time_base = self.like.base
        if self.suffix in ANIMATIONS:
            stream.pix_fmt = "rgb24"
            return stream
        stream.pix_fmt = _pixel_format(codec, height, width, array.itemsize > 1, self.quality == "lossless")
        context = stream.codec_context
        context.max_b_frames, context.sample_aspect_ratio = 0, self.like.aspect
        context.colorspace, context.color_primaries, context.color_trc = self.like.colours
        context.color_range = 1
        return stream


def _pixel_format(codec: str, height: int, width: int, deep: bool, lossless: bool) -> str:
    """Colours at half the resolution, which players expect, unless x264 cannot halve the sides."""
    odd = codec == "libx264" and (height % 2 or width % 2)
    return f"yuv{'444' if lossless or odd else '420'}p{'10le' if deep else ''}"


def _options(suffix: str, quality: int | Literal["lossless"] | None) -> dict[str, str]:
    """Return the options of the encoder; its rate factor falls from the worst to the best over qualities 1 to 100."""
    loss = (100 - (100 if quality == "lossless" else quality or _QUALITY)) / 100
    if VIDEO_CODECS[suffix] == "libx264":
        return {"preset": "medium", "crf": f"{51 * loss:.1f}", "x264-params": f"rc-{_LOOKAHEAD}"}
    lossless = {"lossless": "1"} if quality == "lossless" else {}
    return {"crf": f"{63 * loss:.0f}", "b": "0", "row-mt": "1", "cpu-used": "2", "lag-in-frames": "0", **lossless}


def count_frames(segment: Path) -> int:
    """Return the number of frames in a segment."""
    with av.open(f"file:{segment}", format="nut") as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def join(segments: Sequence[Path], like: Video, output: Path, sound: Path | None, keep_metadata: bool) -> list[str]:
    """Write `output` from segments and the other streams of `sound`; return notes on what the container cannot hold.

    Sound and subtitles are copied as they are. Sound that the container does not hold is encoded again.
    """
    notes = [_INTERLACED] if like.interlaced else []
    if is_animation(output):
        return notes + _join_animation(segments, like, output, sound)
    options = {"movflags": "faststart"} if output.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
    with av.open(f"file:{output}", "w", options=options) as target:
        with av.open(f"file:{segments[0]}", format="nut") as first:
            stream = target.add_stream_from_template(first.streams.video[0])
        stream.time_base = like.base
        pictures = _segment_packets(segments, stream, like)
        if sound is None:
            _mux(target, pictures)
            return notes
        with opened_video(sound) as (source, _):
            copied, recoded = dict[int, Any](), dict[int, Any]()
            for one in (*source.streams.audio, *source.streams.subtitles):
                _add(target, one, copied, recoded, notes, output.suffix)
            if keep_metadata:
                target.metadata.update(source.metadata)
            _mux(target, pictures, _other_packets(source, copied, recoded))
    return notes


def _join_animation(segments: Sequence[Path], like: Video, output: Path, sound: Path | None) -> list[str]:
    first, suffix = like.starts[0], output.suffix.lower()

    def frames() -> Iterator[Array]:
        for segment in segments:
            with av.open(f"file:{segment}", format="nut") as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="rgb24")

    starts = [(start - first) * like.base for start in like.starts]
    left_out = write_animation(frames(), starts, (like.end - first) * like.base, output, ANIMATIONS[suffix])
    notes = [f"{show_count(left_out, 'frame')} left out: {suffix} shows no more in a second."] if left_out else []
    with opened_video(sound) if sound else contextlib.nullcontext((None, None)) as (source, _):
        if source is not None and source.streams.audio:
            notes.append(f"{suffix} holds no sound: it is left out.")
    return notes


def _add(target: Any, one: Any, copied: dict[int, Any], recoded: dict[int, Any], notes: list[str], suffix: str) -> None:
    """Add a stream for sound or subtitles of the source, copied or to be recoded, or note that it is left out."""
    name = one.codec_context.name if one.codec_context else "unknown"
    if name in _held(target):
        copied[one.index] = target.add_stream_from_template(one)
        copied[one.index].metadata.update(one.metadata)
    elif one.type == "audio" and target.default_audio_codec:
        codec = target.default_audio_codec
        codec = {"opus": "libopus", "vorbis": "libvorbis"}.get(codec, codec)
        rate = 48000 if codec == "libopus" else one.codec_context.sample_rate
        recoded[one.index] = target.add_stream(codec, rate=rate, layout=one.codec_context.layout)
        notes.append(f"The sound is {name}, which {suffix} does not hold: it is encoded again, as {codec}.")
    else:
        notes.append(f"{suffix} does not hold {name}: the {one.type} stream is left out.")


def _held(target: Any) -> set[str]:
    return {one.removeprefix("lib") for one in target.supported_codecs} | set(target.supported_codecs)


def _segment_packets(segments: Sequence[Path], stream: Any, like: Video) -> Iterator[Any]:
    """Yield the packets of all segments, each with the duration that it has in the source."""
    ends = iter((*like.starts[1:], like.end))
    for segment in segments:
        with av.open(f"file:{segment}", format="nut") as container:
            for packet in container.demux(video=0):
                if packet.size:
                    start = round(packet.pts * packet.time_base / like.base)
                    packet.pts = packet.dts = start
                    packet.time_base, packet.duration, packet.stream = like.base, next(ends) - start, stream
                    yield packet


def _other_packets(source: Any, copied: dict[int, Any], recoded: dict[int, Any]) -> Iterator[Any]:
    """Yield packets of sound and subtitles, in order of time."""
    streams = [source.streams[index] for index in (*copied, *recoded)]
    for packet in source.demux(streams) if streams else ():
        if (index := packet.stream.index) in copied:
            if packet.dts is not None:
                packet.stream = copied[index]
                yield packet
        else:
            made = recoded[index]
            for frame in packet.decode():
                yield from made.encode(frame)
            if not packet.size:
                yield from made.encode(None)


def _mux(target: Any, *streams: Iterable[Any]) -> None:
    """Write packets in order of time, so that none wait in memory."""
    for packet in heapq.merge(*streams, key=_time):
        target.mux(packet)


def _time(packet: Any) -> Fraction:
    return (packet.dts or 0) * packet.time_base
