"""`i2i card`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import commands, options

heading = click.option("--name", help="Heading of the card.  [default: the last part of RUN or NAME]")
licence = click.option("--licence", help="Licence of the model, as hubs name it: mit, apache-2.0, cc-by-4.0.")
author = click.option("--author", help="Who made the model.")


@click.command(
    cls=commands.ModelCommand,
    short_help="Write the model card of a run.",
    epilog="""\b
Examples:
  i2i card runs/lineart
  i2i card runs/lineart -o CARD.md --licence mit --author "A. Artist"
""",
)
@commands.run
@click.option("-o", "--output", type=options.OutputPath(), help="The Markdown file to write.  [default: print it]")
@heading
@licence
@author
@options.overwrite
def card(
    run: Path, output: Path | None, name: str | None, licence: str | None, author: str | None, overwrite: bool
) -> None:
    """Write the model card of a run: what it is, how it scored, its limits, how it was trained and is used.

    In Markdown, with the header that model hubs read. Everything in it comes from the run folder.
    """
    with status.shown():
        from i2i.files import check_output, write_text
        from i2i.report.card import Naming, model_card
        from i2i.report.record import read_run, refuse_no_run

        if output:
            check_output(output, overwrite)
        refuse_no_run(run)
        text = model_card(read_run(run), Naming(name or run.resolve().name, str(run), licence, author))
    if output:
        write_text(output, text)
        click.echo(f"{output} written.", err=True)
    else:
        click.echo(text, nl=False)
