"""`i2i interpolate`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count


@click.command(
    cls=ModelCommand,
    short_help="Walk from picture to picture through the latents.",
    epilog="""\b
Examples:
  i2i interpolate -m runs/faces --seeds 3,17,3 --steps 10 -o strip.png
  i2i interpolate -m faces.onnx --seeds 3,17,25 --steps 30 --loop -o walk.webp
  i2i interpolate -m runs/clothes --seeds 3,3 --label Bag --label Coat -o change.png
  i2i interpolate -m runs/styles --seeds 3,17 --space w -o styles.png
  i2i interpolate -m runs/hues --seeds 3,3 --text "red fish" --text "blue fish" -o hues.png
""",
)
@options.model
@click.option("--seeds", type=options.SeedList(), help="The stops, by their numbers in a grid: 3,17,3.")
@options.label
@options.text
@options.truncation
@options.latents
@click.option(
    "--space",
    type=click.Choice(["z", "w"]),
    default="z",
    show_default=True,
    help="What the walk leads through: latents, or the styles that a model makes of them.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=10, show_default=True, help="Steps from each stop to the next."
)
@click.option(
    "-o", "--output", required=True, type=options.OutputPath(), help="Strip (.png) or animation (.webp, .gif)."
)
@click.option(
    "--fps", type=click.IntRange(1, 50), default=12, show_default=True, help="Pictures a second in an animation."
)
@click.option("--loop", is_flag=True, help="Continue from the last stop to the first.")
@options.device
@options.overwrite
def interpolate(
    model: str,
    seeds: tuple[int, ...] | None,
    labels: tuple[tuple[str, ...], ...],
    texts: tuple[str, ...],
    truncation: float | None,
    latents: Path | None,
    space: str,
    steps: int,
    output: Path,
    fps: int,
    loop: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Walk from picture to picture through the latents between them.

    A strip has a row for each leg, with its stops at both ends. Animations repeat; with --loop they do so without a
    jump.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.generation import choose, refuse_both, refuse_walk, write_walk
            from i2i.runtime.generator import ImageGenerator

        refuse_both(seeds, latents)
        refuse_walk(output, overwrite)
        generator = ImageGenerator.open(model, device)
        stops = choose(generator, seeds, latents, labels, texts, truncation)
        with status.doing("Making the pictures"):
            count = write_walk(generator, stops, output, steps, fps, loop, overwrite, space)
    click.echo(f"{show_count(count, 'picture')} made on {generator.backend.device}, written to {output}.", err=True)
