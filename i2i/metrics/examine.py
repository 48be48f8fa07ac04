"""Find faults in a data folder before training, for `i2i doctor DATA`.

Pictures are compared as thumbnails, at most MOST of each split, taken from all over it. The thresholds are set so that
the shipped sets give no findings, and faults planted in them are found.
"""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i import status
from i2i.config import load_config
from i2i.data.folders import SPLITS, find_images, find_sides, has_sides, has_split, name_of_pair, spread
from i2i.data.items import Picture
from i2i.data.labels import FOLDERS, read_columns
from i2i.data.notes import ENLARGED
from i2i.data.watch import watched
from i2i.errors import DataError, ImageError, UsageError
from i2i.images import Header, read_facts
from i2i.machine import core_count
from i2i.metrics.clips import are_clips
from i2i.metrics.faults import Finding, duplicates, of_files, of_pairs, white_of
from i2i.metrics.label_faults import label_faults
from i2i.metrics.looks import Look, look_at
from i2i.metrics.suggest import Machine, suggest
from i2i.words import name_some, show_count, show_duration

MOST = 2000
"""Largest number of pictures that are decoded in each split."""
_KINDS = {"paired": "Pairs", "unpaired": "Unpaired pictures", "images": "Pictures"}
_EXAMPLES, _TIMEOUT_S = 12, 600.0


class Report(NamedTuple):
    """What a data folder holds, the findings, and the preset and settings (`changes`) to train with."""

    kind: str
    """paired, unpaired or images."""
    counts: dict[str, int]
    """By split: the number of pairs, or of the pictures of both sides."""
    findings: tuple[Finding, ...]
    preset: str
    changes: tuple[str, ...]
    about_hours: float | None
    """That the suggested training takes on this machine's cores, roughly; None with a GPU."""
    side_px: int
    """Median of the shorter sides."""
    examples: tuple[tuple[Picture, ...], ...]
    """Some of train: pairs as (A, B), or single pictures."""

    def to_json(self) -> dict[str, object]:
        """Return everything but the examples as plain values."""
        values = {**self._asdict(), "findings": [finding._asdict() for finding in self.findings]}
        return {name: value for name, value in values.items() if name != "examples"}


def examine_data(paths: Sequence[str], labels: str | None = None, text: str | None = None) -> Report:
    """Examine a data folder, or A's and B's, without changing anything.

    labels, text: as in `data.labels` and `data.text`, for all pictures of train. Raises DataError where there are no
    pictures, UsageError for a run folder, a missing file of labels, and a text without or not in such a file.
    """
    _refuse_runs(paths)
    _refuse_labels(labels, text)
    findings: list[Finding] = []
    kind, splits = _find(paths, findings)
    broken: dict[Path, str] = {}  # by file, since A|B files hold two pictures
    looks = {split: [_look_at_side(side, broken) for side in sides] for split, sides in splits.items()}
    if broken:
        text = f"{show_count(len(broken), 'file')} cannot be read. Mend or remove them, or set data.skip_broken=true."
        findings.append(Finding("broken", text, tuple(reason.removesuffix(".") for reason in broken.values())))
    if kind == "paired":  # without those whose partner is broken
        looks = {split: _both_sides(sides) for split, sides in looks.items()}
    everything = [look for sides in looks.values() for side in sides for look in side]
    if not everything:
        why = next(iter(broken.values()), "").partition("\n")[0]
        raise DataError(f"None of the pictures in {' and '.join(paths)} can be read. {why}".rstrip())
    findings += of_files(everything)
    findings += duplicates(looks, kind == "paired")
    findings += of_pairs(looks["train"]) if kind == "paired" else ()
    if labels:
        lists = {split: sides[:1] if kind == "paired" else sides for split, sides in splits.items()}
        names = {split: [[picture.name for picture in some] for some in each] for split, each in lists.items()}
        findings += [Finding("labels", text) for text in label_faults(names, labels, text)]
    if kind == "images" and (few := len(looks["train"][0])) < 2:
        findings.append(Finding("few", f"{show_count(few, 'picture')} in train. Training needs at least two."))
    counts = {split: len(sides[0]) if kind != "unpaired" else sum(map(len, sides)) for split, sides in splits.items()}
    side_px = int(np.median([min(look.size) for look in everything]))
    grey = [bool(side) and all(look.grey for look in side) for side in looks["train"]]
    bands = [max((look.bands for look in side), default=0) for side in looks["train"]]
    count, machine = max(map(len, splits["train"])), Machine.here()
    of_clips = kind == "paired" and all(map(are_clips, looks["train"]))
    suggestion = suggest("clips" if of_clips else kind, side_px, count, machine, grey, bands, white_of(everything))
    some = [spread([look.picture for look in side], _EXAMPLES) for side in looks["train"]]
    rows = [*zip(*some, strict=True)] if kind == "paired" else [(picture,) for side in some for picture in side]
    return Report(kind, counts, tuple(findings), *suggestion, side_px, tuple(rows))


def _refuse_runs(paths: Sequence[str]) -> None:
    """Raise UsageError for a run folder, which also holds pictures: its samples."""
    for path in paths:
        if any((Path(path) / name).is_file() for name in ("metrics.jsonl", "model.safetensors")):
            raise UsageError(
                f"{path} is a run folder, not a data folder.\nTo find what ails the run: i2i diagnose "
                f"{shlex.quote(path)}. To examine pictures, give the folder that it was trained on."
            )


def _refuse_labels(labels: str | None, text: str | None) -> None:
    """Raise UsageError for a file of labels that is missing, and for a text that is not one of its columns."""
    if labels and labels != FOLDERS and not Path(labels).is_file():
        raise UsageError(f"{labels} is not a file. Give --labels {FOLDERS}, or a CSV file with name and label columns.")
    if text and labels in (None, FOLDERS):
        raise UsageError(f"--text {text} is a column of a CSV file. Add --labels FILE.")
    if text and labels:
        read_columns((), labels, text)


def _find(paths: Sequence[str], findings: list[Finding]) -> tuple[str, dict[str, list[list[Picture]]]]:
    """Return the kind of the data, and its sides by split; pictures without partners become a finding."""
    names = [split for split in SPLITS if has_split(paths, split)] or ["train"]
    if "train" not in names:
        raise DataError(f"{paths[0]} holds {' and '.join(names)}, but no train. Name the folder to learn from train.")
    try:
        sides = {split: [*find_sides(paths, split)] for split in names}
    except (DataError, UsageError):
        if len(paths) != 1 or has_sides(paths[0], "train"):
            raise
        return "images", {split: [find_images(paths, split)] for split in names}
    if all(size.width != 2 * size.height for size in _some_sizes(sides["train"][0])) and sides["train"][0][0].half:
        return "images", {split: [find_images(paths, split)] for split in names}
    matched = {split: _matched(*both) for split, both in sides.items()}
    share = len(matched["train"][0]) / max(map(len, sides["train"]))
    if share < 0.5:
        return "unpaired", sides
    alone = [str(one) for split in names for one in _alone(*sides[split])]
    if alone:
        text = f"{show_count(len(alone), 'picture')} of A or B {'has' if len(alone) == 1 else 'have'} no partner."
        findings.append(Finding("unmatched", text, tuple(alone)))
    return "paired", matched


def _some_sizes(pictures: Sequence[Picture]) -> list[Header]:
    sizes = []
    for picture in spread(pictures, 8):
        with contextlib.suppress(ImageError):  # found and named later
            sizes.append(read_facts(picture.path).size)
    return sizes


def _stem(picture: Picture) -> str:
    return picture.name if picture.half else name_of_pair(Path(picture.name))


def _matched(a: Sequence[Picture], b: Sequence[Picture]) -> list[list[Picture]]:
    by_stem = {_stem(one): one for one in b}
    both = [(one, by_stem[_stem(one)]) for one in a if _stem(one) in by_stem]
    return [[pair[side] for pair in both] for side in (0, 1)]


def _alone(a: Sequence[Picture], b: Sequence[Picture]) -> Iterator[Picture]:
    stems = [{_stem(one) for one in side} for side in (a, b)]
    yield from (one for one in a if _stem(one) not in stems[1])
    yield from (one for one in b if _stem(one) not in stems[0])


def _look_at_side(pictures: Sequence[Picture], broken: dict[Path, str]) -> list[Look]:
    """Decode up to MOST pictures of a side; add the others to `broken`, with the reason."""
    chosen = spread(pictures, MOST)
    with status.doing("Looking at pictures"):
        looks = watched(look_at, chosen, _TIMEOUT_S, threads=core_count())
    broken |= {one.path: str(look) for one, look in zip(chosen, looks, strict=True) if isinstance(look, ImageError)}
    return [look for look in looks if isinstance(look, Look)]


def _both_sides(sides: Sequence[Sequence[Look]]) -> list[list[Look]]:
    by_stem = [{_stem(look.picture): look for look in side} for side in sides]
    stems = [stem for stem in by_stem[0] if stem in by_stem[1]]
    return [[side[stem] for stem in stems] for side in by_stem]


def lines(report: Report, paths: Sequence[str]) -> Iterator[str]:
    """Yield the report as lines for a terminal."""
    counted = ", ".join(f"{count:,} in {split}" for split, count in report.counts.items())
    yield f"{_KINDS[report.kind]}: {counted}."
    for finding in report.findings:
        head = f"{finding.kind}: {finding.text}"
        yield name_some(head, finding.files) if finding.files else head
    if not report.findings:
        yield "No faults found."
    words = [*(f"--data {shlex.quote(path)}" for path in paths), *(f"--set {change}" for change in report.changes)]
    yield f"To train: i2i train {report.preset} {' '.join(words)}"
    usual_px = load_config(report.preset).data.resize_px
    if usual_px and usual_px > ENLARGED * report.side_px:
        times = f"enlarges these pictures of {report.side_px} px {usual_px / report.side_px:.1f} times"
        yield f"If you set data.crop_px, set data.resize_px too: {report.preset}'s own, {usual_px}, {times}."
    if report.kind == "unpaired":
        yield "For both directions, or where colours must change: preset modern_unpaired, at twice the time."
    if report.preset == "generate":
        yield "At 32 px on a processor, it is ahead of dcgan in equal time. For 64 px: dcgan_emoji, or dcgan on a GPU."
    if report.preset == "dcgan":
        yield "It is for a GPU, at 64 px. At 32 px, or on a processor: generate."
    if report.preset == "clips":
        yield "The pictures of a folder look like frames in order. To train on each by itself: preset modern."
    if report.about_hours is not None:
        takes, cores = show_duration(3600 * report.about_hours), show_count(core_count(), "core")
        yield f"That takes about {takes} on {cores}, by a rough rule; add --dry-run to measure it, --out to begin."
