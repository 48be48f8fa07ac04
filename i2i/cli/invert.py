"""`i2i invert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.runtime.inverter import Found, PixelError


@click.command(
    cls=ModelCommand,
    short_help="Find the latents of pictures by optimisation.",
    epilog="""\b
Examples:
  i2i invert pictures/a.png -m runs/faces -o found.npy --fit resize --sheet found.png
  i2i invert pictures -m runs/clothes --label Bag -o bags.npy --fit resize --steps 50
""",
)
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE|FOLDER...")
@options.model
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .npy file to write.")
@click.option("--sheet", type=options.OutputPath(), help="A .png of each picture, what was found, and the best draw.")
@click.option("--fit", type=click.Choice(["resize"]), help="Squeeze pictures of other sizes, instead of refusing them.")
@click.option("--steps", type=click.IntRange(0, 100_000), help="Steps of the optimisation.  [default: 300]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the 256 draws.")
@click.option("--label", type=options.LabelNames(), default=(), help="Classes by name, if the model knows labels.")
@click.option("--text", help="What the picture shows, in words, if the model knows texts.")
@options.device
@options.overwrite
@json_output.flag
def invert(
    pictures: tuple[str, ...],
    model: str,
    output: Path,
    sheet: Path | None,
    fit: str | None,
    steps: int | None,
    seed: int,
    label: tuple[str, ...],
    text: str | None,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find the latents of pictures by optimisation, for every model that generates: one row of an .npy file for each.

    The rows are printed with their errors (mean difference of 255 levels, and PSNR), beside the controls: the best of
    256 random draws, the mean picture of them all, and the model's encoder if it has one. `generate`, `interpolate`,
    `traverse` and `arithmetic` take the file.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.errors import UsageError
            from i2i.files import check_output
            from i2i.generation import write_found
            from i2i.images.listing import find_inputs, list_given
            from i2i.runtime.inverter import STEPS, Inverter

        check_output(output, overwrite, ".npy")
        if sheet:
            check_output(sheet, overwrite, ".png")
        notes: list[str] = []
        files = list_given(find_inputs(pictures), notes)
        if not files:
            raise UsageError("There are no pictures to invert. Give files, or folders that hold some.")
        inverter = Inverter.open(model, device)
        images, found = [inverter.read(path, fit == "resize") for path in files], []
        for path, image in zip(files, images, strict=True):
            with status.doing(f"Looking for {path.name}"):
                found.append(inverter(image, STEPS if steps is None else steps, seed, label, text))
    write_found(found, output, sheet)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    for row, (path, one) in enumerate(zip(files, found, strict=True)):
        click.echo(f"{row} {path}: {_told(one)}", err=as_json)
    count = show_count(len(files), "picture")
    click.echo(f"{count} inverted on {inverter.device}, written to {output}.", err=True)
    if as_json:
        rows = [{"picture": str(path), **_plain(one)} for path, one in zip(files, found, strict=True)]
        json_output.print_json("invert", {"output": str(output), "device": str(inverter.device), "pictures": rows})


def _told(found: "Found") -> str:
    """Return what a latent is worth, and what came without optimisation."""
    others = [f"best draw {_shown(found.drawn)}", f"mean picture {_shown(found.mean)}"]
    if found.encoded:
        others.insert(0, f"encoder {_shown(found.encoded)}")
    reach = f", latent {found.reach:.2f} times as long as draws" if found.reach else ""
    return f"L1 {_shown(found.error)}{reach}; without optimisation: {', '.join(others)}"


def _shown(error: "PixelError") -> str:
    return f"{error.l1:.2f} ({error.psnr:.1f} dB)"


def _plain(found: "Found") -> dict[str, Any]:
    """Return the same as `_told`, for JSON."""
    errors = {name: getattr(found, name) for name in ("error", "drawn", "mean", "encoded")}
    return {name: one and one._asdict() for name, one in errors.items()} | {"reach": found.reach}
