"""What a run folder tells of its training, for its page and for comparisons.

Files may be missing, damaged, or from another version, and a page is worth having without them: what cannot be read is
left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from i2i.config import load_config, read_yaml
from i2i.errors import ConfigError, ModelError, UsageError
from i2i.files import read_json, read_json_lines, write_json
from i2i.models.onnxfile import check_onnx
from i2i.models.safetensorsfile import read_metadata
from i2i.models.spec import ModelSpec, Origin, spec_from_metadata
from i2i.report.scores import is_number, read_scores

WARNING = "warning"
"""The split of metrics rows that hold the text of a warning."""
RUN_FACTS = "run.json"
"""What `i2i train` notes of a training beside its settings: versions, device, dates, sizes."""
_DIAGNOSIS = "diagnosis.json"
_FINDING = ("name", "severity", "number", "threshold", "advice")
ROW_KEYS = ("images", "epochs", "seconds", "split")
"""In every metrics row, beside its values."""
CHOICE_KEYS = ("low", "high", "gain", "gain_low", "gain_high", "best_images", "scoring_s", "scoring_share")
"""In rows `val`: how the best model was chosen, and at what cost; these are not drawn."""


class Row(NamedTuple):
    """One row of metrics.jsonl."""

    images: int
    epochs: float | None
    """None in rows of earlier versions."""
    seconds: float | None
    split: str
    values: dict[str, float]


class RunRecord(NamedTuple):
    """A run folder as far as it can be read."""

    folder: Path
    settings: dict[str, Any]
    """Nested, complete where config.yaml is of this version."""
    facts: dict[str, Any]
    """RUN_FACTS; empty for runs of earlier versions."""
    spec: ModelSpec | None
    rows: list[Row]
    warnings: list[tuple[int, str]]
    """Images seen, and the text."""
    scores: list[dict[str, Any]]
    """Newest first; i2i.report.scores says what is in them."""
    findings: list[dict[str, str]] | None
    """Of `i2i diagnose`; None if it has not examined the run."""
    samples: dict[str, list[tuple[int, Path]]]
    """By direction: images seen, ascending, and the file."""

    @property
    def origin(self) -> Origin | None:
        """What the run's exported file says of where it comes from; None without one."""
        file = self.folder / "model.onnx"
        try:
            return spec_from_metadata(check_onnx(file).metadata, file).origin
        except (ModelError, OSError):
            return None

    @property
    def images(self) -> int:
        """Images seen so far."""
        newest = [row.images for row in self.rows[-1:]] + [images for images, _ in self.warnings[-1:]]
        return max([*newest, self.spec.images_seen if self.spec else 0])

    @property
    def seconds(self) -> float | None:
        """How long it has trained, as the newest row says."""
        return next((row.seconds for row in reversed(self.rows) if row.seconds is not None), None)

    @property
    def epochs(self) -> float | None:
        """Epochs seen, as the newest row says."""
        return next((row.epochs for row in reversed(self.rows) if row.epochs is not None), None)

    def setting(self, name: str) -> Any:
        """Return a setting by its dotted name, None if there is none."""
        value: Any = self.settings
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def read_run(folder: Path) -> RunRecord:
    """Read a run folder; whatever cannot be read is left out."""
    try:
        lines = read_json_lines(folder / "metrics.jsonl")
    except (OSError, RecursionError):
        lines = []
    lines = sorted((line for line in lines if _is_count(line.get("images"))), key=lambda line: line["images"])
    facts = read_json(folder / RUN_FACTS)
    return RunRecord(
        folder,
        _settings(folder / "config.yaml"),
        facts if isinstance(facts, dict) else {},
        _spec(folder / "model.safetensors"),
        [_row(line) for line in lines if line.get("split") != WARNING],
        [(line["images"], str(line.get("text"))) for line in lines if line.get("split") == WARNING],
        read_scores(folder),
        _findings(read_json(folder / _DIAGNOSIS)),
        _samples(folder / "samples"),
    )


def refuse_no_run(folder: Path) -> None:
    """Raise UsageError for what is no run folder."""
    if not any((folder / name).is_file() for name in ("config.yaml", "metrics.jsonl", "model.safetensors")):
        raise UsageError(f"{folder} is not a run folder: it has no config.yaml. Give a folder that `i2i train` wrote.")


def labels(folders: Sequence[Path]) -> list[str]:
    """Return a name for each run: its folder's, with as many folders above it as tell it from the others."""
    whole = [folder.resolve().parts for folder in folders]
    names = [parts[-1] for parts in whole]
    for depth in range(2, max(map(len, whole), default=0) + 1):
        alike = {name for name in names if names.count(name) > 1}
        longer = ["/".join(parts[-depth:]) for parts in whole]
        names = [long if name in alike else name for name, long in zip(names, longer, strict=True)]
    return names


def note_session(folder: Path, facts: Mapping[str, Any], session: Mapping[str, Any]) -> None:
    """Write RUN_FACTS: `facts`, and `session` after those that are noted already."""
    before = read_json(folder / RUN_FACTS)
    sessions = before.get("sessions") if isinstance(before, dict) else None
    write_json(folder / RUN_FACTS, {**facts, "sessions": [*(sessions if isinstance(sessions, list) else []), session]})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _row(line: Mapping[str, Any]) -> Row:
    values = {name: float(value) for name, value in line.items() if name not in ROW_KEYS and is_number(value)}
    epochs, seconds = (one if is_number(one := line.get(name)) else None for name in ("epochs", "seconds"))
    return Row(line["images"], epochs, seconds, str(line.get("split")), values)


def _settings(path: Path) -> dict[str, Any]:
    try:
        return load_config(path).model_dump(mode="json")
    except (ConfigError, RecursionError):
        pass  # of another version, or changed by hand
    try:
        return read_yaml(path)
    except (ConfigError, RecursionError):
        return {}


def _spec(path: Path) -> ModelSpec | None:
    try:
        return spec_from_metadata(read_metadata(path), path)  # without its digest, which would read all of the file
    except (ModelError, OSError):
        return None


def _findings(found: object) -> list[dict[str, str]] | None:
    if not isinstance(found, list):
        return None
    return [{name: _shown(one.get(name)) for name in _FINDING} for one in found if isinstance(one, dict)]


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if is_number(value) else str(value)


def _samples(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*.png")):
        images, _, direction = path.stem.partition(".")
        if images.isdecimal() and direction:
            found.setdefault(direction, []).append((int(images), path))
    return found
