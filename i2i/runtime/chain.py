"""Models one after another: the output of each is the input of the next, as if a lossless file lay between them.

One model makes a structure and the next gives it a style (Wang and Gupta 2016, "Generative image modeling using style
and structure adversarial networks"), where theirs joins the two in one network.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from i2i.config.derive import Mask
from i2i.errors import UsageError
from i2i.images import Array, Range, channel_words
from i2i.images.label_maps import decided
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.backends import open_backend
from i2i.runtime.clip_statistics import translate_frames
from i2i.runtime.fit import AUTO, Fit
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pictures import DecodedPicture, finished
from i2i.runtime.translator import Translator


def open_following(
    words: Sequence[str],
    first: ModelSpec,
    part: Part,
    device: str = "auto",
    threads: int | None = None,
    fit: Fit = AUTO,
    input_range: Range | None = None,
) -> tuple[Translator, ...]:
    """Open the models of --then, each a model as `Translator.open` takes it, or with a direction: runs/both:B2A.

    first, part: what comes before them. input_range: that of --input-range, which replaces those of the models.
    Raises ModelError and UsageError, also for models that cannot follow one another.
    """
    if words and part.out_meaning == "points":
        raise UsageError("This model makes points, not pictures, which no other model takes. Leave out --then.")
    found: list[Translator] = []
    before = part
    for word in words:
        path, _, direction = word.rpartition(":")
        if direction not in ("A2B", "B2A"):
            path, direction = word, ""
        spec, backend, chosen = open_backend(path, functools.partial(_pick, word, direction), device, "auto", threads)
        one = Translator(spec, backend, chosen, fit, path).with_labels(())
        _check(word, one, first, before, input_range)
        before = one.generator
        found.append(one)
    return tuple(found)


def _pick(word: str, direction: str, spec: ModelSpec) -> str:
    if not direction and len(spec.generators) > 1 and spec.usual is None:
        raise UsageError(f"{word} translates {' and '.join(spec.generators)}. Name one: --then {word}:A2B.")
    return spec.pick(direction or None)


def _check(word: str, one: Translator, first: ModelSpec, before: Part, input_range: Range | None) -> None:
    """Raise UsageError where what comes out of one model means nothing to the next, or does not fit it."""
    if input_range is None and one.spec.input_range != first.input_range:
        raise UsageError(
            f"{word} was trained with black and white {_shown(one.spec.input_range)}, and what comes before it "
            f"{_shown(first.input_range)}. Say with --input-range LO HI what they are in your pictures."
        )
    given, made = (side and side.scale for side in (one.generator.inputs, before.outputs))
    if given != made:
        raise UsageError(f"{word} takes values of another scale than what comes before it makes. Leave it out.")
    inner = one.generator.in_bands
    if inner != before.out_bands and (inner or before.out_bands):
        raise UsageError(
            f"{word} takes {channel_words(one.generator.in_channels, inner)}, and what comes before it makes "
            f"{channel_words(before.out_channels, before.out_bands)}. They must be the same bands."
        )
    fills = one.spec.derivation is not None and isinstance(one.spec.derivation.settings, Mask)
    if fills and before.out_channels != 4 and not (before.kind == "translate" and before.keeps_alpha):
        raise UsageError(
            f"{word} fills transparent holes, and what comes before it makes opaque pictures of {before.out_channels} "
            "channels. Fill holes first, or leave it out."
        )
    if before.out_px:
        one.planner.plan(before.out_px, before.out_px, "What comes before")  # raises for a file of fixed, smaller sides


def _shown(value_range: Range | None) -> str:
    return f"at {value_range[0]:g} and {value_range[1]:g}" if value_range else "at the ends of each type"


def carry_on(
    picture: DecodedPicture,
    outputs: list[Array],
    made_by: Part,
    following: Sequence[Translator],
    dtype: Any,
    options: PictureOptions,
) -> tuple[DecodedPicture, list[Array]]:
    """Send what a model made of a picture's frames, (H, W, C) each, through those that follow.

    made_by: the part that made it. dtype: of all outputs. Returns the picture that the last model was given, and what
    it made of it; of a single model, `picture` and `outputs` themselves.
    """
    for one in following:
        frames = tuple(finished(picture, outputs, made_by, options.alpha))
        if made_by.outputs and made_by.outputs.values:
            frames = tuple(map(decided, frames))
        picture = replace(picture, frames=frames, inputs=frames, holes=())
        outputs = translate_frames(one, picture, frames, [dtype] * len(frames), str(picture.path))
        made_by = one.generator
    return picture, outputs
