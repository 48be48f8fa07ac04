"""Norm statistics that all frames of a scene share: with its own, each gets other colours when anything changes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from i2i.errors import one_line
from i2i.images import Array, to_channels, to_unit
from i2i.images.frames import thumbnail
from i2i.images.video import Video
from i2i.runtime.backends import TorchBackend
from i2i.runtime.clip_light import Light, Scene, scenes_of
from i2i.runtime.clip_sources import frames as frames_of
from i2i.runtime.fit import cropped, pad, resized
from i2i.runtime.pictures import DecodedPicture
from i2i.runtime.plan import Way
from i2i.runtime.tiles import statistics_copy, uses_own_statistics
from i2i.runtime.translator import Translator

T = TypeVar("T", bound=Translator)
_SAMPLES = 8
"""Frames of a scene, at most, that give it its norm statistics."""
_SEEN = 0.05
"""A change of light by this share is worth a note."""


def shares_statistics(translator: Translator) -> bool:
    """Whether frames of a clip share norm statistics.

    A recurrent model keeps each frame's own, as in training: what it makes follows the frame before. In an .onnx file
    statistics cannot be set.
    """
    own = uses_own_statistics(translator.spec, translator.generator)
    return own and isinstance(translator.backend, TorchBackend) and not translator.generator.recurrent


def translate_frames(
    translator: Translator, picture: DecodedPicture, frames: Sequence[Array], dtypes: Sequence[Any], name: str
) -> list[Array]:
    """Translate the frames of a picture, or what was made of them, in the light of their scenes if it is an animation.

    frames: (H, W, C) each. dtypes: of each output.
    """
    pages = len(frames) < 2 or picture.kind == "TIFF"  # whose pages are pictures of their own
    if pages or not shares_statistics(translator) or any(one.dtype.kind == "f" for one in frames):
        if not pages:
            note_flicker(translator)
        return [translator.translate(*pair, name) for pair in zip(frames, dtypes, strict=True)]
    outputs = list[Array]()
    for scene in scenes_of([thumbnail(one) for one in frames]):
        samples = [scene.light(number).undone(frames[number]) for number in scene.samples(_SAMPLES)]
        steady = for_clip(translator, samples)
        for number in range(scene.start, scene.stop):
            light = scene.light(number)
            outputs.append(light.put_back(steady.translate(light.undone(frames[number]), dtypes[number], name)))
    return outputs


class SceneModels:
    """The models of a video, one after another, with the norm statistics of each scene: ask for frames in order.

    thumbnails: of all frames. first: the number of the first frame to ask for.
    """

    def __init__(
        self, translators: Sequence[Translator], clip: Video, thumbnails: Sequence[Array], max_pixels: int, first: int
    ):
        self.translators, self.name = list(translators), one_line(clip.path)
        steady = shares_statistics(translators[0]) and not any(one.generator.recurrent for one in translators)
        self.scenes = scenes_of(thumbnails) if steady else [Scene(0, len(thumbnails))]
        coming = [one for one in self.scenes if one.stop > first]
        self._coming = zip(coming, self._read(clip, coming, max_pixels), strict=True)
        self._now, self._models = Scene(0, 0), list[Translator]()

    def at(self, number: int) -> tuple[list[Translator], Light]:
        """Return the models for a frame, and its light."""
        if number >= self._now.stop:
            self._now, samples = next(self._coming)
            self._models = [one.in_order() for one in self._with_statistics(samples)]
        return self._models, self._now.light(number)

    def set_threads(self, threads: int) -> None:
        """Give each frame so many CPU threads."""
        for models in (self.translators, self._models):
            models[:] = [one.with_backend(one.backend.with_threads(threads)) for one in models]

    @property
    def notes(self) -> list[str]:
        """What the user should know."""
        lights = [light for scene in self.scenes for light in scene.lights]
        notes = []
        if len(self.scenes) > 1:
            notes.append(f"{len(self.scenes)} scenes were told apart; each has norm statistics of its own.")
        if any(abs(one.gain - 1) > _SEEN and not one.fades for one in lights):
            notes.append("The light of all of the picture changes in this clip, and was evened out.")
        return notes

    def _read(self, clip: Video, scenes: Sequence[Scene], max_pixels: int) -> Iterator[list[Array]]:
        """Yield the samples of each scene as its light shows them, read by a decoder of its own."""
        if not any(map(shares_statistics, self.translators)):
            yield from ([] for _ in scenes)
            return
        numbers = [one.samples(_SAMPLES) for one in scenes]
        frames = frames_of(clip, frozenset(itertools.chain(*numbers)), max_pixels)
        for scene, each in zip(scenes, numbers, strict=True):
            samples = [scene.light(number).undone(frame) for number, frame in zip(each, frames, strict=False)]
            if scene is scenes[-1]:
                frames.close()  # its memory, long before the last frame is done
            yield samples

    def _with_statistics(self, samples: Sequence[Array]) -> list[Translator]:
        models = list[Translator]()
        for place, one in enumerate(self.translators):
            models.append(for_clip(one, samples))
            if place + 1 < len(self.translators):
                samples = [models[-1].translate(sample, name=self.name) for sample in samples]
        return models


def for_clip(translator: T, samples: Sequence[Array]) -> T:
    """Return a translator with the norm statistics of `samples`, some frames of a scene, as `translate` takes them.

    Where frames do not share them, the translator itself.
    """
    backend = translator.backend
    if not samples or not shares_statistics(translator) or not isinstance(backend, TorchBackend):
        note_flicker(translator)
        return translator
    try:
        return translator.with_backend(backend.frozen(_input(translator, one) for one in samples))
    except MemoryError:
        return translator.with_backend(backend.frozen(_input(translator, one, "tiles") for one in samples))


def note_flicker(translator: Translator) -> None:
    """Note that colours may flicker where an .onnx file normalises each frame by its own statistics."""
    own = uses_own_statistics(translator.spec, translator.generator)
    if own and not isinstance(translator.backend, TorchBackend) and not translator.generator.recurrent:
        translator.notes[
            "Each frame has its own norm statistics in an .onnx file, so colours may flicker;\n"
            "a .safetensors file shares them among the frames of a scene."
        ] = None


def _input(translator: Translator, array: Array, way: Way | None = None) -> Array:
    """Return what gives a frame its norm statistics, (1, C, H, W): itself, or a reduced copy."""
    height, width = array.shape[:2]
    plan = translator.planner.plan(height, width, way=way)
    array = to_channels(array, translator.generator.in_channels)
    array = resized(array, *plan.sides) if plan.resizes else cropped(array, *plan.sides)
    if plan.way == "whole":
        return pad(to_unit(array), *plan.padded)[None]
    return statistics_copy(plan, translator.generator, array)
