"""The child process of i2i.models.trial, run as a script: it opens a model in ONNX Runtime and runs it on zeros.

It imports nothing from i2i or from the user's program. It reads a line of JSON for each step, and answers with one. It
ends when its input ends, or when its parent kills it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

_MOST_LETTERS = 400


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # keep what libraries print out of the answers
    setup = json.loads(sys.stdin.readline())
    sys.path[:] = setup["import_path"]
    import onnxruntime  # noqa: F401 - loaded before memory is limited

    _limit(setup["memory_bytes"], setup["cpu_seconds"])
    session = None
    _say(answers, {})  # ready: from here on, the time is the model's
    for line in sys.stdin:
        try:
            if session is None:
                session, answer = _open(setup["file"], setup["threads"]), {}
            else:
                answer = _run(session, **json.loads(line))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            answer = {"error": (str(error) or type(error).__name__).splitlines()[0][:_MOST_LETTERS]}
        _say(answers, answer)


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


def _run(session: Any, shape: list[int], dtype: str) -> dict[str, Any]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    inputs = {session.get_inputs()[0].name: np.zeros(shape, dtype)}
    output = np.asarray(session.run(None, inputs, options)[0])
    return {"shape": output.shape, "finite": bool(np.isfinite(output).all())}


def _open(file: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")  # as checked, whatever the suffix
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _limit(memory_bytes: int | None, cpu_seconds: int) -> None:
    """Limit further memory (Linux only), and processor time in case the parent dies (macOS, too)."""
    try:
        import resource
    except ImportError:  # Windows: only the parent's clock limits it
        return
    limits = {resource.RLIMIT_CPU: cpu_seconds, resource.RLIMIT_CORE: 0}
    if memory_bytes is not None and sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limits[resource.RLIMIT_DATA] = pages * resource.getpagesize() + memory_bytes
    for kind, limit in limits.items():
        given = resource.getrlimit(kind)
        least = min([limit, *(one for one in given if one != resource.RLIM_INFINITY)])
        resource.setrlimit(kind, (least, given[1]))


if __name__ == "__main__":
    main()
