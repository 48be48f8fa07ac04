"""`i2i translate`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.clips import translate_clips
from i2i.cli.cluster import Work, find_work, refuse_for_ray
from i2i.cli.commands import ModelCommand
from i2i.cli.translation_summary import counted, notes_on, show_progress, show_summary, summed_up
from i2i.errors import SOME_REFUSED, UsageError, one_line, stop_code
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.models.spec import Part
    from i2i.runtime.fit import How, Tiling
    from i2i.runtime.outcome import Result
    from i2i.runtime.picture_options import PictureOptions
    from i2i.runtime.tasks import Tasks
    from i2i.runtime.translator import Translator


@click.command(
    cls=ModelCommand,
    short_help="Translate pictures, folders and videos.",
    epilog="""\b
Examples:
  i2i translate photo.jpg -m lineart
  i2i translate photo.jpg -m runs/lineart -o drawing.png
  i2i translate photos -m model.onnx -o drawings
  i2i translate photos/*.png photo.jpg -m model.onnx -o drawings
  i2i translate photos -m model.onnx -o shares --shard 1/2 --report failures.json
  i2i translate photo.jpg -m runs/things --label shoe,red -o shoe.png
  i2i translate photo.jpg -m lineart --then colour -o recoloured.png
  i2i translate clip.mp4 -m lineart -o drawn.mp4
  i2i translate frames -m lineart -o drawn.mp4 --fps 12
""",
)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@options.model
@click.option(
    "-o",
    "--output",
    type=options.OutputPath(),
    help="Picture or folder to write.  [default: the folder `translated`]",
)
@options.direction
@options.then
@options.translated_label
@options.device
@options.backend
@options.value_range
@options.output_value_range
@click.option(
    "--fit",
    type=click.Choice(["pad", "resize", "crop", "tile"]),
    help="How a picture comes to a size that the model takes.  [default: pad, and tile what is too big for memory]",
)
@click.option(
    "--tile",
    type=click.Choice(["frozen", "exact"]),
    help="Norm statistics of tiles: from a small copy, or exactly the picture's own, which takes longer.",
)
@click.option("--tile-px", type=click.IntRange(min=16), help="Side of the tiles.  [default: what memory allows]")
@click.option(
    "--temporal",
    type=click.FloatRange(0, 1, max_open=True),
    default=0,
    metavar="WEIGHT",
    help="Smooth videos over time: the weight of what came before, where the input stays as it was.",
)
@click.option(
    "--fps",
    type=click.FloatRange(0, 1000, min_open=True),
    default=25,
    show_default=True,
    help="Frames a second of a video that is made of the pictures in a folder.",
)
@click.option("--skip-existing", is_flag=True, help="Leave outputs that exist and do the rest.")
@options.overwrite
@click.option("--in-place", is_flag=True, help="Replace the inputs themselves, instead of -o.")
@click.option(
    "--shard", type=options.Share(), help="Do the K-th of N shares of a folder, so that N machines do it all."
)
@click.option(
    "--ray",
    metavar="auto|ADDRESS",
    help="Share the pictures out on the Ray cluster at this address, or on that of this machine, or on this machine.",
)
@click.option(
    "--workers",
    type=options.Workers(),
    default="auto",
    show_default=True,
    help="How many pictures to work on at a time; with --ray, how many sessions hold the model.",
)
@click.option("--report", type=options.OutputPath(), help="List the refused pictures in this .json file.")
@json_output.flag
@options.pictures
def translate(
    inputs: tuple[str, ...],
    model: str,
    output: Path | None,
    then: tuple[str, ...],
    fps: float,
    ray: str | None,
    workers: int | None,
    report: Path | None,
    as_json: bool,
    **choices: Any,
) -> int:
    """Translate pictures, or every picture in folders and their subfolders; or videos, with their sound.

    Pictures of any size come out at the same size and in the same format, under the same name and in the same
    subfolder, with their alpha and colour profile. A picture that cannot be read is named and the others still come
    out; the exit code is then 3. Of several inputs, each folder gets one of its own name in the output folder.
    """
    if output is None and not choices["in_place"]:
        output = Path("translated")
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.files import check_output
            from i2i.images.listing import find_inputs
            from i2i.runtime.clip_tasks import makes_clips
            from i2i.runtime.picture_options import PictureOptions

        sources = find_inputs(inputs)
        if report:  # the same command, run again, continues
            check_output(report, choices["overwrite"] or choices["skip_existing"], ".json")
        opening, listing = ({name: choices.pop(name) for name in names} for names in (_OPENING, _LISTING))
        pictures = PictureOptions(**choices)
        clips = makes_clips(sources, output)
        _refuse(pictures, clips, opening["fit"], then)
        refuse_for_ray(ray, clips or listing["in_place"])
        here = {**opening, "device": "cpu"} if ray else opening
        translator = _open(model, sources, workers, pictures.windows, **here)
        following = _open_following(then, translator, pictures.input_range, here["device"])
        last = [translator, *following][-1].generator
        pictures = pictures.for_model(translator.spec, translator.generator, last, translator.direction)
        with status.doing("Looking for pictures"):
            tasks = _list(last, sources, output, pictures, clips, **listing)
    if clips:
        result = translate_clips([translator, *following], tasks, pictures, fps, workers, report, **listing)
    else:
        args = (opening, pictures, [translator, *following], tasks, listing["overwrite"], workers)
        result = _translate(find_work(ray, model, then, *args), translator, following, tasks, output, report)
    if as_json:
        json_output.print_json("translate", _described(model, translator, following, tasks, result))
    return SOME_REFUSED if result.refused else 0


_OPENING = ("direction", "label", "device", "backend", "value_range", "output_value_range", "fit", "tile", "tile_px")
"""Options that `_open` takes."""
_LISTING = ("skip_existing", "overwrite", "in_place", "shard")
"""Options that `_list` takes; the others are fields of PictureOptions."""


def _refuse(pictures: "PictureOptions", clips: bool, fit: "How | None", then: Sequence[str]) -> None:
    """Raise UsageError for options that contradict one another."""
    if pictures.mask and fit == "crop":
        raise UsageError("--mask keeps what is around the hole, and --fit crop cuts it off. Leave one of them out.")
    if pictures.windows and (then or fit in ("crop", "resize")):
        raise UsageError("--windows goes with tiles of one model. Leave out --then and --fit crop or resize.")
    if pictures.temporal and not clips and pictures.frames == "first":
        raise UsageError("--temporal smooths videos, and animations with --frames all. Add that, or leave it out.")


def _open(
    model: str,
    sources: Sequence[Path],
    workers: int | None,
    windows: bool,
    direction: str | None,
    label: tuple[str, ...],
    device: str,
    backend: str,
    value_range: tuple[float, float] | None,
    output_value_range: tuple[float, float] | None,
    fit: "How | None",
    tile: "Tiling | None",
    tile_px: int | None,
) -> "Translator":
    """Open the model, and say what is assumed about a file without a description."""
    from i2i.runtime.backends import OnnxBackend
    from i2i.runtime.fit import make_fit
    from i2i.runtime.foreign import Values
    from i2i.runtime.pipeline import MANY, setup_for
    from i2i.runtime.translator import Translator

    threads = setup_for(MANY if any(map(Path.is_dir, sources)) else len(sources), workers).threads
    values = Values(value_range, output_value_range)
    with status.doing("Opening the model"):
        fitting = make_fit(fit, tile, tile_px, windows)
        translator = Translator.open(model, direction, device, backend, threads, fitting, values, label)
    if isinstance(translator.backend, OnnxBackend) and (form := translator.backend.form):
        meaning = {"rgb": "RGB", "rgba": "RGBA"}.get(translator.generator.in_meaning, "grey")
        click.echo(f"Note: {one_line(model)} holds no description by i2i; it is given {meaning}, {form}.", err=True)
    return translator


def _open_following(
    words: tuple[str, ...], first: "Translator", input_range: tuple[float, float] | None, device: str
) -> tuple["Translator", ...]:
    """Open the models of --then."""
    from i2i.runtime.chain import open_following

    with status.doing("Opening the models after it"):
        fit = first.planner.fit
        return open_following(words, first.spec, first.generator, device, first.backend.threads, fit, input_range)


def _list(
    last: "Part",
    sources: Sequence[Path],
    output: Path | None,
    pictures: "PictureOptions",
    clips: bool,
    skip_existing: bool,
    overwrite: bool,
    in_place: bool,
    shard: tuple[int, int] | None,
) -> "Tasks":
    """Return which input becomes which output; last: what makes the outputs."""
    from i2i.runtime.clip_tasks import list_clips
    from i2i.runtime.folder import list_tasks
    from i2i.runtime.picture_options import written_channels
    from i2i.runtime.tasks import Shard

    if clips:
        if in_place or shard:
            raise UsageError("--in-place and --shard are for pictures. Leave them out; -o names the video or a folder.")
        assert output is not None
        return list_clips(sources, output, skip_existing, overwrite, pictures)
    share = shard and Shard(*shard)
    channels = written_channels(last, pictures)
    return list_tasks(sources, output, channels, skip_existing, overwrite, pictures, share, in_place)


def _translate(
    work: Work,
    translator: "Translator",
    following: Sequence["Translator"],
    tasks: "Tasks",
    output: Path | None,
    report: Path | None,
) -> "Result":
    """Do the tasks, and say and return what became of them."""
    from i2i.runtime.outcome import Result, write_report

    if tasks:
        click.echo(f"{show_count(len(tasks), 'picture')}, {translator.direction} in {work.where}.", err=True)
    for note in tasks.notes:
        click.echo(f"Note: {one_line(note)}", err=True)
    result = Result(refused=tasks.refused)

    def say() -> None:
        show_summary([translator, *following], result, counted(result.written, len(tasks), tasks.existing, output))
        if report:
            write_report(report, result, len(tasks))
        if result.unfinished:  # threads deep in a library would hold up the exit, or crash in it
            os._exit(stop_code(sys.exception()))

    with summed_up(result, say), show_progress(len(tasks)) as advance:
        work.translate(progress=advance, result=result)
    return result


def _described(
    model: str, translator: "Translator", following: Sequence["Translator"], tasks: "Tasks", result: "Result"
) -> dict[str, object]:
    """Return what became of the tasks as plain values; docs/json.md describes them."""
    return {
        "model": model,
        "direction": translator.direction,
        "labels": translator.generator.labels,
        "backend": translator.backend.name,
        "device": translator.backend.device,
        "pictures": len(tasks),
        "written": result.written,
        "existing": tasks.existing,
        "failures": result.failures(),
        "seconds": round(result.wall_s, 2),
        "notes": [*tasks.notes, *notes_on([translator, *following], result)],
    }
