"""A second session of an .onnx file on a CPU, with Winograd's convolutions (i2i.models.winograd), for many pictures."""

import mmap
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from i2i.images import Array
from i2i.models.winograd import rewritten

MANY = 24
"""Images from which on it pays: to open and to prove it takes as long as four or five images save."""
_MOST_VALUES = 3 * 512 * 512
"""Of an input: transformed tiles take memory, and larger images are estimated without them (plan.py)."""
_EQUAL = 0.25 * 2 / 255
"""Most that outputs may differ, a quarter of a grey level; files with 8-bit outputs may differ by one."""


class QuickSession:
    """Stands in for the session of a file once an image has come out of both alike; safe to use from several threads.

    A rule decides where it is used, and no measurement: outputs must not depend on what else the machine does.
    """

    def __init__(self, path: Path, open_session: Callable[..., Any]):
        """open_session: takes a path and, as `content`, what to open in its place."""
        self.path, self.open_session = path, open_session
        self.session: Any = None
        self._is_tried, self._lock = False, threading.Lock()

    def run(self, session: Any, inputs: Mapping[str, Array], options: Any) -> list[Any]:
        """Return the outputs for these inputs, of the quick session or of `session`, the file's own."""
        (batch,) = inputs.values()
        if len(batch) != 1 or batch.size > _MOST_VALUES:
            return list(session.run(None, inputs, options))
        with self._lock:  # the others wait for the proof: whichever image is the first, all go the same way
            if not self._is_tried:
                self._is_tried = True
                return self._first_run(session, inputs, options)
        return list((self.session or session).run(None, inputs, options))

    def _first_run(self, session: Any, inputs: Mapping[str, Array], options: Any) -> list[Any]:
        """Return the outputs for the first inputs, and keep the quick session if its are equal."""
        outputs = list(session.run(None, inputs, options))
        with self.path.open("rb") as file:
            made = rewritten(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))  # closed with its views
        if made is None:
            return outputs
        try:
            quick = self.open_session(self.path, content=made)
            found = list(quick.run(None, inputs, options))
        except Exception:  # onnxruntime's exceptions share no base but Exception; out of memory, for one
            return outputs
        if not equal(np.asarray(outputs[0]), np.asarray(found[0])):
            return outputs
        self.session = quick
        return found


def equal(one: Array, other: Array) -> bool:
    """Whether two outputs are equal but for rounding."""
    most = 1 if one.dtype == np.uint8 else _EQUAL
    return one.shape == other.shape and bool(np.abs(one.astype(np.float32) - other).max() <= most)
