"""`i2i breed`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelCommand


@click.command(
    cls=ModelCommand,
    short_help="Choose among nine pictures, and breed the next nine.",
    epilog="""\b
Examples:
  i2i breed -m runs/faces -o litter
  i2i breed -m fashion -o clothes --seed 7 --mutation 0.5
  i2i breed -m runs/faces -o bred --keep 2,5
""",
)
@options.model
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The folder of the generations.")
@click.option(
    "--keep", type=options.SeedList(), metavar="NUMBERS", default=(), help="Pictures of the newest sheet, as in 2,5."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all draws.")
@click.option(
    "--mutation",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Share of each child that is new: 0 recombines alone, 1 forgets the parents.",
)
@options.device
def breed(model: str, output: Path, keep: tuple[int, ...], seed: int, mutation: float, device: str) -> None:
    """Choose among nine pictures, and breed the next nine from the chosen, again and again.

    Without --keep, the folder gets its first sheet, 000.png. With it, the chosen stay and have children on the next
    sheet: each number of a child's latent comes from one of two of them, and all change a little. Latents lie beside
    the sheets, for `generate`, `interpolate` and `arithmetic`.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i import breeding
            from i2i.runtime.generator import ImageGenerator

        generator = ImageGenerator.open(model, device)
        with status.doing("Making the pictures"):
            made = breeding.breed(generator, output, keep, seed, mutation)
    click.echo(f"Generation {made.number} written to {made.sheet}. Go on with --keep and numbers on it.", err=True)
