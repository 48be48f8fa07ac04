"""The sections of a page: what a run is, its settings, findings and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from i2i.report.markup import html_table, table, text
from i2i.report.record import RunRecord
from i2i.report.samples import picture_src
from i2i.words import show_count, show_duration

_OF_THE_DATA = ("data.classes", "data.texts")
"""Settings that follow from others: every class would be a row."""
_MANY = 20  # settings that differ; more are folded
_SEVERE = {"high": "bad", "error": "bad", "medium": "doubtful", "warning": "doubtful"}


def facts_of(run: RunRecord, public: bool = False) -> dict[str, str]:
    """Return what a run is, by name; what is unknown is left out. public: tell no paths of this machine."""
    total = run.facts.get("total_images")
    seen = f"{run.images:,}{f' of {total:,}' if isinstance(total, int) else ''}"
    epochs = f", {run.epochs:.3g} epochs" if run.epochs is not None else ""
    sessions = [one for one in _listed(run.facts.get("sessions")) if isinstance(one, Mapping)]
    newest: Mapping[str, Any] = sessions[-1] if sessions else {}
    versions = [f"{name} {newest[name]}" for name in ("i2i", "torch", "Python") if newest.get(name)]
    if not versions and run.spec:
        versions = [f"i2i {run.spec.i2i_version}"]
    resumed = f", resumed {show_count(len(sessions) - 1, 'time')}" if len(sessions) > 1 else ""
    facts = {
        "Algorithm": run.setting("algorithm"),
        "Networks": _networks(run),
        "Data": _data(run, public),
        "Direction": ", ".join(run.spec.generators) if run.spec else None,
        "Images seen": f"{seen}{epochs}",
        "Time": show_duration(run.seconds) if run.seconds is not None else None,
        "Model file": _model(run),
        "Parameters": _parameters(run.facts.get("parameters")),
        "Seed": run.setting("train.seed"),
        "Device": newest.get("device") or run.setting("train.device"),
        "Precision": run.setting("train.precision"),
        "Started": f"{_date(sessions[0])}{resumed}" if sessions else None,
        "Versions": ", ".join(versions),
    }
    return {name: str(fact) for name, fact in facts.items() if fact not in (None, "")}


def facts_section(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Return what the run is as a list, or what several are as a table."""
    facts = [facts_of(run) for run in runs]
    if len(runs) == 1:
        shown = "".join(f"<div><dt>{name}</dt><dd>{text(fact)}</dd></div>" for name, fact in facts[0].items())
        return f'<dl class="facts">{shown}</dl>'
    rows = dict.fromkeys(name for one in facts for name in one)
    return table(["", *names], ([name, *(one.get(name, "–") for one in facts)] for name in rows), len(runs))


def differing(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Return the settings that differ between runs, by dotted name: a value for each run."""
    flat = [dict(_flat(run.settings)) for run in runs]
    names = dict.fromkeys(name for one in flat for name in one if not name.startswith(_OF_THE_DATA))
    shown = {name: [_plain(one[name]) if name in one else "–" for one in flat] for name in names}
    digests = [str(run.facts.get("data_sha256") or "") for run in runs]
    if len(set(filter(None, digests))) > 1:
        shown["(digest of the data)"] = [one[:12] or "–" for one in digests]
    return {name: values for name, values in shown.items() if len(set(values)) > 1}


def settings_section(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Return the settings that differ between several runs."""
    rows = [[name, *values] for name, values in differing(runs).items()]
    shown = table(["", *names], rows, len(runs)) if rows else "<p>None.</p>"
    if len(rows) > _MANY:
        shown = f"<details><summary>{show_count(len(rows), 'setting')}</summary>{shown}</details>"
    return f"<h2>Settings that differ</h2>{shown}"


def all_settings(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Return every setting of each run, folded."""
    head = "All settings" if len(runs) == 1 else "All settings of "
    folded = []
    for run, name in zip(runs, names, strict=True):
        lines = "\n".join(f"{key}: {_plain(value)}" for key, value in _flat(run.settings))
        if lines:
            label = head if len(runs) == 1 else head + name
            folded.append(f"<details><summary>{text(label)}</summary><pre>{text(lines)}</pre></details>")
    return "".join(folded)


def findings_section(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Return what `i2i diagnose` found, and the warnings of the training."""
    parts = []
    if any(run.findings is not None for run in runs):
        parts.append("<h2>Diagnosis</h2>")
    for run, name in zip(runs, names, strict=True):
        if run.findings == []:
            parts.append(f"{_title(runs, name)}<p>No illness found.</p>")
        elif run.findings:
            cells = ("name", "severity", "number", "threshold", "advice")
            rows = [[_finding(name, one[name]) for name in cells] for one in run.findings]
            parts.append(_title(runs, name) + html_table(["", "", "number", "threshold", "what to do"], rows))
    if any(run.warnings for run in runs):
        parts.append("<h2>Warnings of the training</h2>")
    for run, name in zip(runs, names, strict=True):
        if run.warnings:
            lines = (f"<p>After {show_count(images, 'image')}, {text(said)}</p>" for images, said in run.warnings)
            parts.append(_title(runs, name) + "".join(lines))
    return "".join(parts)


def worst_section(runs: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Return the sheets of the worst pairs, as far as evaluations left them."""
    figures = []
    for run, name in zip(runs, names, strict=True):
        for scores in run.scores:
            if src := picture_src(scores["file"].with_suffix(".worst.png")):
                what = f"{scores.get('split', '')} {scores.get('direction', '')}".strip()
                caption = text(f"{name}, {what}" if len(runs) > 1 else what)
                figures.append(
                    f'<figure><img src="{src}" alt="worst pairs"><figcaption>{caption}</figcaption></figure>'
                )
    return f'<h2>Worst pictures</h2><div class="sheets">{"".join(figures)}</div>' if figures else ""


def samples_section(samples: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return the newest sheet of each direction and run, with a slider through the others."""
    parts = ["<h2>Samples over time</h2>"] if samples else []
    for number, sample in enumerate(samples):
        figures = "".join(
            f'<figure><img src="{one["frames"][-1]["src"]}" alt="samples">'
            f"<figcaption>{text(names[one['run']]) + ', ' if len(names) > 1 else ''}"
            f'<span class="after">after {show_count(one["frames"][-1]["images"], "image")}</span></figcaption></figure>'
            for one in sample["runs"]
        )
        title = f"<h3>{text(sample['direction'])}</h3>" if len(samples) > 1 else ""
        several = " several" if len(sample["runs"]) > 1 else ""
        parts.append(
            f'<div class="samples">{title}<div class="controls"><button type="button">Play</button>'
            f'<label class="time" for="time{number}">Time'
            f'<input type="range" id="time{number}" min="0" max="1" step="1"></label>'
            f'<output for="time{number}"></output></div><div class="sheets{several}">{figures}</div></div>'
        )
    return "".join(parts)


def _title(runs: Sequence[RunRecord], name: str) -> str:
    return f"<h3>{text(name)}</h3>" if len(runs) > 1 else ""


def _finding(name: str, value: str) -> str:
    if name != "severity":
        return text(value)
    return f'<span class="severity {_SEVERE.get(value, "")}">{text(value)}</span>'


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _plain(value: object) -> str:
    """Return a setting as one writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting with its dotted name."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _data(run: RunRecord, public: bool) -> str:
    paths = [Path(path).name if public else path for path in map(str, _listed(run.setting("data.path")))]
    return ", ".join([str(run.facts.get("data") or run.setting("data.toy") or ""), *paths]).removeprefix(", ")


def _date(session: Mapping[str, Any]) -> str:
    return str(session.get("date", ""))[:16].replace("T", " ")


def _networks(run: RunRecord) -> str:
    return ", ".join(str(name) for role in ("generator", "discriminator") if (name := run.setting(f"{role}.name")))


def _model(run: RunRecord) -> str | None:
    """Say which weights the model file holds."""
    if run.spec is None:
        return None
    best = run.setting("train.keep") == "best"
    return f"{'the best, ' if best else ''}after {show_count(run.spec.images_seen, 'image')}"


def _parameters(counts: object) -> str:
    known = counts.items() if isinstance(counts, dict) else ()
    return ", ".join(f"{name} {_short(count)}" for name, count in known if isinstance(count, int))


def _short(count: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
