"""`i2i generate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from i2i.generation import Chosen


@click.command(
    cls=ModelCommand,
    short_help="Make pictures from noise.",
    epilog="""\b
Examples:
  i2i generate -m runs/faces -n 64 --seed 1 -o grid.png
  i2i generate -m faces.onnx -n 8 --separate -o faces
  i2i generate -m runs/ring -n 2000 -o cloud.png
  i2i generate -m runs/clothes --label Bag -o bags.png
  i2i generate -m runs/hues --text "red fish" -o fish.png
  i2i generate -m runs/faces -n 4 --then lineart -o drawn.png
  i2i generate -m runs/styles --truncation 0.7 -o better.png
  i2i generate -m runs/shapes -n 1 --size 512x384 -o large.png
  i2i generate -m runs/relief -n 1 --size 256x256 --tile --separate -o tiles
  i2i generate -m runs/ppgn --towards 3 --steps 200 -o threes.png
""",
)
@options.model
@click.option("-n", "count", type=click.IntRange(1, 100_000), help="How many to make.  [default: 64]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the first picture; the others have the numbers after it.  [default: 0]",
)
@options.label
@options.text
@click.option(
    "--towards",
    type=options.LabelNames(),
    default=(),
    help="Walk the latents towards a class of the model's own classifier; models of plug_and_play only.",
)
@click.option("--steps", type=click.IntRange(1, 10_000), help="Steps of that walk.  [default: 200]")
@options.truncation
@options.latents
@click.option(
    "--size",
    type=options.WidthByHeight(),
    help="Width x height of the pictures, if the model makes any size.  [default: as in training]",
)
@click.option("--tile", is_flag=True, help="Of textures: let each border continue the one opposite, for tiles.")
@options.then
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .png file or folder to write.")
@click.option("--separate", is_flag=True, help="Write single files into the folder -o, named by seed: 000001.png.")
@options.save_latents
@options.device
@options.overwrite
def generate(
    model: str,
    count: int | None,
    seed: int | None,
    labels: tuple[tuple[str, ...], ...],
    texts: tuple[str, ...],
    towards: tuple[str, ...],
    steps: int | None,
    truncation: float | None,
    latents: Path | None,
    size: tuple[int, int] | None,
    tile: bool,
    then: tuple[str, ...],
    output: Path,
    separate: bool,
    save_latents: Path | None,
    device: str,
    overwrite: bool,
) -> None:
    """Make pictures from noise, as one grid with the seed under each.

    The same seed gives the same picture everywhere, up to rounding. Pictures of --latents are numbered by row, from 0.
    If the model makes points, the output is a picture of all of them.
    """
    first = seed or 0
    seeds = None if latents and count is None and seed is None else range(first, first + (count or 64))
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.generation import choose, refuse_both, write_grid, write_pictures
            from i2i.runtime.chain import open_following
            from i2i.runtime.generator import ImageGenerator
            from i2i.runtime.latents import write_latents

        refuse_both(seeds, latents)
        _check_outputs(output, (seeds or ()) if separate else None, save_latents, overwrite)
        generator = ImageGenerator.open(model, device, size, tile)
        generator.following = open_following(then, generator.spec, generator.generator, device)
        chosen = choose(generator, seeds, latents, labels, texts, truncation)
        if towards or steps:
            chosen = _walk(chosen, model, device, towards, steps)
        with status.doing("Making the pictures"):
            (write_pictures if separate else write_grid)(generator, chosen, output, overwrite)
    if save_latents:
        write_latents(save_latents, chosen.latents)
    made = show_count(len(chosen.latents), "point" if generator.makes_points else "picture")
    click.echo(f"{made} made on {generator.backend.device}, written to {output}.", err=True)


def _check_outputs(output: Path, separate: "Sequence[int] | None", save_latents: Path | None, overwrite: bool) -> None:
    """Raise UsageError unless a grid, or single pictures of the seeds `separate`, and the latents can be written."""
    from i2i.files import check_output
    from i2i.generation import refuse_grid, refuse_separate

    if save_latents:
        check_output(save_latents, overwrite, ".npy")
    if separate is None:
        refuse_grid(output, overwrite)
    else:
        refuse_separate(output, separate, overwrite)


def _walk(chosen: "Chosen", model: str, device: str, towards: tuple[str, ...], steps: int | None) -> "Chosen":
    """Return the latents after their walk towards a class."""
    from i2i.errors import UsageError
    from i2i.runtime.towards import STEPS, Guide

    if not towards:
        raise UsageError("--steps is the length of a walk, and there is none. Add --towards CLASS.")
    guide = Guide.open(model, device)
    with status.doing(f"Walking towards {', '.join(towards)}"):
        return chosen._replace(latents=guide(chosen.latents, towards, chosen.numbers, steps or STEPS))
