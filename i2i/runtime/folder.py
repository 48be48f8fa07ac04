"""Whole folders of pictures through a model: which file becomes which; runtime/pipeline.py then does it."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from i2i.errors import UsageError
from i2i.images import CHANNEL_NAMES, FORMATS, is_picture, list_pictures
from i2i.runtime.pictures import DEFAULTS, PictureOptions, output_suffix, suits


class Task(NamedTuple):
    """One picture of a folder run."""

    source: Path
    output: Path


def plan(
    source: Path,
    output: Path,
    out_channels: int,
    skip_existing: bool = False,
    overwrite: bool = False,
    options: PictureOptions = DEFAULTS,
) -> list[Task]:
    """Say which file becomes which, before anything is done.

    A folder keeps names, endings and subfolders, but for what `options` say; a format that cannot hold the
    output becomes .png or .tif, and where two names would meet both endings stay: a.bmp.png. Raises UsageError
    when there is nothing to do, when outputs exist and neither flag says what to do with them, when an input
    would be overwritten, or when the format asked for cannot hold the output.
    """
    if options.format and not suits(f".{options.format}", channels=out_channels):
        raise UsageError(f"{options.format} cannot hold {CHANNEL_NAMES[out_channels]}. Use --format png, webp or tiff.")
    here, there = Path(os.path.abspath(source)), Path(os.path.abspath(output))  # noqa: PTH100 - links must not be followed
    if source.is_dir():
        if output.resolve() == source.resolve():
            raise UsageError(f"{output} is the input folder itself. Give another folder for the output.")
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output} is a file, but {source} is a folder. Give a folder for the output.")
        names = [path.relative_to(source) for path in list_pictures(source)]
        names = [name for name in names if there not in (here / name).parents]
        if not names:
            raise UsageError(f"{source} holds no pictures ({', '.join(FORMATS)}).")
        tasks = [
            Task(source / name, output / new)
            for name, new in zip(names, _rename(names, out_channels, options), strict=True)
        ]
    else:
        is_file = is_picture(output) and not output.is_dir()
        if is_file and (options.suffix or options.format):
            raise UsageError(f"{output} names the output whole. Leave out --suffix and --format, or give a folder.")
        tasks = [Task(source, output if is_file else output / _rename([Path(source.name)], out_channels, options)[0])]
        if tasks[0].output.resolve() == source.resolve():
            raise UsageError(f"{output} is the input itself. Give another name for the output.")
    existing = [task.output for task in tasks if task.output.exists()]
    if skip_existing:
        return [task for task in tasks if not task.output.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            f"{existing[0]}{more} exists already.\nAdd --skip-existing to do only the rest, or --overwrite."
        )
    return tasks


def _rename(names: list[Path], channels: int, options: PictureOptions) -> list[Path]:
    """Give every name a suffix that can hold the output, and no two the same."""
    endings = [output_suffix(name.suffix, channels, options) for name in names]
    wanted = [
        name.with_name(f"{name.stem}{options.suffix}{ending}") for name, ending in zip(names, endings, strict=True)
    ]
    counts, taken = Counter(wanted), set(names)
    renamed = []
    for name, ending, new in zip(names, endings, wanted, strict=True):
        if new != name:
            longer = f"{name.name}{options.suffix}"
            while new in taken or counts[new] > 1:
                longer += ending
                new = name.with_name(longer)
            taken.add(new)
        renamed.append(new)
    return renamed
