"""`i2i compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelsCommand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from i2i.report.record import RunRecord
    from i2i.report.scored import Scored


@click.command(
    cls=ModelsCommand,
    short_help="Show runs side by side, with what differs and scores.",
    epilog="""\b
Examples:
  i2i compare runs/lineart runs/horses
  i2i compare runs/lineart runs/horses -o compare.html
  i2i compare runs/lineart runs/faces --no-scores --json
""",
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=options.OutputPath(), help="Write a page with curves and samples to this .html file.")
@json_output.flag
@click.option("--no-scores", is_flag=True, help="Leave the scores out, as when they were measured differently.")
@options.overwrite
def compare(runs: tuple[Path, ...], out: Path | None, as_json: bool, no_scores: bool, overwrite: bool) -> None:
    """Show run folders side by side: what they are, settings that differ, and scores.

    The runs may be of any algorithm. Scores that `i2i evaluate` left in the folders are compared if they were measured
    alike, and refused with the reason if they were not. The page also has curves over each other, samples over the
    course of each training, and the worst pictures.
    """
    from i2i.cli.tables import print_table
    from i2i.errors import UsageError, one_line
    from i2i.evaluation.comparing import compare_scores
    from i2i.files import check_output, write_text
    from i2i.report.page import page_of
    from i2i.report.record import labels, read_run, refuse_no_run

    if out:
        check_output(out, overwrite, ".html")
    for place, folder in enumerate(runs):
        refuse_no_run(folder)
        if folder.resolve() in {other.resolve() for other in runs[:place]}:
            raise UsageError(f"{folder} is given twice. Name each run folder once.")
    with status.shown(), status.doing("Reading the runs"):
        records, names = [read_run(folder) for folder in runs], labels(runs)
        scored, notes = ([], []) if no_scores else compare_scores(records, names)
    if as_json:
        json_output.print_json("compare", _to_json(records, names, scored, notes))
    else:
        print_table(_table(records, names, scored))
        for one in scored:
            click.echo(one_line(f"{one.title}: {one.caption}."))
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if out:
        write_text(out, page_of(records, names, scored, notes))
    said = f"Page: {out}" if out else "With -o compare.html, a page shows curves and samples too."
    click.echo(said, err=as_json)


def _table(runs: "Sequence[RunRecord]", names: "Sequence[str]", tables: "Sequence[Scored]") -> "Table":
    """Return a table for the terminal: a column for each run."""
    from rich.markup import escape
    from rich.table import Table

    from i2i.errors import one_line
    from i2i.report.sections import differing, facts_of

    def clean(value: object) -> str:
        return escape(one_line(value))

    table = Table()
    table.add_column("")
    for name in names:
        table.add_column(clean(name))
    facts = [facts_of(run) for run in runs]
    for fact in dict.fromkeys(name for one in facts for name in one):
        table.add_row(fact, *(clean(one.get(fact, "–")) for one in facts))
    for title, rows in (
        ("Settings that differ", differing(runs)),
        *((one.title, _scores(one, names)) for one in tables),
    ):
        table.add_section()
        table.add_row(f"[bold]{clean(title)}[/bold]" if rows else f"{clean(title)}: none")
        for name, values in rows.items():
            table.add_row(clean(name), *map(clean, values))
    return table


def _scores(scored: "Scored", names: "Sequence[str]") -> dict[str, list[str]]:
    """Return a row for each score: the value and interval of each run."""
    from i2i.report.scored import heading, shown_interval

    rows = {}
    for column in scored.columns:
        cells = ["–"] * len(names)
        for place, model in zip(scored.runs, scored.models, strict=True):
            ends = model.intervals.get(column.name)
            interval = f" ({shown_interval(column, ends)})" if ends else ""
            cells[place] = column.show(model.values[column.name]) + interval
        rows[heading(column)] = cells
    return rows


def _to_json(
    runs: "Sequence[RunRecord]", names: "Sequence[str]", tables: "Sequence[Scored]", notes: "Sequence[str]"
) -> dict[str, Any]:
    """Return what is printed as plain values; docs/json.md describes them."""
    from i2i.report.sections import differing, facts_of

    return {
        "runs": [
            {"name": name, "folder": str(run.folder), "images": run.images, "facts": facts_of(run)}
            for run, name in zip(runs, names, strict=True)
        ],
        "settings_that_differ": differing(runs),
        "scores": [
            {
                "title": one.title,
                "measured_with": one.caption,
                "models": [model._asdict() for model in one.models],
                "trivial": [answer._asdict() for answer in one.trivial],
            }
            for one in tables
        ],
        "notes": list(notes),
    }
