"""What Python calls: train, translate and generate, with arrays in and out, callbacks and progress.

Errors speak Python here: `overwrite=True` where those of the command line say --overwrite.
"""

import base64
import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from i2i.config import load_config
from i2i.config.plugins import LOADED
from i2i.config.settings import Config
from i2i.errors import speaks_python
from i2i.files import read_json_lines
from i2i.report.record import ROW_KEYS, WARNING

if TYPE_CHECKING:
    from PIL.Image import Image

    from i2i.images import Array
    from i2i.runtime.generator import ImageGenerator
    from i2i.runtime.outcome import Result
    from i2i.runtime.translator import Translator
    from i2i.training.callbacks import Listener

Progress = Callable[[int, int], object]
"""Called with how many are done, and of how many."""


@dataclass(frozen=True)
class Trained:
    """A finished training; use it wherever a model is asked for. Notebooks show its metrics and newest samples."""

    folder: Path
    """The run folder."""
    model: Path
    """The model file."""
    metrics: dict[str, float]
    """The newest value of each metric, by "<split>/<name>"."""
    images: int
    """Images seen."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows of metrics.jsonl; warnings have the split "warning"."""
        return list(read_json_lines(self.folder / "metrics.jsonl"))

    @property
    def samples(self) -> dict[str, Path]:
        """The newest sheet of samples of each direction."""
        return {path.stem.partition(".")[2]: path for path in sorted((self.folder / "samples").glob("*.png"))}

    def __fspath__(self) -> str:
        """Return the path of the model file."""
        return str(self.model)

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{html.escape(name)}<td>{value:.4g}" for name, value in self.metrics.items())
        sheets = (base64.b64encode(path.read_bytes()).decode() for path in self.samples.values())
        pictures = "".join(f'<p><img src="data:image/png;base64,{sheet}">' for sheet in sheets)
        return f"<p>{html.escape(str(self.folder))}, {self.images:,} images<table>{rows}</table>{pictures}"


@overload
def train(config: Config, out: str | Path, resume: bool = False, allow_config_change: bool = False) -> Path: ...
@overload
def train(
    config: str | Path,
    out: str | Path | None = None,
    resume: bool = False,
    allow_config_change: bool = False,
    *,
    data: str | Path | Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    callbacks: "Sequence[Listener]" = (),
) -> Trained: ...
@speaks_python
def train(
    config: Config | str | Path,
    out: str | Path | None = None,
    resume: bool = False,
    allow_config_change: bool = False,
    *,
    data: str | Path | Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    callbacks: "Sequence[Listener]" = (),
) -> Path | Trained:
    """Train with a preset, a YAML file or a Config into the run folder `out`, by default runs/PRESET.

    data: one folder, or A's and B's. settings: what differs, by name, as {"train.batch": 4}. callbacks: get every row
    of metrics and every sheet of samples. A Config, from `load_config`, holds all settings, and gives the model file.
    Raises what `i2i.training.start.train` raises.
    """
    from i2i.training import start

    if isinstance(config, Config):
        assert out is not None
        return start.train(config, out, resume, allow_config_change, callbacks)
    folders = [str(one) for one in ([data] if isinstance(data, (str, Path)) else data)]
    plugins = {"plugins": [str(one) for one in LOADED]} if LOADED else {}
    given = {**({"data.path": folders} if folders else {}), **plugins, **(settings or {})}
    overrides = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    written = {**dict.fromkeys(given, "settings"), **({"data.path": "data"} if folders else {})}
    folder = Path(out) if out is not None else Path("runs") / Path(config).stem
    model = start.train(load_config(config, overrides, written), folder, resume, allow_config_change, callbacks)
    rows = [row for row in read_json_lines(folder / "metrics.jsonl") if row.get("split") != WARNING]
    metrics = {f"{row['split']}/{name}": row[name] for row in rows for name in row if name not in ROW_KEYS}
    return Trained(folder, model, metrics, rows[-1]["images"] if rows else 0)


@speaks_python
def translate(
    images: Any,
    model: "str | Path | Translator",
    direction: str | None = None,
    labels: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = lambda done, total: None,
) -> Any:
    """Translate one picture, or each of several, in memory, as `Translator` does.

    images: a path, an array (H, W) or (H, W, C) in uint8 or uint16, or a PIL image; or a list of them. A path gives a
    Translated, an array an array and an image an image; a list gives a list. model: a run folder, a model file, the
    name of a shipped model, or an opened Translator. Raises ImageError, ModelError and UsageError.
    """
    from i2i.runtime.translator import Translator

    opened = model if isinstance(model, Translator) else Translator.open(model, direction, device, labels=labels)
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
) -> "Result":
    """Translate files, folders and patterns into the file or folder `output`, as `i2i translate` does.

    Returns how many were written and which were refused. Raises ModelError and UsageError.
    """
    from i2i.images.listing import find_inputs
    from i2i.runtime.folder import list_tasks
    from i2i.runtime.outcome import Result
    from i2i.runtime.picture_options import PictureOptions, written_channels
    from i2i.runtime.pipeline import MANY, setup_for, translate_files
    from i2i.runtime.translator import Translator

    sources = find_inputs([str(one) for one in ([inputs] if isinstance(inputs, (str, Path)) else inputs)])
    threads = setup_for(MANY, None).threads
    opened = (
        model
        if isinstance(model, Translator)
        else Translator.open(model, direction, device, threads=threads, labels=labels)
    )
    options = PictureOptions().for_model(opened.spec, opened.generator)
    channels = written_channels(opened.generator, options)
    tasks = list_tasks(sources, Path(output), channels, skip_existing, overwrite, options)
    result = Result(refused=tasks.refused)
    total, done = len(tasks), 0

    def advance(_: object) -> None:
        nonlocal done
        done += 1
        progress(done, total)

    translate_files(opened, tasks, advance, options, None, result)
    return result


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

    opened = model if isinstance(model, ImageGenerator) else ImageGenerator.open(model, device, size)
    numbers = range(seeds) if isinstance(seeds, int) else seeds
    chosen = choose(opened, numbers, None, [labels] if labels else (), [text] if text is not None else (), truncation)
    if opened.makes_points:
        return opened.points(chosen.latents)
    made = []
    for picture in opened.each_picture(chosen.latents):
        made.append(to_pil(picture))
        progress(len(made), len(chosen.latents))
    return made
