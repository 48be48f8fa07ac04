"""Faults in pictures before training: in single files, copies of one another, and pairs that do not belong together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i.images import Array, Facts, read_facts
from i2i.metrics.looks import (
    EDGES_PX,
    LEAST_PAIRS,
    PAIRED_RANK,
    SHIFT,
    Look,
    median_shift,
    mirrored,
    near_duplicates,
    partner_ranks,
    profile_name,
)
from i2i.words import show_count

DARK = 0.3
"""If 16-bit values stay under this share of their range, white is most likely not 65,535."""
MIRRORED_SHARE = 0.02
"""Of the pictures of train: as many pairs of mirrored ones are left unsaid, as of arrows to the left and right."""


class Finding(NamedTuple):
    """A fault, or something worth a look: its kind, a sentence with a number, and the files concerned."""

    kind: str
    text: str
    files: tuple[str, ...] = ()


def of_files(looks: Sequence[Look]) -> Iterator[Finding]:
    """Yield findings on single files: constant pictures, and differing sizes, channels, depths and profiles."""
    constant = [str(look.picture) for look in looks if look.constant]
    if constant:
        text = f"{show_count(len(constant), 'picture')} of a single colour, from which nothing can be learned."
        yield Finding("constant", text, tuple(constant))
    if white := white_of(looks):
        most = max(look.most for look in looks)
        yield Finding(
            "range",
            f"The 16-bit values go up to {most:,} of 65,535, {most / 65535:.1%} of white: trained as they are, "
            f"pictures are nearly black. data.input_range=[0,{white}] says what white is, if it is that.",
        )
    facts = {look.picture.path: read_facts(look.picture.path, layout=look.picture.layout) for look in looks}
    yield from _odd_ones(
        "sizes",
        {path: f"{fact.size.width}x{fact.size.height}" for path, fact in facts.items()},
        "data.resize_px brings them to one scale.",
    )
    yield from _odd_ones(
        "channels",
        {path: _channels(fact) for path, fact in facts.items()},
        "data.channels, channels_a and channels_b convert them; with 1 or 3 channels, alpha is laid on white.",
    )
    yield from _odd_ones(
        "depths",
        {path: "16 bits or floats" if fact.deep else "8 bits" for path, fact in facts.items()},
        "Check how these files were made.",
    )
    yield from _odd_ones(
        "profiles",
        {path: profile_name(path) for path in facts},
        "i2i does not apply profiles: convert the files to one profile.",
    )


def white_of(looks: Sequence[Look]) -> int:
    """Return what white most likely is in 16-bit files whose values stay far below 65,535; 0 if they do not."""
    most = max((look.most for look in looks), default=0)
    return (1 << most.bit_length()) - 1 if 0 < most < DARK * 65535 else 0


def _channels(facts: Facts) -> str:
    return ("grey" if facts.grey else "colour") + (" with alpha" if facts.may_have_alpha else "")


def _odd_ones(kind: str, values: Mapping[Path, str], advice: str) -> Iterator[Finding]:
    """Yield a finding for each folder with files that differ from most of its files."""
    by_folder: dict[Path, dict[Path, str]] = {}
    for path, value in values.items():
        by_folder.setdefault(path.parent, {})[path] = value
    for folder, its in by_folder.items():
        (usual, _), *others = Counter(its.values()).most_common()
        if others:
            odd = tuple(str(path) for path, value in its.items() if value != usual)
            text = f"In {folder} most are {usual}; {show_count(len(odd), 'file')} not, such as {others[0][0]}. {advice}"
            yield Finding(kind, text, odd)


def duplicates(looks: dict[str, list[list[Look]]], together: bool) -> Iterator[Finding]:
    """Yield near-duplicates within train, and pictures of val or test that are also in train, mirrored ones too."""

    def rows(split: str, side: int) -> tuple[list[str], Array]:
        sides = looks[split] if together else [looks[split][side]]
        thumbs = np.concatenate([np.stack([look.thumb for look in one]) for one in sides], axis=1)
        return [str(look.picture) for look in sides[0]], thumbs

    for side in range(1 if together else len(looks["train"])):
        if not all(looks["train"]):
            return
        names, thumbs = rows("train", side)
        yield from _within_train(names, thumbs)
        for split in looks:
            if split == "train" or not all(looks[split]):
                continue
            others, other_thumbs = rows(split, side)
            plain, also_mirrored = (
                near_duplicates(other_thumbs, thumbs),
                near_duplicates(other_thumbs, mirrored(thumbs)),
            )
            leaked = dict.fromkeys([*plain, *also_mirrored])
            if leaked:
                count = show_count(len({i for i, _ in leaked}), "picture")
                text = f"{count} of {split} also in train: scores on {split} will be too good. Remove them from train."
                files = (f"{others[i]} and {names[j]}{'' if (i, j) in plain else ', mirrored'}" for i, j in leaked)
                yield Finding("leakage", text, tuple(files))


def _within_train(names: Sequence[str], thumbs: Array) -> Iterator[Finding]:
    """Yield near-duplicates; mirrored ones where there are many, since a few pictures are so by themselves."""
    pairs = [(i, j) for i, j in near_duplicates(thumbs, thumbs) if i < j]
    if pairs:
        text = f"{show_count(len(pairs), 'pair')} of near-duplicates in train: training counts them twice."
        yield Finding("duplicates", text, tuple(f"{names[i]} and {names[j]}" for i, j in pairs))
    flipped = [(i, j) for i, j in near_duplicates(thumbs, mirrored(thumbs)) if i < j and (i, j) not in pairs]
    if len(flipped) > MIRRORED_SHARE * len(names):
        text = f"{show_count(len(flipped), 'pair')} of mirrored pictures in train. Keep one of each: data.flip mirrors."
        yield Finding("duplicates", text, tuple(f"{names[i]} and {names[j]}, mirrored" for i, j in flipped))


def of_pairs(sides: Sequence[Sequence[Look]]) -> Iterator[Finding]:
    """Yield findings on pairs from their edges: partners that do not belong together, or are shifted."""
    both = [*zip(*sides, strict=True)]
    sizes = [str(a.picture) for a, b in both if a.size != b.size]
    if sizes:
        yield Finding("pair sizes", f"{show_count(len(sizes), 'pair')} with halves of different sizes.", tuple(sizes))
    if len(both) < LEAST_PAIRS:
        return
    ranks = partner_ranks([a.edges for a, _ in both], [b.edges for _, b in both])
    if ranks.mean() < PAIRED_RANK:
        text = (
            f"Pairs look shuffled: the edges of A match their own B better than {ranks.mean():.0%} of the other B's; "
            "50% is chance. Check that equal names belong together; if they do, ignore this."
        )
        yield Finding("shuffled", text)
        return
    shift = median_shift(both)
    if np.abs(shift).max() > SHIFT:
        width = float(np.median([a.size.width for a, _ in both]))
        x, y = shift * width / EDGES_PX
        yield Finding("misaligned", f"B lies about {x:.0f} px to the right of A and {y:.0f} px below it. Align them.")
