"""What a folder run has to say: in a few lines for people, in a file for programs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from i2i.errors import printable
from i2i.files import write_json

STAGES = ("decode", "network", "encode")


class Setup(NamedTuple):
    """How a folder run shares the machine out."""

    workers: int
    """Pictures in work at a time."""
    threads: int
    """Threads that compute one network call on a CPU."""


class Refused(NamedTuple):
    """A picture that could not be translated, and why."""

    source: Path
    reason: str

    def __str__(self) -> str:
        """Name and reason in one line, whatever the name holds."""
        name = str(self.source)
        return printable(" ".join(self.reason.replace(name, repr(name)[1:-1]).splitlines()))


@dataclass
class Result:
    """What a folder run did, complete at its end and true when it is stopped."""

    written: int = 0
    refused: list[Refused] = field(default_factory=list)
    large: dict[Path, int] = field(default_factory=dict)
    """Pictures over twice as large as those that the model was trained on, and their shorter sides in pixels."""
    setup: Setup | None = None
    """What the last pictures were translated with."""
    wall_s: float = 0.0
    busy_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Time of all workers in each stage."""
    unfinished: bool = False
    """Whether threads were still at work when the run was left."""


def lines(result: Result) -> Iterator[str]:
    """Yield what was refused and why, and how long what took."""
    for refused in result.refused:
        yield f"Refused: {refused}"
    busy_s = sum(result.busy_s.values())
    if result.setup and result.written > 1 and busy_s:
        shares = ", ".join(f"{stage} {seconds / busy_s:.0%}" for stage, seconds in result.busy_s.items())
        workers = f"{result.setup.workers} worker{'s' if result.setup.workers > 1 else ''}"
        yield f"{result.written / result.wall_s:.1f} img/s; of the time of {workers}, {shares}."


def write_report(path: Path, result: Result, pictures: int) -> None:
    """Write what was refused as JSON; names that are no UTF-8 hold what Python's surrogateescape makes of them."""
    failures = [{"picture": str(refused.source), "reason": refused.reason} for refused in result.refused]
    write_json(path, {"pictures": pictures, "written": result.written, "failures": failures})
