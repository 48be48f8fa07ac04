"""The models of a server: the least recently used are closed when all take too much, and opened when asked for."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from i2i.errors import ModelError, UsageError
from i2i.models.modelfile import find_model
from i2i.models.spec import GENERATE, ModelSpec
from i2i.runtime.backends import open_backend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator

Opened = Translator | ImageGenerator


class Served(NamedTuple):
    """A model file under the name that it is served by."""

    name: str
    path: Path
    spec: ModelSpec
    parts: tuple[str, ...]
    """Directions, and `generate`."""
    bytes: int
    """Size of the file."""


class ModelStore:
    """Models by name and part, at most `most_bytes` of files open at a time, or one larger one.

    A model that is closed while it computes goes on to its end, so for that time there may be more.
    """

    def __init__(self, models: Sequence[str], device: str, threads: int, most_bytes: int):
        """Open every part once, so that a broken model is found now; the last ones stay open.

        threads: CPU threads of one network call. Raises ModelError, and UsageError for two models of one name.
        """
        self.device, self.threads, self.most_bytes = device, threads, most_bytes
        self.served: dict[str, Served] = {}
        self.on_change: Callable[[str], None] = lambda what: None
        """Called with opened or closed."""
        self._open: OrderedDict[tuple[str, str], Opened] = OrderedDict()
        self._lock, self._opening = threading.Lock(), threading.Lock()
        for model in models:
            self._add(model)

    def get(self, name: str, part: str) -> Opened:
        """Return an open model; others are not held up while one opens. Raises ModelError and UsageError."""
        if found := self._touch(name, part):
            return found
        with self._opening:
            if found := self._touch(name, part):  # opened meanwhile
                return found
            opened = _open(self.served[name].path, name, lambda spec: part, self.device, self.threads)
            self._keep(name, part, opened)
        return opened

    def open_bytes(self) -> int:
        """Return the size of the files of all open parts; a file with two parts counts for each."""
        with self._lock:
            return self._open_bytes()

    def is_open(self, name: str) -> bool:
        """Whether any part of a model is open."""
        with self._lock:
            return any(name == one for one, _ in self._open)

    def newest(self) -> Opened:
        """Return the model that was used last."""
        with self._lock:
            return next(reversed(self._open.values()))

    def _add(self, model: str) -> None:
        file = find_model(Path(model)).resolve()
        name = file.parent.name if file.stem == "model" else file.stem
        if name in self.served:
            raise UsageError(f"{model} and {self.served[name].path} are both called {name}. Rename one of them.")
        opened = _open(file, name, lambda spec: _parts(spec, model)[0], self.device, self.threads)
        first, *others = _parts(opened.spec, model)
        self.served[name] = Served(name, file, opened.spec, (first, *others), file.stat().st_size)
        self._keep(name, first, opened)
        for part in others:
            self.get(name, part)

    def _touch(self, name: str, part: str) -> Opened | None:
        with self._lock:
            if found := self._open.get((name, part)):
                self._open.move_to_end((name, part))
            return found

    def _keep(self, name: str, part: str, opened: Opened) -> None:
        with self._lock:
            self._open[name, part] = opened
            self.on_change("opened")
            while len(self._open) > 1 and self._open_bytes() > self.most_bytes:
                self._open.popitem(last=False)
                self.on_change("closed")

    def _open_bytes(self) -> int:
        return sum(self.served[name].bytes for name, _ in self._open)


def _open(path: Path, name: str, pick: Callable[[ModelSpec], str], device: str, threads: int) -> Opened:
    spec, backend, part = open_backend(path, pick, device, threads=threads)
    return ImageGenerator(spec, backend) if part == GENERATE else Translator(spec, backend, part, model=name)


def _parts(spec: ModelSpec, model: str) -> tuple[str, ...]:
    """Return what of a model can be served; raises ModelError."""
    maker = spec.latent_generator
    parts = (*spec.generators, *((GENERATE,) if maker and maker.out_meaning != "points" else ()))
    if not parts:
        raise ModelError(f"{model} makes points, and a server sends pictures. Use `i2i generate`.")
    return parts
