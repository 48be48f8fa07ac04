"""`i2i encode`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count


@click.command(
    cls=ModelCommand,
    short_help="Find the latents of pictures, with a model's encoder.",
    epilog="""\b
Examples:
  i2i encode photos -m runs/vae -o latents.npy --fit resize
  i2i generate -m runs/vae --latents latents.npy -o reconstructions.png
  i2i encode pictures/a.png pictures/b.png -m runs/vae -o both.npy --fit resize
  i2i interpolate -m runs/vae --latents both.npy -o walk.webp
""",
)
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE|FOLDER...")
@options.model
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .npy file to write.")
@click.option("--fit", type=click.Choice(["resize"]), help="Squeeze pictures of other sizes, instead of refusing them.")
@options.device
@options.overwrite
@json_output.flag
def encode(
    pictures: tuple[str, ...], model: str, output: Path, fit: str | None, device: str, overwrite: bool, as_json: bool
) -> None:
    """Find the latents of pictures, for models with an encoder (vae): one row of an .npy file for each.

    The number and name of each row are printed. `generate` and `interpolate` take the file with --latents.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.files import check_output
            from i2i.images.listing import find_inputs, list_given
            from i2i.runtime.encoder import ImageEncoder
            from i2i.runtime.latents import write_latents

        check_output(output, overwrite, ".npy")
        notes: list[str] = []
        files = list_given(find_inputs(pictures), notes)
        encoder = ImageEncoder.open(model, device)
        with status.doing("Encoding the pictures"):
            latents = encoder(files, resize=fit == "resize")
    write_latents(output, latents)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    for row, path in enumerate(files):
        click.echo(f"{row} {path}", err=as_json)
    count, where = show_count(len(files), "picture"), encoder.backend.device
    click.echo(f"{count} encoded on {where}, written to {output}.", err=True)
    if as_json:
        pictures = tuple(map(str, files))
        json_output.print_json("encode", {"output": str(output), "device": str(where), "pictures": pictures})
