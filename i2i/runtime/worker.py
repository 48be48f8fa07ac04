"""What a worker does with one picture file: decode, translate, encode, write."""

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from i2i.errors import ImageError, one_line
from i2i.images import suffix_of, write_file
from i2i.images.decode import opened
from i2i.images.omezarr import is_zarr
from i2i.images.world import carry_over
from i2i.runtime.chain import carry_on
from i2i.runtime.clip_statistics import translate_frames
from i2i.runtime.described import corner_of
from i2i.runtime.lost import lost_colours, lost_place
from i2i.runtime.outcome import STAGES
from i2i.runtime.picture_options import PictureOptions, output_dtype
from i2i.runtime.pictures import DecodedPicture, counted, encode, read
from i2i.runtime.plan import Plan
from i2i.runtime.recurrence import clip_of_picture
from i2i.runtime.refusals import write_failure
from i2i.runtime.smoothing import Smoothing
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from i2i.runtime.windows import plan_windows, translate_windows

PIXEL_BYTES = 16
"""What a pixel takes outside the network: decoded, translated, encoded."""


class Done(NamedTuple):
    """What became of one picture."""

    task: Task
    pixels: int = 0
    side: int = 0
    """Its shorter side."""
    seconds: tuple[float, ...] = ()
    """Time in each of STAGES."""
    left_out: int = 0
    """Frames and pages behind those that were translated."""
    lost: tuple[str, ...] = ()
    """Names of what else the file says and its translation does not."""
    error: BaseException | None = None
    corner: tuple[int, int] = (0, 0)
    """Row and column of the input at which the output begins."""


class StopWork(Exception):
    """The run is to end; the picture in work is dropped."""


class Room:
    """Memory that the pictures in work share; one that wants more than there is has it alone."""

    def __init__(self, total: int):
        self.free = self.total = total
        self._turn, self._changed = threading.Lock(), threading.Condition()

    @contextlib.contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        """Wait for so many bytes, first come, first served: small pictures must not hold up a large one for ever."""
        wanted = min(wanted, self.total)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self.free >= wanted)
            self.free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self.free += wanted
                self._changed.notify_all()


@dataclass(frozen=True)
class Worker:
    """Translates picture files one at a time; several share `room` and `stop`."""

    translator: Translator
    options: PictureOptions
    room: Room
    stop: threading.Event
    following: tuple[Translator, ...] = ()
    """Models that get the outputs, one after another."""

    def do(self, task: Task) -> Done:
        """Translate one picture and write it. Raises I2IError, MemoryError and, once `stop` is set, StopWork."""
        _refuse_input(task)
        if self.options.windows and (plan := plan_windows(self.translator, task, self.options)):
            return self._in_windows(task, plan)
        content, done = self.make(task)
        began = time.perf_counter()
        _write(task.output, content)
        with contextlib.suppress(OSError):  # the picture itself is there
            carry_over(task.source, task.output, done.corner)
        *others, encoding = done.seconds
        return done._replace(seconds=(*others, encoding + time.perf_counter() - began))

    def _in_windows(self, task: Task, plan: Plan) -> Done:
        """Translate a picture that is larger than memory, and write it."""
        with self.room.taken(plan.memory_bytes):
            clock = _Clock(self.stop)
            clock.start()
            left_out = translate_windows(_checked(self.translator, clock), plan, task, self.options)
            clock.lap()
        with contextlib.suppress(OSError):
            carry_over(task.source, task.output)
        height, width = plan.source
        return Done(task, height * width, min(plan.source), (0.0, clock.laps[0], 0.0), left_out)

    def make(self, task: Task) -> tuple[bytes, Done]:
        """Return the file that `do` would write for a task, which writes nothing; raises the same."""
        suffix, clock = suffix_of(task.output), _Clock(self.stop)
        translator, *following = (_checked(one, clock) for one in (self.translator, *self.following))
        with contextlib.ExitStack() as memory:
            picture, pixels = self._decode(task, memory, clock.start)
            clock.lap()
            for one in (translator, *following):
                one.begin(clip_of_picture(task.source, len(picture.frames)))
            dtypes = [output_dtype(frame, suffix, self.options) for frame in picture.inputs]
            outputs = translate_frames(translator, picture, picture.inputs, dtypes, one_line(task.source))
            part, dtype = translator.generator, output_dtype(picture.frames[0], suffix, self.options)
            last, outputs = carry_on(picture, outputs, part, following, dtype, self.options)
            smooth = Smoothing(self.options.temporal if len(outputs) > 1 else 0)
            outputs = [smooth(*pair) for pair in zip(picture.frames, outputs, strict=True)]
            clock.lap()
            part = following[-1].generator if following else part
            content = encode(last, outputs, suffix, part, self.options)
            clock.lap()
        side = min(picture.frames[0].shape[:2])
        lost = (*picture.lost, *lost_colours(picture, suffix), *lost_place(picture, suffix, self.options.cog))
        top, left = corner_of(picture.frames[0], outputs[0])
        return content, Done(task, pixels, side, tuple(clock.laps), picture.left_out, lost, corner=(top, left))

    def _decode(
        self, task: Task, memory: contextlib.ExitStack, begin: Callable[[], None]
    ) -> tuple[DecodedPicture, int]:
        """Decode a file, and count its pixels, once there is `memory` for it and for all that follows."""
        with opened(task.source, self.options.max_pixels, self.options.layout) as source:
            if task.output == task.source and self.options.frames == "first" and source.count_up_to(2) > 1:
                raise ImageError(
                    f"{task.source} holds {source.count()} pictures, and --in-place would keep one. "
                    "Add --frames all, or use -o."
                )
            count, pixels = counted(source, self.options)
            plans = [
                one.planner.plan(*source.header, one_line(task.source)) for one in (self.translator, *self.following)
            ]
            wanted = PIXEL_BYTES * pixels + max(plan.memory_bytes for plan in plans)
            memory.enter_context(self.room.taken(wanted))
            begin()
            return read(source, count, self.options), pixels


class _Clock:
    """Times the stages of one picture; between them, the run may be stopped."""

    def __init__(self, stop: threading.Event):
        self.stop, self.laps = stop, list[float]()

    def start(self) -> None:
        """Begin the first stage."""
        self.last = time.perf_counter()

    def lap(self) -> None:
        """End a stage; raises StopWork."""
        now = time.perf_counter()
        self.laps.append(now - self.last)
        self.last = now
        if len(self.laps) < len(STAGES):
            self.check()

    def check(self) -> None:
        """Raise StopWork if the run is to end."""
        if self.stop.is_set():
            raise StopWork


def _checked(translator: Translator, clock: _Clock) -> Translator:
    """Return a translator that ends in the middle of a large picture if the run is to end."""
    other = copy.copy(translator)
    other.before_tile = clock.check
    return other


def _refuse_input(task: Task) -> None:
    """Raise ImageError if a link among the output's folders leads to the input, or --in-place would lose some of it."""
    source, output = task
    if output == source and is_zarr(source):
        raise ImageError(f"{source} may hold more than one picture, and --in-place would keep only that. Use -o.")
    if output != source and output.name == source.name and output.parent.resolve() == source.parent.resolve():
        raise ImageError(f"{source} would be replaced: {output.parent} leads to its folder. Give another output.")


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically; raises ImageError, and DiskFullError, which concerns all pictures that follow."""
    try:
        # Not flushed one by one: even if the process is killed, the files that exist are whole.
        write_file(path, content, sync=False)
    except OSError as error:
        raise write_failure(path, error) from error
