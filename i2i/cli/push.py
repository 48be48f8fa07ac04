"""`i2i push`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import commands, options
from i2i.cli.card import author, heading, licence


@click.command(
    cls=commands.ModelCommand,
    short_help="Upload the model of a run to the Hugging Face Hub.",
    epilog="""\b
Examples:
  i2i push runs/lineart anna/lineart --dry-run hub --licence mit
""",
)
@commands.run
@click.argument("repository", metavar="NAMESPACE/NAME")
@click.option("--dry-run", type=options.OutputPath(), help="Write what would be uploaded into this new folder instead.")
@click.option("--private", is_flag=True, help="A new repository is seen by its owner alone.")
@heading
@licence
@author
def push(
    run: Path,
    repository: str,
    dry_run: Path | None,
    private: bool,
    name: str | None,
    licence: str | None,
    author: str | None,
) -> None:
    """Upload the model of a run to the Hugging Face Hub, with its card, settings and newest samples.

    The card is that of `i2i card`. Paths of your pictures are left out of the settings. Log in first, with
    `hf auth login`. The model can then be used as hf://NAMESPACE/NAME wherever a model is asked for.
    """
    with status.shown():
        from i2i.interop.pushing import PushOptions, stage
        from i2i.interop.pushing import push as upload

        chosen = PushOptions(name, licence, author, private)
        if dry_run:
            for file in stage(run, repository, dry_run, chosen):
                click.echo(str(file))
            return
        click.echo(upload(run, repository, chosen))
