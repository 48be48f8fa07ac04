"""What one thread does for one request: a picture in a file, or a seed, becomes the bytes of a picture."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from i2i.errors import I2IError
from i2i.images import FORMATS
from i2i.images.decode import opened
from i2i.images.encode import encode
from i2i.models.spec import GENERATE
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.outcome import STAGES
from i2i.runtime.picture_options import PictureOptions, output_suffix, written_channels
from i2i.runtime.plan import Sides
from i2i.runtime.styles import truncate
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from i2i.runtime.worker import Room, Worker
from i2i.serving.accept import KINDS, choose_kind
from i2i.serving.problems import HttpProblem, problem_of
from i2i.serving.store import ModelStore

Quality = int | Literal["lossless"]


class Sent(NamedTuple):
    """A picture as it is sent."""

    content: bytes
    media_type: str
    seconds: Mapping[str, float]
    """What its stages took."""
    left_out: int = 0
    """Frames and pages behind the one that was translated."""


class Studio(NamedTuple):
    """What all requests share."""

    store: ModelStore
    room: Room
    max_pixels: int

    def translate(
        self,
        name: str,
        direction: str,
        labels: Sequence[str],
        quality: Quality | None,
        accept: str,
        source: Path,
        stop: threading.Event,
    ) -> Sent:
        """Translate the picture in `source` as `i2i translate` does; accept: the header. Raises HttpProblem."""
        try:
            model = self.store.get(name, direction)
            assert isinstance(model, Translator)
            model = model.with_labels(labels)
            options = PictureOptions(quality=quality, max_pixels=self.max_pixels).for_model(model.spec, model.generator)
            with opened(source, self.max_pixels, options.layout) as header:
                own = next(suffix for suffix, kind in FORMATS.items() if kind == header.kind)
            media_type = choose_kind(accept, output_suffix(own, written_channels(model.generator, options), options))
            task = Task(source, source.with_suffix(KINDS[media_type]))
            content, done = Worker(model, options, self.room, stop).make(task)
            return Sent(content, media_type, dict(zip(STAGES, done.seconds, strict=True)), done.left_out)
        except (I2IError, MemoryError) as error:
            raise problem_of(error, self.max_pixels, str(source)) from error

    def generate(
        self,
        name: str,
        seed: int,
        labels: Sequence[str],
        text: str | None,
        truncation: float | None,
        size: Sides | None,
        quality: Quality | None,
        accept: str,
        stop: threading.Event,
    ) -> Sent:
        """Make the picture of a seed as `i2i generate --separate` does; size: (height, width). Raises HttpProblem."""
        try:
            model = self.store.get(name, GENERATE)
            assert isinstance(model, ImageGenerator)
            if size:
                self._refuse_large(size)
                model = model.of_size(size)
            latents = model.draw([seed], labels, text)
            if truncation is not None:
                latents = truncate(latents, model.generator.blocks, truncation)
            media_type = choose_kind(accept, ".png")
            (picture,) = model.pictures(latents)
            lossless, chosen = quality == "lossless", quality if isinstance(quality, int) else None
            return Sent(encode([picture], FORMATS[KINDS[media_type]], chosen, lossless), media_type, {})
        except (I2IError, MemoryError) as error:
            raise problem_of(error, self.max_pixels) from error

    def _refuse_large(self, size: Sides) -> None:
        height, width = size
        if height * width > self.max_pixels:
            allowed = f"At most {self.max_pixels:,} pixels."
            raise HttpProblem(422, "bad_request", f"size={width}x{height}.", allowed, "Ask for a smaller picture.")
