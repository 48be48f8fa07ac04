"""What i2i returns to Python, and what a notebook shows of it: a table and pictures."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.evaluation import Evaluation, SetEvaluation
from i2i.evaluation.asking import Kind
from i2i.files import read_json_lines, show_size
from i2i.models.spec import ModelSpec
from i2i.report.markup import html_table, text
from i2i.report.scored import heading, shown_interval
from i2i.report.scores import ScoreTable, table_of


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
        table = html_table(["", "newest"], [(text(name), f"{value:.4g}") for name, value in self.metrics.items()])
        sheets = "".join(_picture(path.read_bytes()) for path in self.samples.values())
        return f"<p>{text(self.folder)}, {self.images:,} images</p>{table}{sheets}"


@dataclass(frozen=True)
class Evaluated:
    """Scores of a model beside trivial answers. Notebooks show them as a table, with the pictures of pairs."""

    kind: Kind
    """What was compared: pairs, sets of pictures, or samples of a model from noise with pictures."""
    model: dict[str, float]
    """Its mean scores, by metric."""
    intervals: dict[str, tuple[float, float]]
    """95% intervals of these; of sets, of KID alone."""
    baselines: dict[str, dict[str, float] | None]
    """Scores of what needs no model; None where it has nothing to learn from."""
    details: Evaluation | SetEvaluation
    """All that is known of them."""

    @classmethod
    def of(cls, kind: Kind, result: Evaluation | SetEvaluation) -> "Evaluated":
        """Return what a notebook shows of an evaluation."""
        if isinstance(result, Evaluation):
            return cls(kind, result.model, result.intervals, result.baselines, result)
        baselines = {name: one.scores for name, one in result.baselines.items()}
        return cls(kind, result.model.scores, {"kid": result.model.kid_interval}, {**baselines}, result)

    @property
    def notes(self) -> tuple[str, ...]:
        """What readers of the scores should know."""
        return self.details.notes

    @property
    def rows(self) -> tuple[Mapping[str, str | float], ...]:
        """The scores of each pair, with its name; empty for sets."""
        return self.details.rows if isinstance(self.details, Evaluation) else ()

    @property
    def sheets(self) -> dict[str, bytes]:
        """PNG files with rows of input, output and truth, as far as they were asked for: "sheet" and "worst"."""
        both = {name: getattr(self.details, name, None) for name in ("sheet", "worst")}
        return {name: content for name, content in both.items() if content}

    def to_json(self) -> dict[str, object]:
        """Return what `i2i evaluate --json` prints of them, as docs/json.md describes it."""
        return self.details.to_json()

    def _repr_html_(self) -> str:
        table = table_of({**self.to_json(), "kind": "pairs" if self.kind == "pairs" else "sets"})
        assert table is not None
        titles = {"sheet": "Some pairs", "worst": "The worst pairs"}
        sheets = "".join(f"<p>{titles[name]}</p>{_picture(sheet)}" for name, sheet in self.sheets.items())
        return f"{_scores(table)}{sheets}"


@dataclass(frozen=True)
class Exported:
    """Files that were exported; use a single one wherever a model is asked for."""

    files: tuple[Path, ...]
    """What was written."""
    specs: tuple[ModelSpec, ...]
    """What each ONNX model says of itself, with the proof that it equals torch; none of weights for other projects."""
    said: tuple[str, ...]
    """How well each agrees with torch, or with which options another project loads it."""

    @property
    def spec(self) -> ModelSpec:
        """The description of the only model."""
        (only,) = self.specs
        return only

    def __fspath__(self) -> str:
        """Return the path of the only file."""
        (only,) = self.files
        return str(only)

    def _repr_html_(self) -> str:
        said = [self.said] if len(self.files) < len(self.said) else [(one,) for one in self.said]  # a page of several
        rows = [
            (text(path), show_size(path.stat().st_size), "<br>".join(map(text, lines)))
            for path, lines in zip(self.files, said, strict=True)
        ]
        return html_table(["file", "size", "compared with torch" if self.specs else "load it with"], rows)


def _scores(table: ScoreTable) -> str:
    """Return a table of scores with its title, its intervals, what it depends on, and its notes."""
    rows = []
    for answer in table.answers:
        cells = []
        for column in table.columns:
            value, ends = answer.values.get(column.name), answer.intervals.get(column.name)
            interval = f"<br><small>{shown_interval(column, ends)}</small>" if ends else ""
            cells.append("–" if value is None else f"{column.show(value)}{interval}")
        rows.append((text(answer.name.replace("_", " ")), *cells))
    notes = "".join(f"<p>{text(note)}</p>" for note in table.notes)
    heads = ["", *(text(heading(column)) for column in table.columns)]
    return (
        f"<p><b>{text(table.title)}</b></p>{html_table(heads, rows)}<p><small>{text(table.caption)}</small></p>{notes}"
    )


def _picture(png: bytes) -> str:
    return f'<p><img src="data:image/png;base64,{base64.b64encode(png).decode()}">'
