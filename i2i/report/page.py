"""One HTML page for a run, or for several side by side: a single file that needs no network and no server.

Its script and style are page.js and page.css, and stand inside the page.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from i2i.files import write_text
from i2i.report.curves import charts
from i2i.report.markup import text
from i2i.report.record import RunRecord, labels, read_run
from i2i.report.samples import frames
from i2i.report.scored import Scored, scores_section
from i2i.report.scores import table_of
from i2i.report.sections import (
    all_settings,
    facts_section,
    findings_section,
    samples_section,
    settings_section,
    worst_section,
)
from i2i.version import __version__
from i2i.words import show_count

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Write `report.html` of a run folder and return its path; what cannot be read of the run is left out."""
    run = read_run(folder)
    scored, notes = _own_scores(run)
    write_text(folder / REPORT, page_of([run], labels([folder]), scored, notes))
    return folder / REPORT


def page_of(runs: Sequence[RunRecord], names: Sequence[str], scored: Sequence[Scored], notes: Sequence[str]) -> str:
    """Return a page of one or several runs. names: their labels. notes: what readers of the scores should know."""
    samples = frames(runs)
    drawn = charts(runs)
    parts = [
        facts_section(runs, names),
        settings_section(runs, names) if len(runs) > 1 else "",
        findings_section(runs, names),
        scores_section(scored, notes),
        samples_section(samples, names),
        _CURVES if drawn["charts"] else "",
        worst_section(runs, names),
        all_settings(runs, names),
    ]
    drawn["runs"] = list(names)
    for sample in samples:  # the newest sheet stands in the page already
        for one in sample["runs"]:
            one["frames"][-1].pop("src")
    title = names[0] if len(runs) == 1 else f"{show_count(len(runs), 'run')} compared"
    # No "<" can end the script in which the JSON stands.
    content = {
        "title": text(title),
        "lead": text(_lead(runs)),
        "body": "\n".join(filter(None, parts)),
        "data": json.dumps({**drawn, "samples": samples}, separators=(",", ":")).replace("<", "\\u003c"),
        "style": _beside("page.css"),
        "script": _beside("page.js"),
        "made": f"i2i {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
    }
    return "".join(content.get(piece, piece) for piece in _PAGE.split("@@"))


def _own_scores(run: RunRecord) -> tuple[list[Scored], list[str]]:
    """Return the evaluations of a run as tables, and a note where they are of an earlier model."""
    scored, old = [], False
    for scores in run.scores:
        if one := table_of(scores):
            model, *trivial = one.answers
            scored.append(Scored(one.title, one.caption, one.columns, [model], trivial, [0], one.notes))
            old = old or (run.spec is not None and scores.get("images_seen", 0) != run.spec.images_seen)
    again = "The model file holds other weights by now. `i2i evaluate -m` with this folder scores them."
    return scored, [again] if old else []


def _lead(runs: Sequence[RunRecord]) -> str:
    algorithms = dict.fromkeys(str(run.setting("algorithm")) for run in runs if run.setting("algorithm"))
    seen = f", {show_count(runs[0].images, 'image')} of training" if len(runs) == 1 else ""
    return f"{', '.join(algorithms) or 'a run'}{seen}"


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_CURVES = """<h2>Curves</h2>
<div class="controls">
<label for="smooth">Smoothing<input type="range" id="smooth" min="0" max="10" step="0.5" value="1">
<output id="smooth-said" for="smooth"></output></label>
<label for="by">Over<select id="by"><option value="images">images</option><option value="epochs">epochs</option>
<option value="seconds">time</option></select></label>
<label for="log"><input type="checkbox" id="log">Logarithmic</label>
<output id="cursor"></output>
</div>
<div class="charts" id="charts"></div>
<noscript><p>The curves need JavaScript, which this browser has switched off.</p></noscript>"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>@@title@@</title>
<style>
@@style@@</style></head><body>
<header><h1>@@title@@</h1><p class="lead">@@lead@@</p></header>
<main>
@@body@@
</main>
<footer>@@made@@</footer>
<script type="application/json" id="data">@@data@@</script>
<script>
@@script@@</script>
</body></html>
"""
