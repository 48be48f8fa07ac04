"""What a folder run reports: a few lines for people, a file for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from i2i.errors import one_line, printable
from i2i.files import write_json
from i2i.words import show_count

STAGES = ("decode", "network", "encode")


class Setup(NamedTuple):
    """How a folder run shares the machine out."""

    workers: int
    """Pictures in work at a time."""
    threads: int
    """CPU threads of one network call."""


class Refused(NamedTuple):
    """A picture that could not be translated, and why."""

    source: Path
    reason: str

    def __str__(self) -> str:
        """Return name and reason in one line, whatever the name contains."""
        name = str(self.source)
        return printable(" ".join(self.reason.replace(name, repr(name)[1:-1]).splitlines()))


@dataclass
class Result:
    """What a folder run did; correct at any moment, even when the run is stopped."""

    written: int = 0
    refused: list[Refused] = field(default_factory=list)
    large: dict[Path, int] = field(default_factory=dict)
    """Pictures more than twice as large as those of training, and their shorter sides in pixels."""
    left_out: list[tuple[Path, int]] = field(default_factory=list)
    """Pictures with frames or pages after the one that was translated, and how many."""
    lost: dict[str, list[Path]] = field(default_factory=dict)
    """Metadata that translations do not keep, by name: georeference, nodata value, resolution."""
    notes: list[str] = field(default_factory=list)
    """What else is different in the outputs."""
    setup: Setup | None = None
    """How the machine was shared out for the last pictures."""
    wall_s: float = 0.0
    busy_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Time that all workers spent in each stage."""
    unfinished: bool = False
    """Whether threads were still working when the run ended."""

    def add(self, other: "Result") -> None:
        """Add what became of other pictures, on another machine."""
        self.written += other.written
        self.refused += other.refused
        self.large |= other.large
        self.left_out += other.left_out
        for name, paths in other.lost.items():
            self.lost.setdefault(name, []).extend(paths)
        self.notes = list(dict.fromkeys([*self.notes, *other.notes]))
        for stage, seconds in other.busy_s.items():
            self.busy_s[stage] += seconds

    def packed(self) -> dict[str, Any]:
        """Return as plain values what `add` takes, for another machine."""
        return {
            "written": self.written,
            "refused": [(str(source), reason) for source, reason in self.refused],
            "large": [(str(source), side) for source, side in self.large.items()],
            "left_out": [(str(source), count) for source, count in self.left_out],
            "lost": {name: list(map(str, sources)) for name, sources in self.lost.items()},
            "notes": self.notes,
            "busy_s": self.busy_s,
        }

    @classmethod
    def unpacked(cls, values: dict[str, Any]) -> "Result":
        """Return what was `packed`."""
        return cls(
            written=values["written"],
            refused=[Refused(Path(source), reason) for source, reason in values["refused"]],
            large={Path(source): side for source, side in values["large"]},
            left_out=[(Path(source), count) for source, count in values["left_out"]],
            lost={name: list(map(Path, sources)) for name, sources in values["lost"].items()},
            notes=values["notes"],
            busy_s=values["busy_s"],
        )

    def add_unkept(self, source: Path, left_out: int, lost: Iterable[str]) -> None:
        """Record what a picture's translation does not keep."""
        if left_out:
            self.left_out.append((source, left_out))
        for name in lost:
            self.lost.setdefault(name, []).append(source)

    def failures(self) -> list[dict[str, str]]:
        """Return what was refused and why; bytes of names that are not UTF-8 are Python's surrogate escapes."""
        return [{"picture": str(refused.source), "reason": refused.reason} for refused in self.refused]


def unkept(result: Result) -> Iterator[str]:
    """Yield a line for each kind of thing that the outputs do not keep, and how to keep it."""
    if result.left_out:
        total, first = sum(count for _, count in result.left_out), one_line(result.left_out[0][0])
        files = first if len(result.left_out) == 1 else f"{len(result.left_out):,} files, {first} among them"
        what = "1 frame or page was" if total == 1 else f"{total:,} frames or pages were"
        yield f"{what} left out: only the first of {files} was translated. Add --frames all for the others."
    if result.lost:
        counts = ", ".join(f"{name} ({_files(paths)})" for name, paths in result.lost.items())
        kept = {"resolution", "pixel size"} & result.lost.keys()
        yield f"Not kept in the outputs: {counts}.{' --keep-metadata keeps resolution and pixel size.' if kept else ''}"


def _files(paths: list[Path]) -> str:
    return f"{len(paths):,} files" if len(paths) > 1 else one_line(paths[0])


def lines(result: Result) -> Iterator[str]:
    """Yield what was refused and why, and where the time went."""
    for refused in result.refused:
        yield f"Refused: {refused}"
    busy_s = sum(result.busy_s.values())
    if result.setup and result.written > 1 and busy_s:
        shares = ", ".join(f"{stage} {seconds / busy_s:.0%}" for stage, seconds in result.busy_s.items())
        workers = show_count(result.setup.workers, "worker")
        yield f"{result.written / result.wall_s:.1f} img/s; of the time of {workers}, {shares}."


def write_report(path: Path, result: Result, pictures: int) -> None:
    """Write what was refused as JSON."""
    write_json(path, {"pictures": pictures, "written": result.written, "failures": result.failures()})
