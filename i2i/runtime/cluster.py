"""Pictures through a model on a cluster, by Ray Data: each actor holds one session of the model.

All machines must see the same files under the same paths. Outputs are written as everywhere, whole or not at all, so
they are the record of what is done: a task that Ray starts again, because a machine was lost, leaves those alone that
were written since the start of the run. Lost actors start again elsewhere.
"""

# ruff: noqa: PTH100, PTH110, PTH116 - as paths, a million names would take a quarter of a minute

import contextlib
import json
import logging
import math
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from i2i.errors import DiskFullError, I2IError, ModelError, OutOfMemoryError, UsageError, one_line
from i2i.images.remote import is_url
from i2i.runtime.chain import open_following
from i2i.runtime.fit import AUTO, Fit
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.outcome import Refused, Result, Setup
from i2i.runtime.picture_options import DEFAULTS, PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from i2i.version import DISTRIBUTION, __version__

_MOST_AT_A_TIME = 64
"""Pictures of one Ray task at most: more would delay the progress, fewer cost time to hand out."""
_TASKS_AN_ACTOR = 8
"""Ray tasks for each actor at least, if there are enough pictures, so that all end at about the same time."""
_CONNECT_S = 5
_ERRORS: dict[str, type[I2IError]] = {
    one.__name__: one for one in (UsageError, ModelError, DiskFullError, OutOfMemoryError)
}
"""Errors that end a run, by what actors call them; others become an I2IError."""
_RETRIES = 3
"""How often a Ray task whose actor died is started again, before its pictures are tried one by one."""


@dataclass(frozen=True)
class Session:
    """What each actor opens; fields as the arguments of `Translator.open` and `open_following`."""

    model: str
    then: tuple[str, ...] = ()
    direction: str | None = None
    label: tuple[str, ...] = ()
    device: str = "auto"
    backend: str = "auto"
    fit: Fit = AUTO
    values: Values = UNSAID
    options: PictureOptions = DEFAULTS
    version: str = __version__

    def everywhere(self) -> "Session":
        """Return the session with absolute paths, since actors work in other folders."""
        mask = self.options.mask
        options = replace(self.options, mask=mask if mask in (None, "auto") else os.path.abspath(mask))
        then = tuple(":".join([_absolute(path), direction]) for path, direction in map(_split, self.then))
        return replace(self, model=_absolute(self.model), then=tuple(one.rstrip(":") for one in then), options=options)

    def open(self) -> list[Translator]:
        """Open the models, one CPU thread each; raises I2IError."""
        if self.version != __version__:
            raise UsageError(
                f"A machine of the cluster has i2i {__version__}, and this one {self.version}. Install one of them "
                "everywhere."
            )
        args = (self.direction, self.device, self.backend, 1, self.fit, self.values, self.label)
        first = Translator.open(self.model, *args)
        rest = (first.spec, first.generator, self.device, 1, self.fit, self.options.input_range)
        return [first, *open_following(self.then, *rest)]


class _Planned(NamedTuple):
    """One picture of a Ray task."""

    source: str
    output: str
    before: int | None
    """Time of the output before the run; None if it did not exist."""

    @property
    def task(self) -> Task:
        return Task(Path(self.source), Path(self.output))


class _Actor:
    """Holds one session, and translates the pictures of one Ray task after another."""

    def __init__(self, session: Session):
        self.session, self.error = session, None
        try:
            self.translators = session.open()
        except I2IError as error:  # raised here, it would be started again for ever
            self.error = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the number of a Ray task, and as JSON its Result or an error that ends the run."""
        try:
            if self.error:
                raise self.error
            outcome = self._translate([_Planned(*one) for one in json.loads(row["pictures"])]).packed()
        except I2IError as error:
            outcome = {"error": type(error).__name__, "text": str(error)}
        return {"number": row["number"], "outcome": json.dumps(outcome)}

    def _translate(self, pictures: Sequence[_Planned]) -> Result:
        first, *rest = self.translators
        tasks = [one.task for one in pictures if _time_of(one.output) in (None, one.before)]
        workers = 1 if first.backend.device == "cpu" else None
        result = translate_files(first, tasks, options=self.session.options, workers=workers, following=rest)
        result.written += len(pictures) - len(tasks)
        result.notes += [note for one in self.translators for note in (*one.backend.notes, *one.notes)]
        return result


def translate_on_ray(
    address: str,
    session: Session,
    tasks: Sequence[Task],
    progress: Callable[[Task], None] = lambda task: None,
    overwrite: bool = False,
    actors: int | None = None,
    result: Result | None = None,
) -> Result:
    """Translate every task on a cluster, as `translate_files` does on one machine.

    address: of the cluster, or `auto`: the one that RAY_ADDRESS or this machine knows, else this machine alone.
    overwrite: whether outputs may exist, and are replaced. actors: by default one for each GPU, or for each CPU where
    there are none. result: filled as pictures come out. Raises UsageError where Ray or the cluster is missing, and what
    `Translator.open` and `translate_files` raise.
    """
    result, start = result or Result(), time.perf_counter()
    with _connected(address) as ray:
        session, needs, count = _share_out(session.everywhere(), ray.cluster_resources(), actors)
        result.setup = Setup(count, 1)
        left = [_planned(task, overwrite) for task in tasks]
        size = max(1, min(_MOST_AT_A_TIME, math.ceil(len(left) / (count * _TASKS_AN_ACTOR))))
        for at_a_time in (size, 1):  # a picture that ends its process again and again takes no others with it
            left = _run(ray, session, left, at_a_time, needs, count, progress, result)
            result.wall_s = time.perf_counter() - start
        for one in left:
            name = one_line(one.source)
            result.refused.append(Refused(Path(one.source), f"{name}: its process died {_RETRIES + 1} times."))
            progress(one.task)
    return result


def _run(
    ray: Any,
    session: Session,
    pictures: Sequence[_Planned],
    at_a_time: int,
    needs: dict[str, int],
    actors: int,
    progress: Callable[[Task], None],
    result: Result,
) -> list[_Planned]:
    """Translate pictures, some in each Ray task; return those of tasks whose actors died too often."""
    waiting = dict(enumerate(pictures[start : start + at_a_time] for start in range(0, len(pictures), at_a_time)))
    if not waiting:
        return []
    rows = [{"number": number, "pictures": json.dumps(list(some))} for number, some in waiting.items()]
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=min(actors, len(rows)))
    options = {"fn_constructor_args": [session], "compute": pool, "max_task_retries": _RETRIES, **needs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_task_retries ends with Ray 2.64, which pyproject.toml leaves out
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(_Actor, **options)
    for row in data.iter_rows():
        outcome = json.loads(row["outcome"])
        if "error" in outcome:
            raise _ERRORS.get(outcome["error"], I2IError)(outcome["text"])
        result.add(Result.unpacked(outcome))
        for one in waiting.pop(row["number"]):
            progress(one.task)
    return [one for some in waiting.values() for one in some]


def import_ray() -> Any:
    """Import Ray and its data sets; raises UsageError where they are missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of this machine alone would report itself
    try:
        import ray
        import ray.data
    except ImportError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UsageError(f"--ray needs Ray Data: {reason}. Run: pip install '{DISTRIBUTION}[ray]'") from error
    return ray


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a cluster, with no output of Ray's own; raises UsageError."""
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(_reachable(address), log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            reason = one_line(str(error).splitlines()[0].rstrip("."))
            raise UsageError(
                f"No Ray cluster can be reached at {one_line(address)}: {reason}. Give HOST:6379, as `ray start` shows "
                "it, or auto."
            ) from error
    try:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # the tasks of actors that died too often; `_run` returns their pictures
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _reachable(address: str) -> str:
    """Return the address of a cluster, or `local` to start one; raises OSError where none listens.

    Ray itself would wait for minutes, also for a cluster that ended and left its address behind.
    """
    if address == "auto" and not (address := os.environ.get("RAY_ADDRESS", "")):
        noted = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")
        try:
            address = noted.read_text().strip()
            _connect(address)
        except OSError:
            return "local"
    elif address != "local":
        _connect(address)
    return address


def _connect(address: str) -> None:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError("it is not HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def _share_out(
    session: Session, resources: dict[str, float], actors: int | None
) -> tuple[Session, dict[str, int], int]:
    """Return the session of an actor, what it needs, and how many there are."""
    gpus = int(resources.get("GPU", 0))
    if session.device != "cpu" and gpus:
        return session, {"num_cpus": 1, "num_gpus": 1}, actors or gpus
    if session.device == "auto":
        session = replace(session, device="cpu")
    return session, {"num_cpus": 1}, actors or max(int(resources.get("CPU", 1)), 1)


def _planned(task: Task, overwrite: bool) -> _Planned:
    source, output = (str(path) if is_url(path) else os.path.abspath(path) for path in task)
    return _Planned(source, output, _time_of(output) if overwrite else None)


def _time_of(output: str) -> int | None:
    """Return the time of a file; None if it is missing, or empty as after a power cut."""
    try:
        found = os.stat(output)
    except OSError:
        return None
    return found.st_mtime_ns if found.st_size else None


def _absolute(model: str) -> str:
    """Return the absolute path of a model; names of shipped models and addresses stay."""
    return os.path.abspath(model) if os.path.exists(model) else model


def _split(word: str) -> tuple[str, str]:
    """Return model and direction of a word of --then."""
    path, _, direction = word.rpartition(":")
    return (path, direction) if direction in ("A2B", "B2A") else (word, "")
