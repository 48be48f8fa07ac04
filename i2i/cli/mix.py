"""`i2i mix`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count


@click.command(
    cls=ModelCommand,
    short_help="Mix the styles of pictures, as one grid.",
    epilog="""\b
Examples:
  i2i mix -m runs/styles --coarse 3,8,12 --fine 5,9 -o mixes.png
  i2i mix -m styles.onnx --coarse 3 --fine 5 --from-px 16 --truncation 0.7 -o mix.png
""",
)
@options.model
@click.option("--coarse", required=True, type=options.SeedList(), help="Seeds of the pictures that give the shape.")
@click.option("--fine", required=True, type=options.SeedList(), help="Seeds of those that give colours and details.")
@click.option("--from-px", type=int, help="Side from which the fine ones take over.  [default: half of the picture's]")
@options.truncation
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .png file to write.")
@options.device
@options.overwrite
def mix(
    model: str,
    coarse: tuple[int, ...],
    fine: tuple[int, ...],
    from_px: int | None,
    truncation: float | None,
    output: Path,
    device: str,
    overwrite: bool,
) -> None:
    """Mix the styles of pictures: coarse ones of some, fine ones of others, as one grid.

    A row for each seed of --coarse, a column for each of --fine. Only models with styles can mix, as those of the
    preset style_fashion.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.generation import choose, refuse_grid, write_mixes
            from i2i.runtime.generator import ImageGenerator

        refuse_grid(output, overwrite)
        generator = ImageGenerator.open(model, device)
        rows, columns = (choose(generator, seeds, None, truncation=truncation) for seeds in (coarse, fine))
        with status.doing("Making the pictures"):
            count = write_mixes(generator, rows, columns, output, from_px, overwrite)
    made = show_count(count, "mix", "mixes")
    click.echo(f"{made} made on {generator.backend.device}, written to {output}.", err=True)
