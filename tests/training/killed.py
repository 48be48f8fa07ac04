"""Kill a training over and over and resume it each time: `python -m tests.training.killed CONFIG.yaml FOLDER KILLS`.

Half of the kills aim at a save. Every training is a fork of this process, which has imported everything and trained
nothing, so that a round takes a second or two.
"""

import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import i2i
from i2i.config.settings import Config
from i2i.files import TEMP_PREFIX
from i2i.training import loop  # noqa: F401 - before the first fork
from i2i.training.checkpoint import list_checkpoints, verify_checkpoint


def start(config: Config, out: Path) -> int:
    """Fork a training into `out`, resumed where there is one; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        i2i.train(config, out, resume=True)
        os._exit(0)
    finally:
        os._exit(1)


def moment(draw: random.Random, longest_s: float) -> Callable[[], bool]:
    """Return a function that turns true at a random moment within so many seconds."""
    due = time.monotonic() + draw.random() * longest_s
    return lambda: time.monotonic() > due


def save(draw: random.Random, out: Path) -> Callable[[], bool]:
    """Return a function that turns true while one of the next few checkpoints is written."""
    seen: set[Path] = set()
    wanted = draw.randint(1, 4)

    def due() -> bool:
        seen.update(out.glob(f"checkpoints/{TEMP_PREFIX}*"))
        return len(seen) >= wanted

    return due


def kill(pid: int, due: Callable[[], bool]) -> bool:
    """Kill the training when `due()` is true; return False if it ended before."""
    while not due():
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f"a training ended with status {status}"
            return False
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def main(config: Config, folder: Path, kills: int) -> None:
    """Train straight, then with kills, in as many runs as they need, and compare the models."""
    draw, began, counts = random.Random(0), time.monotonic(), Counter[str]()
    assert os.waitpid(start(config, folder / "straight"), 0)[1] == 0
    longest_s = time.monotonic() - began
    for run in itertools.count(1):
        out = folder / f"run{run}"
        alive = True
        while alive and counts.total() < kills:
            kind, due = draw.choice([("moment", moment(draw, longest_s)), ("save", save(draw, out))])
            alive = kill(start(config, out), due)
            counts[kind] += alive
            for path in list_checkpoints(out / "checkpoints"):
                verify_checkpoint(path)
        assert os.waitpid(start(config, out), 0)[1] == 0
        models = [one / "model.safetensors" for one in (folder / "straight", out)]
        assert models[0].read_bytes() == models[1].read_bytes(), f"{models[1]} differs from {models[0]}"
        assert not list(out.rglob(f"{TEMP_PREFIX}*")), f"{out} holds temporary files"
        if counts.total() == kills:
            break
    print(f"{kills} kills in {run} runs, {counts['save']} in a save: all resumed, all models equal")


if __name__ == "__main__":
    main(i2i.load_config(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
