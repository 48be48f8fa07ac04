"""Translate and generate from Python."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i.arguments import as_names, as_path, as_paths, as_seeds
from i2i.errors import UsageError, speaks_python

if TYPE_CHECKING:
    from PIL.Image import Image

    from i2i.images import Array
    from i2i.runtime.fit import How
    from i2i.runtime.generator import ImageGenerator
    from i2i.runtime.outcome import Result
    from i2i.runtime.translator import Translator

Progress = Callable[[int, int], object]
"""Called with how many are done, and of how many."""


@speaks_python
def translate(
    images: Any,
    model: "str | Path | Translator",
    direction: str | None = None,
    labels: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = lambda done, total: None,
    fit: "How | None" = None,
) -> Any:
    """Translate one picture, or each of several, in memory, as `Translator` does.

    images: a path, an array (H, W) or (H, W, C) in uint8 or uint16, or a PIL image; or a list of them. A path gives a
    Translated, an array an array and an image an image; a list gives a list. model: a run folder, a model file, the
    name of a shipped model, or an opened Translator. fit: how pictures come to the network's size: pad, resize, crop or
    tile; by default whole, or in tiles where memory is short. Raises ImageError, ModelError and UsageError.
    """
    opened = _translator(model, direction, device, labels, fit)
    if not isinstance(images, (list, tuple)):
        return opened(images)
    made = []
    for image in images:
        made.append(opened(image))
        progress(len(made), len(images))
    return made


@speaks_python
def translate_files(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    model: "str | Path | Translator",
    direction: str | None = None,
    labels: Sequence[str] = (),
    device: str = "auto",
    skip_existing: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
    fit: "How | None" = None,
) -> "Result":
    """Translate files, folders and patterns into the file or folder `output`, as `i2i translate` does.

    fit: as in `translate`. Returns how many were written and which were refused. Raises ModelError and UsageError.
    """
    from i2i.images.listing import find_inputs
    from i2i.runtime.folder import list_tasks
    from i2i.runtime.outcome import Result
    from i2i.runtime.picture_options import PictureOptions, written_channels
    from i2i.runtime.pipeline import MANY, setup_for, translate_files

    given, written = as_paths(inputs, "inputs"), as_path(output, "output")
    if not given:
        raise UsageError("inputs is empty. Give pictures, folders or patterns.")
    sources = find_inputs(given)
    opened = _translator(model, direction, device, labels, fit, setup_for(MANY, None).threads)
    options = PictureOptions().for_model(opened.spec, opened.generator, direction=opened.direction)
    channels = written_channels(opened.generator, options)
    tasks = list_tasks(sources, written, channels, skip_existing, overwrite, options)
    result = Result(refused=tasks.refused)
    total, done = len(tasks), 0

    def advance(_: object) -> None:
        nonlocal done
        done += 1
        progress(done, total)

    translate_files(opened, tasks, advance, options, None, result)
    return result


def _translator(
    model: "str | Path | Translator",
    direction: str | None,
    device: str,
    labels: Sequence[str],
    fit: "How | None",
    threads: int | None = None,
) -> "Translator":
    """Return an opened model as it is, and open any other."""
    from i2i.runtime.fit import make_fit
    from i2i.runtime.translator import Translator

    if isinstance(model, Translator):
        return model
    path, names = as_path(model, "model"), as_names(labels)
    return Translator.open(path, direction, device, threads=threads, fit=make_fit(fit, None, None), labels=names)


@speaks_python
def generate(
    model: "str | Path | ImageGenerator",
    seeds: int | Sequence[int] = 64,
    labels: Sequence[str] = (),
    text: str | None = None,
    truncation: float | None = None,
    size: tuple[int, int] | None = None,
    device: str = "auto",
    progress: Progress = lambda done, total: None,
) -> "list[Image] | Array":
    """Make pictures from noise: of each of `seeds`, or of that many from 0 on.

    labels, text: what each shall show, for models that were trained with labels or text. truncation: 0 to 1, of models
    with styles. size: (height, width) in pixels, where the model makes others. A model of points gives (N, 2) float32.
    model: a run folder, a model file, the name of a shipped model, or an opened ImageGenerator. Raises ModelError and
    UsageError.
    """
    from i2i.generation import choose
    from i2i.images import to_pil
    from i2i.runtime.generator import ImageGenerator

    numbers, names = as_seeds(seeds, "seeds"), as_names(labels)
    opened = model if isinstance(model, ImageGenerator) else ImageGenerator.open(as_path(model, "model"), device, size)
    chosen = choose(opened, numbers, None, [names] if names else (), [text] if text is not None else (), truncation)
    if opened.makes_points:
        return opened.points(chosen.latents)
    made = []
    for picture in opened.each_picture(chosen.latents):
        made.append(to_pil(picture))
        progress(len(made), len(chosen.latents))
    return made
