"""Synthetic clips: 64 x 48 px, 12 frames, slow colours and a square that moves over them, with a tone of 440 Hz."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

FRAMES = 12
BASE = Fraction(1, 12800)
BT709, FULL, LIMITED = 1, 2, 1


def shown(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """One frame, (H, W, 3) uint8."""
    rows, columns = np.linspace(0, 255, height)[:, None], np.linspace(0, 255, width)[None]
    frame = np.stack(np.broadcast_arrays(rows, columns, 255 - rows), axis=2).astype(np.uint8)
    frame[:8, 2 * number : 2 * number + 8] = (255, 40, 0)
    return frame


def write_clip(
    path: Path,
    frames: list[np.ndarray] | None = None,
    codec: str = "libx264",
    kind: str = "yuv420p",
    sound: str | None = "aac",
    starts: list[int] | None = None,
    turned: int = 0,
    full: bool = False,
    mistagged: bool = False,
    matrix: int = BT709,
    tags: tuple[int, int] = (BT709, BT709),
) -> Path:
    """Write a clip.

    mistagged: with the tag of the other range. starts: in BASE, by default 25 frames a second. tags: colour primaries
    and transfer.
    """
    frames = [shown(number) for number in range(FRAMES)] if frames is None else frames
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "4", "preset": "veryfast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base = kind, BASE
        context = stream.codec_context
        context.time_base = BASE
        context.color_range, context.colorspace = FULL if full != mistagged else LIMITED, matrix
        context.color_primaries, context.color_trc = tags
        if turned:
            stream.set_display_rotation(turned)
        tone = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number, array in enumerate(frames):
            frame = VideoReformatter().reformat(
                av.VideoFrame.from_ndarray(array, "rgb24"),
                format=kind,
                dst_colorspace={6: 5}.get(matrix, matrix),
                src_color_range=FULL,
                dst_color_range=FULL if full else LIMITED,
                interpolation="BICUBIC",
            )
            frame.pts, frame.time_base = starts[number] if starts else number * 512, BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            write_tone(container, tone, len(frames) / 25)
    return path


def write_interlaced(path: Path) -> Path:
    """Write a clip of 25 frames a second whose even lines are earlier than the odd ones; a square moves over it."""

    def field(moment: int) -> np.ndarray:
        picture = np.full((96, 128, 3), 40, np.uint8)
        picture[30:60, 4 * moment : 4 * moment + 24] = 220
        return picture

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "x264-params": "tff=1"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for number in range(FRAMES):
            woven = field(2 * number)
            woven[1::2] = field(2 * number + 1)[1::2]
            frame = av.VideoFrame.from_ndarray(woven, "rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_tone(container, stream, seconds: float) -> None:
    """Write a tone of so many seconds."""
    values = 0.3 * np.sin(np.arange(int(48000 * seconds)) * (2 * np.pi * 440 / 48000))
    frame = av.AudioFrame.from_ndarray(values.astype(np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts = 48000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def sound_of(path: Path) -> list[bytes]:
    """The packets of a clip's sound."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def times_of(path: Path) -> list[float]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def sound_start(path: Path) -> float:
    """When its first packet is heard, in seconds."""
    with av.open(str(path)) as container:
        packet = next(container.demux(audio=0))
        return float(packet.pts * packet.time_base)
