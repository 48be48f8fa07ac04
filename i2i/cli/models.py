"""`i2i models`."""

from typing import TYPE_CHECKING, Any

import click

from i2i.cli import json_output

if TYPE_CHECKING:
    from i2i.models.shipped import Card


@click.command(
    short_help="List models that ship with i2i or were fetched.",
    epilog="""\b
Examples:
  i2i models
  i2i models lineart
""",
)
@click.argument("name", required=False)
@json_output.flag
def models(name: str | None, as_json: bool) -> None:
    """List the trained models that ship with i2i, and those fetched from the hub; or print the card of one.

    Use them by name, as in -m lineart or -m hf://anna/lineart.
    """
    from i2i.models.shipped import read_card, shipped_folder, shipped_names

    fetched = [] if name else _fetched()
    cards = {each: read_card(each) for each in ([name] if name else shipped_names())}
    if as_json:
        shown = {"models": {each: card.model_dump() for each, card in cards.items()}}
        json_output.print_json("models", shown if name else {**shown, "fetched": fetched})
    elif name:
        for key, value in cards[name].model_dump().items():
            if key == "scores":
                value = ", ".join(f"{metric} {score:g}" for metric, score in value.items())
            click.echo(f"{key + ':':10}{value}")
        click.echo(f"picture:  {shipped_folder() / name}.png")
    else:
        _table(cards)
        if fetched:
            _table_of_fetched(fetched)


def _fetched() -> list[dict[str, Any]]:
    """Return address, task, algorithm and size of each model that was fetched and is one of i2i's."""
    from i2i.errors import I2IError
    from i2i.models.hub import downloaded
    from i2i.models.modelfile import is_onnx, read_spec
    from i2i.models.onnxfile import check_onnx
    from i2i.models.trial import described_spec

    found = []
    for address, path in downloaded().items():
        try:
            spec = described_spec(path, check_onnx(path)) if is_onnx(path) else read_spec(path)
        except (I2IError, OSError):
            continue  # of another project, whose models share the cache
        if spec:
            megabytes = round(path.stat().st_size / 1e6, 1)
            found.append({"address": address, "task": spec.task, "algorithm": spec.algorithm, "megabytes": megabytes})
    return found


def _table_of_fetched(fetched: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from i2i.cli.tables import print_table

    table = Table()
    for column in ("fetched from the hub", "what it does", "algorithm", "MB"):
        table.add_column(column)
    for one in fetched:
        table.add_row(one["address"], one["task"], one["algorithm"], f"{one['megabytes']:.1f}")
    print_table(table)


def _table(cards: "dict[str, Card]") -> None:
    """Print what each model does, its size, and where its picture is."""
    from rich.table import Table

    from i2i.cli.tables import print_table
    from i2i.models.shipped import shipped_folder

    table = Table()
    for column in ("name", "what it does", "trained on", "MB", "picture"):
        table.add_column(column)
    for name, card in cards.items():
        megabytes = (shipped_folder() / f"{name}.safetensors").stat().st_size / 1e6
        table.add_row(name, card.title, card.data, f"{megabytes:.1f}", f"{name}.png")
    print_table(table)
    click.echo(f"Pictures: {shipped_folder()}")
