"""What a person looks at: sheets of pictures, and one HTML page a run that needs no other file."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from i2i.errors import UsageError
from i2i.files import read_json_lines, write_bytes, write_text
from i2i.images import Array
from i2i.metrics.pairs import as_rgb8

EVALUATION = "evaluation.json"
EVALUATION_SHEET = "evaluation.png"
_CELL_PX = (96, 256)  # smallest and largest side of a picture on a sheet
_GAP_PX = 4


def write_sheet(path: Path, rows: Sequence[Sequence[Array]], titles: Sequence[str]) -> None:
    """Write rows of pictures, (H, W, C) integers each, as one PNG with a title over every column.

    Raises UsageError when `path` does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: a sheet is written as .png.")
    write_bytes(path, sheet_png(rows, titles))


def sheet_png(rows: Sequence[Sequence[Array]], titles: Sequence[str]) -> bytes:
    """Return the sheet as PNG; cells have one size, pictures keep their shape in them.

    Small pictures are enlarged without smoothing, by whole numbers; large ones are reduced.
    """
    side = max(max(picture.shape[:2]) for row in rows for picture in row)
    zoom = -(-_CELL_PX[0] // side) if side < _CELL_PX[0] else 1
    cell = min(side * zoom, _CELL_PX[1])
    step, head = cell + _GAP_PX, 20
    sheet = Image.new("RGB", (step * len(titles) + _GAP_PX, head + step * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        draw.text((_GAP_PX + column * step + 2, 2), title, fill="black", font=font)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            image = Image.fromarray(as_rgb8(picture))
            scale = min(cell / max(image.size), zoom)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
            sheet.paste(image, (_GAP_PX + column * step, head + row * step))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_report(run: Path) -> Path:
    """Write `report.html` of a run folder: curves, the newest sheets, scores where there are any, settings.

    Pictures and curves stand inside the file. Returns its path.
    """
    rows = read_json_lines(run / "metrics.jsonl")
    parts = [f"<h1>{html.escape(run.resolve().name)}</h1>", _summary(rows)]
    scores, sheet, model = run / EVALUATION, run / EVALUATION_SHEET, run / "model.safetensors"
    current = scores.exists() and scores.stat().st_mtime >= model.stat().st_mtime  # not those of an earlier model
    if current:
        parts.append("<h2>Scores</h2>" + _score_table(json.loads(scores.read_text(encoding="utf-8"))))
    if current and sheet.exists():
        parts.append("<h2>Test pictures</h2>" + _picture(sheet, "input, output and truth"))
    if rows:
        parts.append("<h2>Curves</h2>" + _curves(rows))
    sheets = sorted((run / "samples").glob("*.png"))
    if sheets:
        newest = sheets[-1].name.split(".")[0]
        pictures = [_picture(path, path.stem) for path in sheets if path.name.startswith(newest)]
        parts.append(f"<h2>Previews after {int(newest)} images</h2>" + "".join(pictures))
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


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    return f"<p>{rows[-1]['images']:,} images in {rows[-1]['seconds'] / 60:.1f} minutes.</p>"


def _score_table(evaluation: dict[str, Any]) -> str:
    scores = {"model": evaluation["model"], **evaluation["baselines"]}
    names = list(evaluation["model"])
    lines = ["<tr><th></th>" + "".join(f"<th>{html.escape(name.upper())}</th>" for name in names) + "</tr>"]
    for who, values in scores.items():
        cells = "".join(f"<td>{values[name]:.3f}</td>" if values else "<td>–</td>" for name in names)
        lines.append(f'<tr class="{html.escape(who)}"><td>{html.escape(who.replace("_", " "))}</td>{cells}</tr>')
    return f"<table>{''.join(lines)}</table><p>L1 in grey levels (0 to 255), PSNR in dB.</p>"


def _picture(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = html.escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def _curves(rows: Sequence[dict[str, Any]]) -> str:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("images", "seconds", "split"):
                series.setdefault(f"{name} ({row['split']})", []).append((row["images"], value))
    return f'<div class="curves">{"".join(curve_svg(name, points) for name, points in series.items())}</div>'


def curve_svg(title: str, points: Sequence[tuple[float, float]], width: int = 290, height: int = 170) -> str:
    """Return one curve as SVG, (x, y) with rising x, the axes marked with their ends."""
    left, right, top, bottom = 44, 8, 22, 20
    xs, ys = np.array(points, dtype=float).T
    low, high = float(ys.min()), float(ys.max())
    x_span, y_span = (float(xs[-1] - xs[0]) or 1.0), (high - low) or 1.0
    px = left + (xs - xs[0]) / x_span * (width - left - right)
    py = top + (high - ys) / y_span * (height - top - bottom)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(px, py, strict=True))
    base = height - bottom
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="{html.escape(title)}">'
        f'<text x="{left}" y="13" font-weight="600">{html.escape(title)}</text>'
        f'<path d="M{left},{top}V{base}H{width - right}" fill="none" stroke="#aaa"/>'
        f'<text x="{left - 4}" y="{top + 4}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{left - 4}" y="{base}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{left}" y="{height - 6}">{xs[0]:.0f}</text>'
        f'<text x="{width - right}" y="{height - 6}" text-anchor="end">{xs[-1]:.0f} images</text>'
        f'<polyline points="{line}" fill="none" stroke="#2266cc" stroke-width="1.5"/></svg>'
    )
