"""What `i2i translate` does with videos."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli.translation_summary import counted, show_summary, summed_up
from i2i.errors import DiskFullError, I2IError, UsageError, one_line
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.runtime.clip import ClipDone, ClipOptions
    from i2i.runtime.outcome import Result
    from i2i.runtime.picture_options import PictureOptions
    from i2i.runtime.tasks import Task, Tasks
    from i2i.runtime.translator import Translator


def translate_clips(
    translators: Sequence["Translator"],
    tasks: "Tasks",
    pictures: "PictureOptions",
    fps: float,
    workers: int | None,
    report: Path | None,
    overwrite: bool,
    **_: Any,
) -> "Result":
    """Translate videos one after another, and say and return what became of them."""
    from i2i.runtime.clip import ClipOptions
    from i2i.runtime.outcome import Result, write_report

    clip_options = ClipOptions(pictures, Fraction(fps).limit_denominator(1001), overwrite, workers)
    used, result = translators[0].backend, Result(refused=tasks.refused)
    if tasks:
        count = show_count(len(tasks), "video")
        click.echo(f"{count}, {translators[0].direction} in {used.name} on {used.device}.", err=True)

    def say() -> None:
        show_summary(translators, result, counted(result.written, len(tasks), tasks.existing, None, "video"))
        if report:
            write_report(report, result, len(tasks))

    with summed_up(result, say):
        _translate_all(translators, tasks, clip_options, result)
    return result


def _translate_all(
    translators: "Sequence[Translator]", tasks: "Tasks", options: "ClipOptions", result: "Result"
) -> None:
    """Do the tasks one after another; one that fails does not stop the others. result: filled on the way."""
    from i2i.runtime.outcome import Refused

    for task in tasks:
        try:
            result.notes += _translate_one(translators, task, options)
            result.written += 1
        except (UsageError, DiskFullError):  # which concern more than one video
            raise
        except I2IError as error:
            result.refused.append(Refused(task.source, str(error)))


def _translate_one(translators: "Sequence[Translator]", task: "Task", options: "ClipOptions") -> list[str]:
    """Translate one video; return notes on it. If the run ends early, say where its frames are."""
    from i2i.runtime.clip import ClipDone, translate_clip

    done = ClipDone()
    try:
        with status.shown(), status.doing(f"Translating {one_line(task.source)}"):
            translate_clip(translators, task, options, done, _show)
    except BaseException:
        if done.kept_in and done.frames:
            count = f"{done.frames:,} of {show_count(done.total, 'frame')}"
            click.echo(f"{count} are done and kept in {one_line(done.kept_in)}. The same command continues.", err=True)
        raise
    return done.notes


def _show(done: "ClipDone") -> None:
    if done.frames == done.earlier > 0:
        status.say(f"{done.earlier:,} of {show_count(done.total, 'frame')} were done before.")
    status.count(done.frames, done.total)
