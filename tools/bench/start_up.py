"""Compare the processor time of `i2i train` up to its first step with that of importing its libraries alone.

    python tools/bench/start_up.py [PRESET [DATA]]
    python tools/bench/start_up.py MODEL.onnx PICTURE

The libraries are torch and lightning_fabric. The second command compares `i2i translate` of one picture with a bare
ONNX Runtime session of the same file. The two sides are separate processes and take turns, after one that does not
count and compiles the modules, as an installation has them. Prints the medians, and the median of the ratios or of the
differences.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 5
IMPORTS = "import torch, lightning_fabric"
TRAIN = """
import os, sys
from i2i.cli import cli
from i2i.training.engine import Engine

Engine.train_step = lambda *_: os._exit(0)  # the first step ends the process
cli.main(["train", *sys.argv[1:]], standalone_mode=False)
sys.exit("There was no first step.")
"""
SESSION = """
import sys, numpy, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
session.run(None, {session.get_inputs()[0].name: numpy.zeros((1, 3, 256, 256), numpy.float32)})
"""
TRANSLATE = """
import sys
from i2i.cli import cli

cli.main(["translate", *sys.argv[1:]], standalone_mode=False)
"""


def seconds(compiled: str, code: str, *words: str) -> float:
    """Return the processor time of a Python process that runs `code`; compiled: a folder for compiled modules."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *words], check=True, stderr=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def translate(model: str, picture: str) -> None:
    """Measure a session and the command in turns, and print one line."""
    with tempfile.TemporaryDirectory() as folder:
        words = [picture, "-m", model, "-o", str(Path(folder) / "a.png"), "--overwrite"]
        pairs = [(seconds(folder, SESSION, model), seconds(folder, TRANSLATE, *words)) for _ in range(ROUNDS + 1)][1:]
    alone, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
    beyond = statistics.median(two - one for one, two in pairs)
    print(f"bare session {alone:.2f} s, `translate` {whole:.2f} s of processor time: {beyond:.2f} s more")


def main(preset: str = "lineart", data: str = "datasets/lineart") -> None:
    """Measure imports and the command in turns, and print one line."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            (
                seconds(folder, IMPORTS),
                seconds(folder, TRAIN, preset, "--data", data, "--out", str(Path(folder) / str(number))),
            )
            for number in range(ROUNDS + 1)
        ][1:]
    alone, train = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(two / one for one, two in pairs)
    print(
        f"imports alone {alone:.2f} s, `train {preset}` to its first step {train:.2f} s of processor time: {ratio:.2f}"
    )


if __name__ == "__main__":
    (translate if sys.argv[1:2] and sys.argv[1].endswith(".onnx") else main)(*sys.argv[1:])
