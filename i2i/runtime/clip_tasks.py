"""Which videos become which files, settled before anything is done."""

from collections.abc import Sequence
from pathlib import Path

from i2i.errors import UsageError, one_line
from i2i.images.video import ANIMATIONS, VIDEO_CODECS, VIDEO_SUFFIXES, check_pyav, is_animation
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.refusals import is_same, leave_existing, refuse_collisions, refuse_file_name, refuse_inputs
from i2i.runtime.tasks import Group, Tasks


def makes_clips(sources: Sequence[Path], output: Path | None) -> bool:
    """Whether a command is about videos, by the names of its inputs and output."""
    return any(map(_is_video, sources)) or (output is not None and _is_video(output))


def list_clips(
    sources: Sequence[Path], output: Path, skip_existing: bool, overwrite: bool, options: PictureOptions
) -> Tasks:
    """Return which video becomes which; a container that i2i does not write becomes .mp4.

    Raises UsageError for inputs of other kinds, and as `list_tasks` does.
    """
    check_pyav()
    check_options(options)
    others = [one for one in sources if not _is_video(one)]
    if others and not _is_video(output):
        raise UsageError(
            f"{one_line(others[0])} is no video, and videos are translated by commands of their own.\n"
            "Give only videos, or only pictures and folders; or name the video to make of a folder: -o out.mp4."
        )
    if _is_video(output) or (is_animation(output) and not output.is_dir()):
        tasks = Tasks([_one_clip(sources, output, options)])
    else:
        refuse_file_name(output, "a folder is wanted for videos" if len(sources) > 1 else "no video is written so")
        tasks = Tasks([_group(one, output, options) for one in sources])
        refuse_collisions(tasks, output)
        refuse_inputs(tasks, output)
    leave_existing(tasks, skip_existing, overwrite, in_place=False)
    tasks.close()
    return tasks


def check_options(options: PictureOptions) -> None:
    """Raise UsageError for options of pictures that videos do not have."""
    if options.format:
        raise UsageError(f"--format {options.format} is for pictures. Name the video to write instead: -o out.mp4.")
    if options.layout.bands or options.bands:
        raise UsageError("This model is for bands, which no video holds. Translate the frames as files.")
    if options.mask:
        raise UsageError("--mask is for pictures. Leave it out, or translate the frames as pictures.")
    if options.bit_depth == 32:
        raise UsageError("Videos have 8 or 10 bits, not 32. Leave out --bit-depth, or use 16, which gives 10.")
    if options.alpha == "keep":
        raise UsageError("Videos are written without alpha. Leave out --alpha keep.")


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _one_clip(sources: Sequence[Path], output: Path, options: PictureOptions) -> Group:
    """Return the group of the only input, which becomes the file `output`."""
    if len(sources) > 1:
        raise UsageError(f"{one_line(output)} is one video, and there are {len(sources)} inputs. Give a folder.")
    if output.suffix.lower() not in VIDEO_CODECS | ANIMATIONS:
        written = ", ".join(VIDEO_CODECS | ANIMATIONS)
        raise UsageError(f"{one_line(output)}: i2i writes {written}, and reads {output.suffix} only.")
    if is_animation(output) and options.quality:
        raise UsageError(f"{output.suffix} is written without loss but for the colours of GIF. Leave out --quality.")
    if options.suffix:
        raise UsageError(f"{one_line(output)} already names the output file. Leave out --suffix, or give a folder.")
    source = sources[0]
    if is_same(output, source):
        raise UsageError(f"{one_line(output)} is the input itself. Give another name for the output.")
    return Group(source.parent, output.parent, [source.name], {source.name: output.name})


def _group(source: Path, folder: Path, options: PictureOptions) -> Group:
    ending = source.suffix if source.suffix.lower() in VIDEO_CODECS else ".mp4"
    return Group(source.parent, folder, [source.name], {source.name: f"{source.stem}{options.suffix}{ending}"})
