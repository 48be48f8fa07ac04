"""A clip through a model: checked whole, translated frame by frame, encoded in segments, joined with its sound.

All frames of a scene share norm statistics. Memory holds a few frames, however many there are. A run that is
killed loses the segment in work; one that Ctrl-C stops loses nothing.
"""

import copy
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i import status
from i2i.errors import DiskFullError, ImageError, one_line
from i2i.files import DISK_FULL, atomic_write
from i2i.images import Array, to_channels
from i2i.images.frames import refuse_disorder
from i2i.images.listing import list_pictures
from i2i.images.video import is_animation
from i2i.images.video_writing import SegmentWriter, join
from i2i.machine import available_bytes, thread_count
from i2i.models.modelfile import find_model
from i2i.runtime.carried import Carried
from i2i.runtime.clip_light import Light
from i2i.runtime.clip_parts import ClipParts
from i2i.runtime.clip_sources import frames, sound_of, survey
from i2i.runtime.clip_statistics import SceneModels
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import setup_on
from i2i.runtime.smoothing import Smoothing
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from i2i.runtime.worker import PIXEL_BYTES, StopWork
from i2i.version import __version__

SEGMENT_FRAMES, SEGMENT_S = 240, 120.0
"""A segment ends after so many frames or seconds of work, whichever comes first."""


class ClipOptions(NamedTuple):
    """How clips are translated."""

    pictures: PictureOptions
    rate: Fraction = Fraction(25)
    """Frames a second of a video made of the pictures in a folder."""
    overwrite: bool = False
    """Drop the segments of another command."""
    workers: int | None = None
    """Frames in work at a time; None: as many as there are cores and memory for."""


@dataclass
class ClipDone:
    """What became of a clip; correct at any moment."""

    frames: int = 0
    """Frames that are done, those of earlier runs included."""
    total: int = 0
    earlier: int = 0
    """Frames that earlier runs did."""
    kept_in: Path | None = None
    """Where the segments are, while there is no output."""
    notes: list[str] = field(default_factory=list)


Progress = Callable[[ClipDone], None]
Made = tuple[Array, Array, list[Array]]
"""A frame, what the models make of it, and what the recurrent ones among them know for the next."""


def translate_clip(
    translators: Sequence[Translator], task: Task, options: ClipOptions, done: ClipDone, progress: Progress
) -> None:
    """Translate a video with one model after another, and write it with its sound.

    done: filled as frames come out. progress: called after each. The same call, made again after it was stopped, goes
    on where the segments end. Raises ImageError for a source that cannot be read, UsageError for segments of another
    call, DiskFullError, and what `Translator.translate` raises.
    """
    _ClipRun(translators, task, options, done, progress).run()


class _ClipRun:
    """One call of `translate_clip`."""

    def __init__(
        self, translators: Sequence[Translator], task: Task, options: ClipOptions, done: ClipDone, progress: Progress
    ):
        self.translators, self.task, self.options = list(translators), task, options
        self.done, self.progress, self.name = done, progress, one_line(task.source)
        self.smoothing = Smoothing(options.pictures.temporal)
        self.stop = threading.Event()

    def run(self) -> None:
        """Do all of it."""
        with status.doing("Reading the clip"):
            most, rate = self.options.pictures.max_pixels, self.options.rate
            self.video, self.thumbnails = survey(self.task.source, most, rate, status.count)
        plan = json.loads(json.dumps(self._plan(), default=str))
        self.parts = ClipParts(self.task.output, plan, self.options.overwrite)
        self.done.total, self.done.kept_in = len(self.video.starts), self.parts.folder
        self.done.frames = self.done.earlier = self.parts.done
        self.progress(self.done)
        try:
            if self.parts.done < self.done.total:
                self._translate()
            with status.doing("Joining"), atomic_write(self.task.output) as temp:
                keep = self.options.pictures.keep_metadata
                self.done.notes += join(self.parts.segments, self.video, temp, sound_of(self.video), keep)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise DiskFullError(
                f"{one_line(self.task.output)} cannot be written: {error.strerror}. What is done is kept.\n"
                "Make room, and run the same command again."
            ) from error
        self.parts.remove()
        self.done.kept_in = None

    def _plan(self) -> dict[str, Any]:
        """Return all that the output depends on."""
        models = [
            [*_identity(find_model(Path(one.planner.model))), one.direction, one.generator.labels, one.planner.fit]
            for one in self.translators
        ]
        return {
            "version": __version__,
            "source": _identity(self.task.source),
            "models": models,
            "pictures": asdict(self.options.pictures),
            "rate": self.options.rate,
        }

    def _translate(self) -> None:
        """Encode one segment after another."""
        with status.doing("Measuring the clip"):
            most, first = self.options.pictures.max_pixels, self.parts.done
            checked = [self._checked(one) for one in self.translators]
            self.models = SceneModels(checked, self.video, self.thumbnails, most, first)
            del self.thumbnails
            self.done.notes += self.models.notes
            self.carried = Carried(self.models.at(first)[0], self.smoothing)
        self.carried.restore(self.parts.read_state())
        if self.carried.recurrences and self.task.source.is_dir():
            refuse_disorder(list_pictures(self.task.source))
        starts = iter(self.video.starts[self.parts.done :])
        outputs = self._outputs()
        try:
            while self.parts.done < self.done.total:
                self._encode_segment(outputs, starts)
        finally:
            outputs.close()

    def _encode_segment(self, outputs: Iterator[Made], starts: Iterator[int]) -> None:
        """Encode outputs until the segment is long enough; whatever ends the run, it is kept."""
        path, began, count, stopped = self.parts.next_segment(), time.monotonic(), 0, None
        with atomic_write(path) as temp:
            writer = SegmentWriter(temp, self.video, self.task.output.suffix, self.options.pictures.quality)
            try:
                while count < SEGMENT_FRAMES and time.monotonic() < began + SEGMENT_S:
                    if (pair := next(outputs, None)) is None:
                        break
                    writer.add(self.smoothing(*pair[:2]), next(starts))
                    count += 1
                    self.carried.known = pair[2]
                    self.done.frames += 1
                    self.progress(self.done)
            except BaseException as error:  # Ctrl-C too
                stopped = error
            if not count:
                raise stopped or ImageError(f"{self.name} has fewer frames than before. Is it being written?")
            writer.close()
            self.parts.write_state(count, self.carried.state)
        self.parts.add(path, count)
        if stopped is not None:
            raise stopped

    def _outputs(self) -> Generator[Made]:
        """Yield each frame that is not done, what the models make of it, and what the next one needs, in order."""
        numbers = range(self.parts.done, self.done.total)
        coming = zip(numbers, frames(self.video, numbers, self.options.pictures.max_pixels), strict=False)
        if self.carried.recurrences:  # no frame can begin before the last one is done
            for number, frame in coming:
                yield frame, self._through(frame, *self.models.at(number)), self.carried.now()
            return
        waiting: deque[tuple[Array, Future[Array]]] = deque()
        workers, threads = self._setup()
        before = self.translators[0].backend.threads
        self.models.set_threads(threads)
        pool = ThreadPoolExecutor(workers)
        try:
            for number, frame in coming:
                waiting.append((frame, pool.submit(self._through, frame, *self.models.at(number))))
                if len(waiting) > workers:
                    frame, made = waiting.popleft()
                    yield frame, made.result(), []
            for frame, made in waiting:
                yield frame, made.result(), []
        finally:
            self.stop.set()
            pool.shutdown(cancel_futures=True)
            self.translators[0].backend.with_threads(before)  # torch has one number for the whole process

    def _checked(self, translator: Translator) -> Translator:
        """Return a translator that ends in the middle of a large frame if the run is to end."""
        other = copy.copy(translator)
        other.before_tile = self._check
        return other

    def _check(self) -> None:
        if self.stop.is_set():
            raise StopWork

    def _through(self, frame: Array, models: Sequence[Translator], light: Light) -> Array:
        """Return what the models make of a frame, (H, W, 3) in the depth of the output."""
        deep = (self.options.pictures.bit_depth or frame.itemsize * 8) > 8 and not is_animation(self.task.output)
        frame = light.undone(frame)
        for one in models:
            frame = one.translate(frame, np.uint16 if deep else np.uint8, self.name)
        return light.put_back(to_channels(frame, 3))

    def _setup(self) -> tuple[int, int]:
        """Return how many frames are in work at a time, within half of the free memory, and the threads of each."""
        height, width = self.video.height, self.video.width
        first = self.translators[0]
        plan = first.planner.plan(height, width, self.name)
        fitting = (available_bytes() or 2**33) // 2 // (plan.memory_bytes + PIXEL_BYTES * height * width)
        setup = setup_on(first.backend.device, self.done.total - self.parts.done, self.options.workers)
        workers = max(min(setup.workers, fitting), 1)
        return workers, max(thread_count() // workers, 1) if first.backend.device == "cpu" else setup.threads


def _identity(path: Path) -> list[Any]:
    """Return what tells whether a file, or the pictures in a folder, are still the same."""
    found = [one.stat() for one in (list_pictures(path) if path.is_dir() else [path])]
    return [str(path.absolute()), sum(one.st_size for one in found), max(one.st_mtime_ns for one in found)]
