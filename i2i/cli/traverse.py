"""`i2i traverse`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count

_ROWS = 8


@click.command(
    cls=ModelCommand,
    short_help="Change one code of a latent and nothing else.",
    epilog="""\b
Examples:
  i2i traverse -m runs/clothes --code label -o classes.png
  i2i traverse -m faces.onnx --code noise:0 --seeds 3,17 --steps 12 --range -2 2 -o first.png
  i2i traverse -m runs/faces --code noise:4 -o fourth.png
""",
)
@options.model
@click.option("--code", required=True, help="A block of the latent by name, or one of its numbers, from 0: noise:4.")
@click.option("--seeds", type=options.SeedList(), help="The rows, by their numbers in a grid: 3,17.  [default: 0 to 7]")
@options.label
@options.text
@options.latents
@click.option("--steps", type=click.IntRange(2), help="Values of a number, one a column.  [default: 10]")
@click.option(
    "--range",
    "bounds",
    type=(float, float),
    metavar="LO HI",
    help="The first and the last value.  [default: -1 1 of uniform codes, -2 2 of normal ones]",
)
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .png file to write.")
@options.device
@options.overwrite
def traverse(
    model: str,
    code: str,
    seeds: tuple[int, ...] | None,
    labels: tuple[tuple[str, ...], ...],
    texts: tuple[str, ...],
    latents: Path | None,
    steps: int | None,
    bounds: tuple[float, float] | None,
    output: Path,
    device: str,
    overwrite: bool,
) -> None:
    """Change one code of a latent and nothing else, as one grid: a row for each seed, a column for each value.

    A code with classes goes through all of them. Unless a model was trained to give its codes a meaning, as InfoGAN
    is, a single number may change anything.
    """
    rows = range(_ROWS) if seeds is None and latents is None else seeds
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.generation import choose, refuse_both, refuse_grid, write_traversal
            from i2i.runtime.generator import ImageGenerator

        refuse_both(rows, latents)
        refuse_grid(output, overwrite)
        generator = ImageGenerator.open(model, device)
        chosen = choose(generator, rows, latents, labels, texts)
        with status.doing("Making the pictures"):
            count = write_traversal(generator, chosen, code, output, steps, bounds, overwrite)
    click.echo(f"{show_count(count, 'picture')} made on {generator.backend.device}, written to {output}.", err=True)
