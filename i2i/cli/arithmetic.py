"""`i2i arithmetic`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelCommand


@click.command(
    cls=ModelCommand,
    epilog="""\b
Examples:
  i2i arithmetic -m runs/faces 3,8,12 5,9,2 1,4,7 -o sum.png
  i2i arithmetic -m runs/clothes 3,8 5,9 1,4 --label Coat -o coat.png
  i2i arithmetic -m runs/vae latents.npy 5,9,2 1,4,7 -o changed.png
""",
)
@options.model
@click.argument("a", type=options.SeedsOrLatents())
@click.argument("b", type=options.SeedsOrLatents())
@click.argument("c", type=options.SeedsOrLatents())
@options.label
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .png file to write.")
@options.save_latents
@options.device
@options.overwrite
def arithmetic(
    model: str,
    a: tuple[int, ...] | Path,
    b: tuple[int, ...] | Path,
    c: tuple[int, ...] | Path,
    labels: tuple[tuple[str, ...], ...],
    output: Path,
    save_latents: Path | None,
    device: str,
    overwrite: bool,
) -> None:
    """Subtract one quality of pictures and add another: A - B + C.

    A, B and C are seeds of pictures that have something in common, read off a grid; three or more of each average out
    what they do not share. For example: man with glasses - man + woman. The output shows them, the picture of each
    mean latent, and the result, whose latent --save-latents keeps. --label fixes the class that a seed would draw;
    given three times, the class changes along with the rest.

    In place of seeds, each may be an .npy file of latents: with what `invert` found for your own picture as A, only
    the difference of C and B changes.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.files import check_output
            from i2i.generation import refuse_grid, write_arithmetic
            from i2i.runtime.generator import ImageGenerator
            from i2i.runtime.latents import write_latents

        if save_latents:
            check_output(save_latents, overwrite, ".npy")
        refuse_grid(output, overwrite)
        generator = ImageGenerator.open(model, device)
        with status.doing("Making the pictures"):
            result = write_arithmetic(generator, (a, b, c), output, overwrite, labels)
    if save_latents:
        write_latents(save_latents, result)
    click.echo(f"Made on {generator.backend.device}, written to {output}.", err=True)
