"""`i2i bench`."""

from typing import TYPE_CHECKING

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.runtime.timing import Timing


@click.command(
    cls=ModelCommand,
    short_help="Time a model on this machine.",
    epilog="""\b
Examples:
  i2i bench -m model.onnx --seconds 0.5
  i2i bench -m runs/lineart --size 64x64 --size 128x96 --batch 1
  i2i bench -m faces.onnx --batch 16 --threads 1 --json
""",
)
@options.model
@options.direction
@click.option(
    "--size",
    "sizes",
    type=options.WidthByHeight(9999),
    multiple=True,
    help="Width x height in pixels; repeat it for more.  [default: as trained, and twice that]",
)
@click.option(
    "--batch", "batches", type=click.IntRange(1), multiple=True, default=(1, 4), show_default=True, help="Repeatable."
)
@click.option(
    "--seconds", type=click.FloatRange(0, 3600), default=1.0, show_default=True, help="Time for each size and batch."
)
@options.device
@options.backend
@click.option("--threads", type=click.IntRange(1), help="Threads on a CPU.  [default: all cores]")
@json_output.flag
def bench(
    model: str,
    direction: str | None,
    sizes: tuple[tuple[int, int], ...],
    batches: tuple[int, ...],
    seconds: float,
    device: str,
    backend: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Time a model on this machine: the median and the slowest 5% of its calls, by size and batch.

    The network alone is timed, on noise, without reading and writing pictures. Nothing else should run meanwhile.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.models.spec import GENERATE
            from i2i.runtime.backends import open_backend, picking
            from i2i.runtime.timing import time_calls

        pick = picking(direction)
        spec, opened, part = open_backend(
            model, lambda spec: GENERATE if spec.task == "generate" else pick(spec), device, backend, threads
        )
        with status.doing("Timing"):
            timings = list(time_calls(spec, part, opened, sizes, batches, seconds))
    if as_json:
        machine = {"device": opened.device, "library": opened.name, "threads": opened.threads}
        json_output.print_json("bench", {"model": model, **machine, "timings": [one._asdict() for one in timings]})
        return
    _print(timings)
    used = f", {show_count(opened.threads, 'thread')}" if opened.device == "cpu" else ""
    click.echo(f"{opened.name} on {opened.device}{used}.")
    for note in opened.notes:
        click.echo(f"Note: {note}", err=True)


def _print(timings: "list[Timing]") -> None:
    from rich.table import Table

    from i2i.cli.tables import print_table

    table = Table()
    for column in ("width x height", "batch", "calls", "p50 ms", "p95 ms", "images/s"):
        table.add_column(column, justify="right")
    for one in timings:
        size = f"{one.width}x{one.height}" if one.height else "from noise"
        table.add_row(
            size,
            str(one.batch),
            str(one.calls),
            f"{one.p50_ms:.2f}",
            f"{one.p95_ms:.2f}",
            f"{one.images_per_second:.1f}",
        )
    print_table(table)
