"""Latents: the vectors that pictures are generated from, and walks between them.

The same seed gives the same vector everywhere, because numpy draws it, never a backend.
"""

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from i2i.config.names import did_you_mean
from i2i.errors import ModelError, UsageError
from i2i.files import write_bytes
from i2i.images import Array
from i2i.models.spec import LatentBlock
from i2i.models.texts import hash_text
from i2i.words import and_more

_LISTED = 20  # classes of a label set in a message
_CAPTION = 28  # characters of a text under a picture
_OPPOSITE = 1e-4  # radians short of a half turn; rounding to float32 moves a direction by 1e-7


def seed_latents(
    seeds: Sequence[int],
    blocks: Sequence[LatentBlock],
    labels: Mapping[str, int] | None = None,
    text: str | None = None,
) -> Array:
    """Return (N, latent) float32, one row a seed, independent of the others; raises UsageError for a negative one.

    labels: class numbers of one_hot blocks that are not drawn. text: what the text block holds. Normal blocks are drawn
    first, so noise stays the same whatever blocks stand beside it.
    """
    negative = [seed for seed in seeds if seed < 0]
    if negative:
        raise UsageError(f"{negative[0]} is not a seed. Seeds are whole numbers from 0.")
    labels = labels or {}
    given = {block.name: _unit(block, labels[block.name]) for block in blocks if block.name in labels}
    given |= {block.name: hash_text(text, block.size) for block in blocks if block.prior == "text" and text is not None}
    rows = [_row(np.random.default_rng(seed), blocks, given) for seed in seeds]
    return np.stack(rows) if rows else np.empty((0, sum(block.size for block in blocks)), np.float32)


def _row(random: np.random.Generator, blocks: Sequence[LatentBlock], given: Mapping[str, Array]) -> Array:
    drawn: dict[str, Array] = {}
    for block in sorted(blocks, key=lambda block: block.prior != "normal"):
        drawn[block.name] = PRIORS[block.prior](random, block)
    return np.concatenate([given.get(block.name, drawn[block.name]) for block in blocks])


def _one_hot(random: np.random.Generator, block: LatentBlock) -> Array:
    shares = np.asarray(block.shares or [1 / block.size] * block.size, np.float64)
    return _unit(block, random.choice(block.size, p=shares / shares.sum()))


def _unit(block: LatentBlock, number: int) -> Array:
    return np.eye(block.size, dtype=np.float32)[number]


PRIORS: dict[str, Callable[[np.random.Generator, LatentBlock], Array]] = {
    "normal": lambda random, block: random.standard_normal(block.size, dtype=np.float32),
    "uniform": lambda random, block: random.uniform(-1, 1, block.size).astype(np.float32),
    "one_hot": _one_hot,
    "constant": lambda random, block: np.full(block.size, block.value, np.float32),
    "text": lambda random, block: hash_text(block.texts[random.integers(len(block.texts))], block.size),
}


def find_labels(names: Sequence[str], blocks: Sequence[LatentBlock]) -> dict[str, int]:
    """Return the class number for each block that `names` mention: "shoe", or "kind=shoe" if two blocks have a shoe.

    Raises UsageError for names that are unknown or ambiguous, and for two of one block.
    """
    known = {block.name: block.classes for block in blocks if block.classes}
    if not known:
        raise UsageError("This model was trained without labels. Leave out --label.")
    found: dict[str, int] = {}
    for name in names:
        wanted, _, value = name.rpartition("=")
        places = {one: classes for one, classes in known.items() if value in classes and wanted in ("", one)}
        if len(places) != 1:
            if places:
                first = next(iter(places))
                raise UsageError(
                    f"{' and '.join(places)} both have a class {value}. Say which: {first}={value}, for example."
                )
            listed = "; ".join(f"{one}: {and_more(classes, _LISTED)}" for one, classes in known.items())
            near = did_you_mean(value, [one for classes in known.values() for one in classes])
            raise UsageError(f"Unknown label {name}.{near} This model knows {listed}.")
        ((block, classes),) = places.items()
        if block in found:
            raise UsageError(f"--label names two classes of {block}: {classes[found[block]]} and {value}. Give one.")
        found[block] = classes.index(value)
    return found


def choose_labels(names: Sequence[str], blocks: Sequence[LatentBlock]) -> list[int]:
    """Return the class number for each block of a model that translates; a block with one class needs no name.

    Raises UsageError as `find_labels`, and for blocks that are not named.
    """
    found = find_labels(names, blocks) if names else {}
    missing = [block for block in blocks if block.name not in found and block.size > 1]
    if missing:
        listed = "; ".join(f"{block.name}: {and_more(block.classes, _LISTED)}" for block in missing)
        raise UsageError(f"This model translates to a label of each set. Choose with --label from {listed}.")
    return [found.get(block.name, 0) for block in blocks]


def captions(numbers: Sequence[int], latents: Array, blocks: Sequence[LatentBlock]) -> list[str]:
    """Return the caption of each latent (N, latent): its number, its classes, and its text if the model knows it."""
    parts = np.split(latents, np.cumsum([block.size for block in blocks])[:-1], axis=1)
    each = zip(*([_name(block, row) for row in rows] for block, rows in zip(blocks, parts, strict=True)), strict=True)
    return [" ".join([str(number), *filter(None, names)]) for number, names in zip(numbers, each, strict=True)]


def _name(block: LatentBlock, values: Array) -> str:
    """Return what `values` (size,) stand for in words, if they do."""
    if block.classes:
        return block.classes[np.argmax(values)]
    known = (text for text in block.texts if np.array_equal(hash_text(text, block.size), values))
    return textwrap.shorten(next(known, ""), _CAPTION, placeholder="...")


def read_latents(path: Path, size: int) -> Array:
    """Read (N, size) float32 from an .npy file of floats; raises UsageError and ModelError."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: shape and type are known before it is read
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist. Give an .npy file of latents.") from None
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} is not an .npy file of numbers. Use one that --save-latents wrote.") from error
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{path} holds several arrays. Give an .npy file with one.")
    return check_latents(array, size, str(path))


def write_latents(path: Path, latents: Array) -> None:
    """Write (N, size) as an .npy file, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, latents)
    write_bytes(path, buffer.getvalue())


def check_latents(latents: Array, size: int, name: str) -> Array:
    """Return a float32 copy of finite floats (N, size), N from 1; otherwise raise ModelError, which names `name`."""
    if latents.ndim != 2 or not len(latents) or latents.shape[1] != size or latents.dtype.kind != "f":
        raise ModelError(f"{name}: shape {latents.shape} in {latents.dtype}; this model takes (N, {size}) in float32.")
    with np.errstate(over="ignore"):  # a float64 that float32 cannot hold becomes infinite
        checked = np.array(latents, np.float32, order="C")
    if not np.isfinite(checked).all():
        raise ModelError(f"{name}: some numbers are NaN, infinite or over float32's range.")
    return checked


def slerp(a: Array, b: Array, t: float) -> Array:
    """Return the latent at a fraction `t`, 0 to 1, of the way from `a` to `b`, (size,) each, as float32.

    The direction moves along the great circle (Shoemake 1985) and the norm along a line: normal vectors of many
    dimensions lie near a sphere, and a straight line between two would leave it for regions that training never saw
    (White 2016). Raises UsageError for opposite directions, which many great circles join. A latent of zeros has no
    direction and takes the other's.
    """
    start, end = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = float(np.linalg.norm(start)), float(np.linalg.norm(end))
    if not min(norms):
        return ((1 - t) * start + t * end).astype(np.float32)
    u, v = start / norms[0], end / norms[1]
    angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))  # exact near 0 and pi, where arccos is not
    if np.pi - angle < _OPPOSITE:
        raise UsageError(
            "Two stops lie in opposite directions, so no single shortest way joins them. Put a stop between them."
        )
    # sin(s x) / sin(x) as s sinc(s x) / sinc(x), which also holds at the angle 0; numpy's sinc has pi in it.
    near, far = (s * np.sinc(s * angle / np.pi) / np.sinc(angle / np.pi) for s in (1 - t, t))
    direction = near * u + far * v
    return (direction * ((1 - t) * norms[0] + t * norms[1])).astype(np.float32)


def walk(latents: Array, blocks: Sequence[LatentBlock], steps: int, loop: bool = False) -> Array:
    """Walk through stops (K, size), K from 2, with `steps` steps from each to the next.

    Normal blocks move along the great circle (`slerp`), others along a line. Returns ((K - 1) * steps + 1, size)
    float32 whose row k * steps is the k-th stop. With `loop` the walk continues to the first stop and ends a step
    before it: (K * steps, size). Raises UsageError.
    """
    if len(latents) < 2:
        raise UsageError(f"A walk needs at least two stops; got {len(latents)}.")
    if steps < 1:
        raise UsageError(f"A walk needs at least one step from stop to stop; got {steps}.")
    stops = [*latents, latents[0]] if loop else list(latents)
    rows = [_between(a, b, k / steps, blocks) for a, b in pairwise(stops) for k in range(steps)]
    return np.stack(rows if loop else [*rows, stops[-1].astype(np.float32)])


def _between(a: Array, b: Array, t: float, blocks: Sequence[LatentBlock]) -> Array:
    ends = np.cumsum([block.size for block in blocks])[:-1]
    parts = zip(blocks, np.split(a, ends), np.split(b, ends), strict=True)
    moved = [slerp(one, two, t) if block.prior == "normal" else (1 - t) * one + t * two for block, one, two in parts]
    return np.concatenate(moved).astype(np.float32)
