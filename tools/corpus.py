"""Run `i2i translate` on every file of a folder, of any kind: each must give a picture or one message.

    python tools/corpus.py FOLDER MODEL [options of i2i translate]

A good folder is Tests/images of Pillow's source distribution: `pip download --no-binary pillow --no-deps pillow`, and
unpack. Files with other endings are linked as .png, since the content decides how a file is read. The exit code is 1
if a file gave neither a picture nor a message, if there was a traceback or a crash, or if memory exceeded 1 GB.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from i2i.images import FORMATS

MOST_BYTES = 10**9
MOST_S = 600


def link(folder: Path, target: Path) -> int:
    """Link every file under `folder` into `target`, with the ending of a picture; return their number."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        name = path.name if path.suffix.lower() in FORMATS else f"{path.name}.png"
        (target / f"{number:04}_{name.lstrip('.')}").symlink_to(path.absolute())
    return len(files)


def main() -> int:
    """Run, print a report, and return the exit code."""
    folder, model, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as made:
        source, output, report = Path(made, "in"), Path(made, "out"), Path(made, "report.json")
        source.mkdir()
        count = link(Path(folder), source)
        words = ["translate", str(source), "-m", model, "-o", str(output), "--report", str(report), *options]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "i2i", *words], capture_output=True, text=True, timeout=MOST_S, check=False
        )
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        written = sum(path.is_file() for path in output.rglob("*"))
        failures = json.loads(report.read_text(encoding="utf-8"))["failures"] if report.exists() else []
    for failure in failures:
        print(failure["reason"].replace(str(source) + os.sep, ""))
    messages = Counter(line for line in done.stderr.splitlines() if not line.startswith("Refused: "))
    print(f"\nOther messages: {json.dumps(messages, indent=1)}")
    print(f"{count} files, {written} pictures, {len(failures)} refused, exit code {done.returncode}, ", end="")
    print(f"{seconds:.0f} s, at most {peak / 1e6:.0f} MB.")
    wrong = written + len(failures) != count or "Traceback" in done.stderr or done.returncode not in (0, 3)
    return 1 if wrong or peak > MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
