"""`i2i models`."""

from typing import TYPE_CHECKING

import click

from i2i.cli import json_output

if TYPE_CHECKING:
    from i2i.models.shipped import Card


@click.command(
    epilog="""\b
Examples:
  i2i models
  i2i models lineart
"""
)
@click.argument("name", required=False)
@json_output.flag
def models(name: str | None, as_json: bool) -> None:
    """List the trained models that ship with i2i, or print the card of one. Use them by name: -m NAME."""
    from i2i.models.shipped import read_card, shipped_folder, shipped_names

    cards = {each: read_card(each) for each in ([name] if name else shipped_names())}
    if as_json:
        json_output.print_json("models", {"models": {each: card.model_dump() for each, card in cards.items()}})
    elif name:
        for key, value in cards[name].model_dump().items():
            if key == "scores":
                value = ", ".join(f"{metric} {score:g}" for metric, score in value.items())
            click.echo(f"{key + ':':10}{value}")
        click.echo(f"picture:  {shipped_folder() / name}.png")
    else:
        _table(cards)


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
