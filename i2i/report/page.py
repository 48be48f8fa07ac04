"""One HTML page for each run, in a single file."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i.files import read_json_lines, write_text
from i2i.words import show_count, show_duration

WARNING = "warning"  # the split of metrics rows that hold the text of a warning
ROW_KEYS = ("images", "epochs", "seconds", "split")  # in every metrics row, beside its values
EVALUATION = "evaluation.json"
_CHECKPOINTS = "[0-9]" * 9 + ".pt"
_MOST_POINTS = 600  # of a curve, twice its width in pixels
EVALUATION_SHEET = "evaluation.png"


def write_report(run: Path) -> Path:
    """Write `report.html` of a run folder: curves, the newest sheets, scores if there are any, settings.

    Pictures and curves are inside the file. Returns its path.
    """
    rows = read_json_lines(run / "metrics.jsonl")
    parts = [
        f"<h1>{html.escape(run.resolve().name)}</h1>",
        _summary(rows, sorted((run / "checkpoints").glob(_CHECKPOINTS))),
    ]
    scores, sheet, model = run / EVALUATION, run / EVALUATION_SHEET, run / "model.safetensors"
    current = scores.exists() and scores.stat().st_mtime >= model.stat().st_mtime  # not of an earlier model
    if current:
        parts.append("<h2>Scores</h2>" + _score_table(json.loads(scores.read_text(encoding="utf-8"))))
    if current and sheet.exists():
        parts.append("<h2>Test pictures</h2>" + _picture(sheet, "test split"))
    warnings = [row for row in rows if row["split"] == WARNING]
    if warnings:
        parts.append("<h2>Warnings</h2>" + "".join(_warning(row) for row in warnings))
    curves = [row for row in rows if row["split"] != WARNING]
    if curves:
        parts.append("<h2>Curves</h2>" + _curves(curves))
    sheets = sorted((run / "samples").glob("*.png"))
    if sheets:
        newest = sheets[-1].name.split(".")[0]
        pictures = [_picture(path, path.stem) for path in sheets if path.name.startswith(newest)]
        parts.append(f"<h2>Previews after {show_count(int(newest), 'image')}</h2>" + "".join(pictures))
    if (run / "config.yaml").exists():
        text = html.escape((run / "config.yaml").read_text(encoding="utf-8"))
        parts.append(f"<details><summary>All settings</summary><pre>{text}</pre></details>")
    page = _PAGE.replace("{title}", html.escape(f"i2i: {run.resolve().name}")).replace("{body}", "\n".join(parts))
    write_text(run / "report.html", page)
    return run / "report.html"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem .9rem .2rem 0; text-align: right }
td:first-child, th:first-child { text-align: left } tr.model { font-weight: 600 }
img { max-width: 100%; border: 1px solid #ddd } figure { margin: 0 0 1rem; display: inline-block; vertical-align: top }
.curves { display: flex; flex-wrap: wrap; gap: 1rem } svg text { font: 11px system-ui, sans-serif; fill: #555 }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto }
</style></head><body>
{body}
</body></html>
"""


def _summary(rows: Sequence[dict[str, Any]], checkpoints: Sequence[Path]) -> str:
    trained = ""
    if rows:
        trained = f"{show_count(rows[-1]['images'], 'image')} in {show_duration(rows[-1]['seconds'])}. "
    saved = (
        f"The newest checkpoint was saved after {show_count(int(checkpoints[-1].stem), 'image')}."
        if checkpoints
        else ""
    )
    return f"<p>{trained}{saved}</p>"


def _score_table(evaluation: dict[str, Any]) -> str:
    scores = {"model": evaluation["model"], **evaluation["baselines"]}
    names = list(evaluation["model"])
    lines = ["<tr><th></th>" + "".join(f"<th>{html.escape(name.upper())}</th>" for name in names) + "</tr>"]
    for who, values in scores.items():
        cells = "".join(f"<td>{values[name]:.3f}</td>" if values else "<td>–</td>" for name in names)
        lines.append(f'<tr class="{html.escape(who)}"><td>{html.escape(who.replace("_", " "))}</td>{cells}</tr>')
    cycle = f" There and back again: L1 {evaluation['cycle_l1']:.1f}." if "cycle_l1" in evaluation else ""
    return f"<table>{''.join(lines)}</table><p>L1 in grey levels (0 to 255), PSNR in dB.{cycle}</p>"


def _picture(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = html.escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def _warning(row: dict[str, Any]) -> str:
    return f"<p>After {show_count(row['images'], 'image')}, {html.escape(row['text'])}</p>"


Points = Sequence[tuple[float, float]]


def _curves(rows: Sequence[dict[str, Any]]) -> str:
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ROW_KEYS:
                lines = charts.setdefault(_chart(name, row["split"]), {})
                lines.setdefault(name, []).append((row["images"], value))
    curves = ({name: _thinned(points) for name, points in lines.items()} for lines in charts.values())
    return f'<div class="curves">{"".join(map(curve_svg, charts, curves))}</div>'


def _thinned(points: Points) -> Points:
    """Return points spread over a long curve, with its ends: the page is written often during training."""
    places = np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).round().astype(int)
    return [points[place] for place in places]


def _chart(name: str, split: str) -> str:
    """Return the title of the chart that a value belongs on: its own, or one of values that are best compared."""
    if name.endswith("_accuracy"):
        return "accuracy of the discriminator"
    if name.startswith("grad."):
        return "norm of the gradient"
    if "near_duplicates" in name:
        return "share of near duplicates"
    return f"{name} ({split})"


_COLOURS = ("#2266cc", "#cc5522", "#228855", "#8844aa", "#888888")


def curve_svg(title: str, lines: Mapping[str, Points], width: int = 290, height: int = 170) -> str:
    """Return curves by name, (x, y) with ascending x, as one SVG; labels mark the ends of the axes.

    Several curves have a legend.
    """
    left, right, top, bottom = 44, 8, 22, 20
    xs, ys = np.concatenate([np.array(points, dtype=float) for points in lines.values()]).T
    first, span = float(xs.min()), float(xs.max() - xs.min()) or 1.0
    low, high = float(ys.min()), float(ys.max())
    base = height - bottom
    drawn = []
    for index, (name, points) in enumerate(lines.items()):
        x, y = np.array(points, dtype=float).T
        px = left + (x - first) / span * (width - left - right)
        py = top + (high - y) / ((high - low) or 1.0) * (height - top - bottom)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(px, py, strict=True))
        colour = _COLOURS[index % len(_COLOURS)]
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(lines) > 1:
            drawn.append(
                f'<text x="{left + 4}" y="{top + 12 * (index + 1)}" style="fill:{colour}">{html.escape(name)}</text>'
            )
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="{html.escape(title)}">'
        f'<text x="{left}" y="13" font-weight="600">{html.escape(title)}</text>'
        f'<path d="M{left},{top}V{base}H{width - right}" fill="none" stroke="#aaa"/>'
        f'<text x="{left - 4}" y="{top + 4}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{left - 4}" y="{base}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{left}" y="{height - 6}">{first:.0f}</text>'
        f'<text x="{width - right}" y="{height - 6}" text-anchor="end">{first + span:.0f} images</text>'
        f"{''.join(drawn)}</svg>"
    )
