"""Pictures from noise as files: grids, single pictures, walks between latents and along codes, arithmetic.

Every picture has a number, in its file name or in the line under it: the seed of its latent, or the row of the .npy
file that the latent comes from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from i2i.errors import UsageError
from i2i.files import check_folder, check_output, refuse_existing, write_bytes
from i2i.images import Array, from_unit, write_image
from i2i.report.sheets import animation, cloud_png, grid_png, sheet_png
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.inverter import Found
from i2i.runtime.latents import captions, read_latents, walk, write_latents
from i2i.runtime.maps import refuse_huge
from i2i.runtime.refusals import refuse_file_name
from i2i.runtime.styles import mix, sides, truncate, walk_styles
from i2i.runtime.traverse import traverse

T = TypeVar("T")
MOST = 1024
"""Pictures in one file."""
ANIMATIONS = (".webp", ".gif")


class Chosen(NamedTuple):
    """Latents (N, latent) float32, and the number of each."""

    latents: Array
    numbers: Sequence[int]


def refuse_both(seeds: Sequence[int] | None, file: Path | None) -> None:
    """Raise UsageError unless there are seeds or a file of latents, but not both."""
    if (seeds is None) == (file is None):
        raise UsageError("Give either seeds (--seed and -n, or --seeds) or --latents FILE.npy, not both.")


def refuse_grid(output: Path, overwrite: bool) -> None:
    """Raise UsageError unless a grid can be written to `output`."""
    check_output(output, overwrite, ".png")


def refuse_walk(output: Path, overwrite: bool) -> None:
    """Raise UsageError unless a walk can be written to `output`."""
    check_output(output, overwrite, ".png", *ANIMATIONS)


def refuse_separate(folder: Path, numbers: Sequence[int], overwrite: bool) -> list[Path]:
    """Return the paths of single pictures; raises UsageError unless they can be written."""
    refuse_file_name(folder, "--separate writes many")
    check_folder(folder)
    paths = [folder / f"{number:06d}.png" for number in numbers]
    for path in paths:
        refuse_existing(path, overwrite)
    return paths


def choose(
    generator: ImageGenerator,
    seeds: Sequence[int] | None,
    file: Path | None,
    labels: Sequence[Sequence[str]] = (),
    texts: Sequence[str] = (),
    truncation: float | None = None,
) -> Chosen:
    """Return the latents of seeds or, numbered from 0, the rows of an .npy file; raises UsageError and ModelError.

    labels: names of classes, for all seeds or for each. texts: of what to show, likewise. truncation: of models with
    styles, 0 to 1.
    """
    refuse_both(seeds, file)
    if file is not None and (labels or texts):
        given = "--label" if labels else "--text"
        raise UsageError(f"{given} goes with seeds; the rows of --latents hold all of it. Leave out one of the two.")
    if file is not None:
        latents, numbers = read_latents(file, generator.latent), None
    else:
        latents, numbers = _draw(generator, seeds or (), labels, texts), seeds
    if truncation is not None:
        latents = truncate(latents, generator.generator.blocks, truncation)
    return Chosen(latents, range(len(latents)) if numbers is None else numbers)


def _draw(
    generator: ImageGenerator, seeds: Sequence[int], labels: Sequence[Sequence[str]], texts: Sequence[str]
) -> Array:
    each = _spread(labels, len(seeds), "seeds") or [()] * len(seeds)
    each_text: Sequence[str | None] = _spread(texts, len(seeds), "seeds", "--text") or [None] * len(seeds)
    rows = [generator.draw([one], of, text) for one, of, text in zip(seeds, each, each_text, strict=True)]
    return np.concatenate(rows)


def write_grid(generator: ImageGenerator, chosen: Chosen, output: Path, overwrite: bool = False) -> None:
    """Write one PNG with all pictures and their numbers or, for a model of points, their cloud.

    Raises UsageError and OutOfMemoryError.
    """
    refuse_grid(output, overwrite)
    if generator.makes_points:
        write_bytes(output, cloud_png(generator.points(chosen.latents)))
        return
    _refuse_many(len(chosen.latents), "Add --separate for single files.")
    if generator.generator.place_px:
        refuse_huge(generator.generator, generator.sides, generator.backend.device, held=len(chosen.latents))
    write_bytes(output, grid_png(generator.pictures(chosen.latents), _captions(generator, chosen)))


def write_pictures(generator: ImageGenerator, chosen: Chosen, folder: Path, overwrite: bool = False) -> None:
    """Write every picture into `folder` as <number, 6 digits>.png. Raises UsageError and ModelError."""
    paths = refuse_separate(folder, chosen.numbers, overwrite)
    for path, picture in zip(paths, generator.each_picture(chosen.latents), strict=True):
        write_image(path, picture)


def write_walk(
    generator: ImageGenerator,
    stops: Chosen,
    output: Path,
    steps: int = 10,
    fps: int = 12,
    loop: bool = False,
    overwrite: bool = False,
    space: str = "z",
) -> int:
    """Write the pictures of a walk through the stops; return how many there are.

    A .png has a row for each leg, with the stops at both ends; a .webp or .gif is an animation at `fps` pictures a
    second. `steps` lead from stop to stop; with `loop`, as many lead back to the first.
    space: z for latents, w for the styles of a model that has any. Raises UsageError and ModelError.
    """
    refuse_walk(output, overwrite)
    _refuse_many(len(stops.latents) * (steps + 1), "Take fewer steps or stops.")
    if len(stops.latents) < 2:
        raise UsageError(f"A walk needs at least two stops; got {len(stops.latents)}.")
    way = walk_styles if space == "w" else walk
    pictures = generator.pictures(way(stops.latents, generator.generator.blocks, steps, loop))
    if output.suffix.lower() in ANIMATIONS:
        write_bytes(output, animation(pictures, output.suffix.lower(), fps))
        return len(pictures)
    ring, numbers = [*pictures, *pictures[: 1 if loop else 0]], _captions(generator, stops)
    cells: list[Array] = []
    labels: list[str] = []
    for start in range(0, len(ring) - 1, steps):
        cells += ring[start : start + steps + 1]
        here = start // steps
        labels += [numbers[here], *[""] * (steps - 1), numbers[(here + 1) % len(numbers)]]
    write_bytes(output, grid_png(cells, labels, columns=steps + 1))
    return len(pictures)


def write_mixes(
    generator: ImageGenerator,
    coarse: Chosen,
    fine: Chosen,
    output: Path,
    from_px: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write one PNG in which each row has the coarse styles of one latent, and each column the fine ones of another.

    The first column and row show the latents themselves (Karras et al. 2019, figure 3). from_px: the side from which
    the fine styles take over; by default half of the picture's. Returns how many mixes there are. Raises UsageError
    and ModelError.
    """
    refuse_grid(output, overwrite)
    rows, columns = len(coarse.latents), len(fine.latents)
    _refuse_many((rows + 1) * (columns + 1), "Take fewer seeds.")
    blocks = generator.generator.blocks
    pairs = np.repeat(coarse.latents, columns, axis=0), np.tile(fine.latents, (rows, 1))
    mixed = mix(*pairs, blocks, from_px or max(generator.generator.out_px // 2, sides(blocks)[0]))
    pictures: list[Array | None] = [*generator.pictures(np.concatenate([fine.latents, coarse.latents, mixed]))]
    cells, texts = [None, *pictures[:columns]], ["", *map(str, fine.numbers)]
    for row, number in enumerate(coarse.numbers):
        start = columns + rows + row * columns
        cells += [pictures[columns + row], *pictures[start : start + columns]]
        texts += [str(number), *[f"{number} + {other}" for other in fine.numbers]]
    write_bytes(output, grid_png(cells, texts, columns + 1))
    return rows * columns


def write_traversal(
    generator: ImageGenerator,
    rows: Chosen,
    code: str,
    output: Path,
    steps: int | None = None,
    bounds: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> int:
    """Write one PNG with a row for each latent, in which only one code changes; return how many pictures there are.

    code, steps, bounds: see `traverse`. Raises UsageError and ModelError.
    """
    refuse_grid(output, overwrite)
    latents, values = traverse(rows.latents, generator.generator.blocks, code, steps, bounds)
    count = len(rows.latents) * len(values)
    _refuse_many(count, "Take fewer seeds or steps.")
    pictures = generator.pictures(latents.reshape(count, -1))
    texts = [f"{number}: {value}" for number in rows.numbers for value in values]
    write_bytes(output, grid_png(pictures, texts, columns=len(values)))
    return count


def write_arithmetic(
    generator: ImageGenerator,
    groups: tuple[Sequence[int] | Path, Sequence[int] | Path, Sequence[int] | Path],
    output: Path,
    overwrite: bool = False,
    labels: Sequence[Sequence[str]] = (),
) -> Array:
    """Add and subtract means of latents: a - b + c (Radford, Metz, Chintala 2016, section 6.3.2).

    groups: the examples of a, b and c, by their seeds or as an .npy file of latents. labels: names of classes, for all
    groups of seeds or for each. Writes one PNG with a row for each group, its examples and the picture of its mean
    latent, and with the picture of the result below the means. Returns the result's latent, (1, latent) float32.
    Raises UsageError and ModelError.
    """
    refuse_grid(output, overwrite)
    each = _spread(labels, len(groups), "groups of seeds") or [()] * len(groups)
    examples = [_examples(generator, group, of) for group, of in zip(groups, each, strict=True)]
    columns = max(len(group.numbers) for group in examples) + 1
    _refuse_many(4 * columns, "Take fewer examples.")
    a, b, c = (group.latents.mean(axis=0, keepdims=True) for group in examples)
    result: Array = a - b + c
    cells: list[Array | None] = []
    texts: list[str] = []
    for name, group, mean in zip("abc", examples, (a, b, c), strict=True):
        *pictures, last = generator.pictures(np.concatenate([group.latents, mean]))
        empty = columns - 1 - len(pictures)
        cells += [*pictures, *[None] * empty, last]
        texts += [f"{name}: {text}" for text in _captions(generator, group)]
        texts += [*[""] * empty, f"mean of {name}"]
    cells += [*[None] * (columns - 1), generator.pictures(result)[0]]
    texts += [*[""] * (columns - 1), "a - b + c"]
    write_bytes(output, grid_png(cells, texts, columns))
    return result


def _examples(generator: ImageGenerator, group: Sequence[int] | Path, labels: Sequence[str]) -> Chosen:
    """Return the latents of seeds with `labels`, or all of a file, whose rows keep their own."""
    return choose(generator, None, group) if isinstance(group, Path) else choose(generator, group, None, [labels])


def write_found(found: Sequence[Found], output: Path, sheet: Path | None) -> None:
    """Write the latents that `Inverter` found as (N, latent) and, if wanted, a PNG with what they make in rows."""
    write_latents(output, np.stack([one.latent for one in found]))
    if sheet:
        rows = [[from_unit(values) for values in (one.target, one.image, one.start)] for one in found]
        write_bytes(sheet, sheet_png(rows, ["picture", "found", "best draw"]))


def _spread(given: Sequence[T], count: int, what: str, option: str = "--label") -> Sequence[T]:
    """Return what is given for all of `count` or for each of them, if anything, once for each; raises UsageError."""
    if len(given) > 1 and len(given) != count:
        raise UsageError(f"{option} is given {len(given)} times for {count} {what}. Give it once, or once for each.")
    return given if len(given) == count else [*given] * count


def _captions(generator: ImageGenerator, chosen: Chosen) -> list[str]:
    return captions(chosen.numbers, chosen.latents, generator.generator.blocks)


def _refuse_many(count: int, instead: str) -> None:
    if count > MOST:
        raise UsageError(f"{count:,} pictures are too many for one file, which holds {MOST:,}. {instead}")
