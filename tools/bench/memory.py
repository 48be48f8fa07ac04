"""Measure the peak memory of every command, each in a process of its own, on small data. Linux only.

    OMP_NUM_THREADS=1 python tools/bench/memory.py [--only train translate] [--folder NEW]

The runs and files that a command needs come from the commands above it, so `--only` also runs these. The figure is the
peak resident memory of the command's process; that of a loader or of the trial of an .onnx file is its own. The rows of
imports alone say what is Python's and the libraries' part.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LINEART, MAPS = (Path(__file__).parents[2] / "datasets" / name for name in ("lineart", "maps"))
_SHORT = (
    "--device cpu --set schedule.epochs=null --set schedule.decay_epochs=null --set schedule.images={} "
    "--set schedule.decay_images=0"
)
_FEW = f"{_SHORT.format(64)} --set log.sample_count=8"
_NOISE = f"--data pictures --set data.resize_px=32 {_FEW}"
TRAININGS = {
    "run": f"lineart --data {LINEART} {_FEW}",
    "faces": f"dcgan_emoji --data {LINEART} {_FEW}",
    "vae": f"vae_digits {_NOISE}",
    "styles": f"style_fashion {_NOISE}",
    "plain": f"pix2pix --data {MAPS} {_SHORT.format(4)} --set log.sample_count=2",
}
PICTURE = "pictures/0.png"
COMMANDS = [  # what it shows, and its words; their order is that of `i2i --help`, but for what a later one needs
    ("init", "init pix2pix -o new.yaml"),
    *((f"train {words.split()[0]}", f"train {words} --out {name}") for name, words in TRAININGS.items()),
    ("export", "export run -o model.onnx"),
    ("export --io image", "export run -o pixels.onnx --io image"),
    ("export to .pth", "export plain -o latest_net_G.pth"),
    ("translate, .onnx, one picture", f"translate {PICTURE} -m model.onnx -o one.png"),
    ("translate, .onnx, 64 pictures", "translate pictures -m model.onnx -o many"),
    ("translate, .onnx, 2048 x 2048 px", "translate large.png -m model.onnx -o large_made.png"),
    ("translate, run folder, 64 pictures", "translate pictures -m run -o again"),
    ("generate, 64 pictures", "generate -m faces -n 64 -o grid.png"),
    ("interpolate", "interpolate -m faces --seeds 3,17,3 --steps 10 -o strip.png"),
    ("mix", "mix -m styles --coarse 3,8,12 --fine 5,9 -o mixes.png"),
    ("traverse", "traverse -m faces --code noise:4 -o fourth.png"),
    ("arithmetic", "arithmetic -m faces 3,8,12 5,9,2 1,4,7 -o sum.png"),
    ("breed", "breed -m faces -o litter"),
    ("encode, 64 pictures", "encode pictures -m vae -o latents.npy --fit resize"),
    ("invert, one picture", f"invert {PICTURE} -m faces -o found.npy --fit resize --steps 50"),
    ("evaluate, 152 pairs", f"evaluate -m run --data {LINEART}"),
    ("diagnose", "diagnose run"),
    ("compare", "compare run plain -o compare.html --no-scores"),
    ("bench, 256 x 256 px", "bench -m model.onnx --size 256x256 --batch 1 --seconds 0.5"),
    ("card", "card run -o CARD.md"),
    ("push --dry-run", "push run anna/lineart --dry-run hub --licence mit"),
    ("serve, one request", "serve model.onnx --port {port}"),
    ("shard", f"shard {MAPS} -o shards"),
    ("import", "import latest_net_G.pth -o imported.safetensors"),
    ("info", "info model.onnx"),
    ("models", "models lineart"),
    ("doctor", "doctor"),
    ("doctor, 400 pairs", f"doctor {LINEART}"),
    ("weights", "weights"),
    ("completion", "completion bash"),
]
IMPORTS = ["sys", "numpy, PIL.Image", "onnxruntime", "torch", "torch, lightning_fabric"]


def run(words: list[str], folder: Path, serving: str = "") -> float:
    """Run a process; return its peak in MiB. serving: its address, if it is a server, which gets one request."""
    with (folder / "log").open("w+b") as log:
        child = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
        if serving:
            _ask(serving, (folder / PICTURE).read_bytes(), child)
            child.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in ((0, 128 + signal.SIGTERM) if serving else (0,)):
            log.seek(0)
            sys.exit(f"{shlex.join(words)} ended with {child.returncode}:\n{log.read().decode()[-2000:]}")
    return used.ru_maxrss / 1024


def _ask(address: str, picture: bytes, child: "subprocess.Popen[bytes]") -> None:
    """Send a picture as soon as the server answers."""
    for _ in range(600):
        if child.poll() is not None:
            sys.exit("The server has ended.")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                break
        except OSError:
            time.sleep(0.1)
    request = urllib.request.Request(f"{address}/translate", picture, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


_PICTURES = """
import sys
from pathlib import Path
from PIL import Image
folder = Path("pictures")
folder.mkdir()
for number, path in enumerate(sorted(Path(sys.argv[1], "train").glob("*.png"))[:64]):
    Image.open(path).crop((64, 0, 128, 64)).convert("RGB").save(folder / f"{number}.png")
Image.open(folder / "0.png").resize((2048, 2048)).save("large.png")
"""


def main() -> None:
    """Run each command, and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="A new folder to keep what the commands write.")
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="Show the rows that begin with one of these.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=options.folder is None)
        run([sys.executable, "-c", _PICTURES, str(LINEART)], folder)
        print("| command | MiB |\n|---|--:|")
        for names in IMPORTS:
            print(
                f"| *import {names} alone* | {run([sys.executable, '-c', f'import {names}'], folder):.0f} |", flush=True
            )
        for title, words in COMMANDS:
            port = 20_000 + os.getpid() % 20_000
            serving = f"http://127.0.0.1:{port}" if words.startswith("serve") else ""
            given = [sys.executable, "-m", "i2i", *shlex.split(words.replace("{port}", str(port)))]
            peak = run(given, folder, serving)
            if not options.only or title.startswith(tuple(options.only)):
                print(f"| {title} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
