"""Compare `i2i serve` with `i2i translate` on the same pictures and device.

    python tools/bench/serve.py [--network unet16] [--pictures 48] [--rounds 3] [--clients 4]

The pictures are 256 px JPEGs, sent over kept connections and answered as PNG; the network has random weights and is an
.onnx file. The server is a process of its own, the clients are threads of this one. Both sides take turns. Prints
medians of pictures a second and of processor time for each picture, which other programs disturb less.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from translate import write_model, write_pictures  # beside this script

from i2i.runtime.folder import list_tasks
from i2i.runtime.pictures import PictureOptions
from i2i.runtime.pipeline import MANY, setup_for, translate_files
from i2i.runtime.translator import Translator


def translate(model: Path, source: Path, output: Path) -> tuple[float, float]:
    """Translate a folder in this process; return seconds and seconds of processor time."""
    workers, threads = setup_for(MANY)
    translator = Translator.open(model, threads=threads)
    tasks = list_tasks([source], output, 3, overwrite=True, options=PictureOptions(format="png"))
    began, used = time.perf_counter(), time.process_time()
    translate_files(translator, tasks, options=PictureOptions(format="png"), workers=workers)
    return time.perf_counter() - began, time.process_time() - used


def ask(port: int, bodies: Iterator[bytes]) -> None:
    """Send pictures over one connection until none are left."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        connection.request("POST", "/translate", body, {"Accept": "image/png"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()


class Locked:
    """An iterator for several threads."""

    def __init__(self, items: list[bytes]):
        self._items, self._lock = iter(items), threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        """Return itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next item."""
        with self._lock:
            return next(self._items)


def serve(server: "subprocess.Popen[str]", port: int, bodies: list[bytes], clients: int) -> tuple[float, float]:
    """Let the server do the same pictures; return seconds and seconds of its processor time."""
    items = Locked(bodies)
    threads = [threading.Thread(target=ask, args=(port, items)) for _ in range(clients)]
    began, used = time.perf_counter(), processor_s(server.pid)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, processor_s(server.pid) - used


def processor_s(pid: int) -> float:
    """Return the processor time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="unet16")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (source := folder / "in").mkdir()
        write_pictures(source, options.pictures)
        _, model = write_model(folder, options.network, source, export=True)
        words = [sys.executable, "-m", "i2i", "serve", str(model), "--port", "0"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout
            port = int(server.stdout.readline().strip().rpartition(":")[2])
            bodies = [path.read_bytes() for path in sorted(source.iterdir())]
            serve(server, port, bodies[:8], options.clients)
            pairs = [
                (translate(model, source, folder / "out"), serve(server, port, bodies, options.clients))
                for _ in range(options.rounds)
            ]
            server.terminate()
        for side, rounds in zip(("translate", "serve"), zip(*pairs, strict=True), strict=True):
            walls, used = zip(*rounds, strict=True)
            speed, cost = options.pictures / statistics.median(walls), statistics.median(used) / options.pictures
            print(f"{side:9} {speed:6.1f} img/s, {1000 * cost:.1f} ms of processor time a picture")
        wall = statistics.median(one[0] / two[0] for one, two in pairs)
        cost = statistics.median(one[1] / two[1] for one, two in pairs)
        print(f"serve has {wall:.0%} of the throughput of translate; by processor time {cost:.0%}")


if __name__ == "__main__":
    main()
