"""`i2i doctor`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import json_output, options


@click.command(
    short_help="Examine this machine, or a folder of data.",
    epilog="""\b
Examples:
  i2i doctor
  i2i doctor datasets/lineart
  i2i doctor photos/A photos/B --json
""",
)
@click.argument("data", nargs=-1, type=click.Path(path_type=str))
@click.option("--labels", help="Labels as in data.labels: folders, or a CSV file with name and label columns.")
@click.option("--text", help="The column of that file with texts, as in data.text, which are no classes.")
@json_output.flag
@click.option(
    "--sheet", type=options.OutputPath(), help="Also write some of the pictures to this file, as one picture."
)
@options.overwrite
def doctor(
    data: tuple[str, ...], labels: str | None, text: str | None, as_json: bool, sheet: Path | None, overwrite: bool
) -> None:
    """Examine this machine or, given DATA (a folder, or A's and B's), the pictures before training.

    Without DATA: versions, devices and known traps, for you or for a bug report. With DATA: pictures that are
    unmatched, broken, constant or near-duplicates, test pictures that are also in train, as they are or mirrored, pairs
    that look shuffled or shifted, and sizes, depths and profiles that differ. A preset is suggested.
    """
    if data:
        _look_at_data(data, labels, text, as_json, sheet, overwrite)
        return
    if labels or text or sheet:
        raise click.UsageError("--labels, --text and --sheet need DATA: name a data folder.")
    with status.shown():
        from i2i.runtime.doctor import examine

        with status.doing("Examining the machine"):
            facts, traps = examine()
    if as_json:
        json_output.print_json("doctor", {"facts": facts, "traps": traps})
        return
    for name, fact in facts.items():
        click.echo(f"{name + ':':14} {fact}")
    for trap in traps:
        click.echo(f"Trap: {trap}")
    if not traps:
        click.echo("No known trap.")


def _look_at_data(
    data: tuple[str, ...], labels: str | None, text: str | None, as_json: bool, sheet: Path | None, overwrite: bool
) -> None:
    from i2i.data.items import read_picture
    from i2i.files import check_output, write_bytes
    from i2i.images import shown
    from i2i.metrics.examine import examine_data, lines
    from i2i.report.sheets import grid_png, sheet_png

    if sheet:
        check_output(sheet, overwrite, ".png")
    with status.shown():
        report = examine_data(data, labels, text)
    if as_json:
        json_output.print_json("doctor", report.to_json())
    else:
        click.echo("\n".join(lines(report, data)))
    if sheet:
        rows = [[shown(read_picture(picture), picture.layout) for picture in row] for row in report.examples]
        paired = report.kind == "paired"
        names = [row[0].name for row in report.examples]
        write_bytes(sheet, sheet_png(rows, ["A", "B"]) if paired else grid_png([row[0] for row in rows], names))
