"""Real trainings, a built wheel and the quickstart, as a newcomer meets them."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest
import torch

import i2i
from i2i.config import to_yaml
from i2i.exporting.page import RUNTIME, RUNTIME_FILES
from i2i.files import read_json_lines
from i2i.images import read_image
from i2i.images.listing import list_pictures
from i2i.networks import GENERATORS, DCGANGenerator
from i2i.report.record import WARNING
from tests.conftest import LINEART, ROOT, load_script, run_i2i, smallest_config, tiny_config

pytestmark = pytest.mark.slow

installed = load_script(ROOT / "tools" / "installed_size.py")


class TestQuickstart:
    """In a class, so that one worker runs these tests."""

    @pytest.fixture(scope="class")
    @classmethod
    def quickstart(cls, tmp_path_factory):
        """The quickstart with a smaller budget, in this environment, called from another folder."""
        out = tmp_path_factory.mktemp("quick") / "run"
        words = [str(ROOT / "tools" / "quickstart"), "--images", "1000", "--out", str(out)]
        environment = {**os.environ, "I2I_PYTHON": sys.executable}

        def call():
            return subprocess.run(words, capture_output=True, text=True, cwd=out.parent, env=environment, check=False)

        return out, call(), call

    def test_quickstart_leaves_what_it_promises(self, quickstart):
        out, first, _ = quickstart
        assert first.returncode == 0, first.stderr
        for name in ("report.html", "model.safetensors", "model.onnx"):
            assert f"{out / name}" in first.stdout
            assert (out / name).stat().st_size > 10_000
        outputs = list_pictures(out / "test" / "output")
        assert {path.name for path in outputs} == {path.name for path in (LINEART / "test").glob("*.png")}
        assert {read_image(path).shape for path in outputs} == {(64, 64, 3)}
        page = (out / "report.html").read_text(encoding="utf-8")
        assert page.count("data:image/webp;base64,") == 2  # a preview and the worst pairs
        data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
        assert len(data["charts"]) == 10  # five losses, accuracy, gradients, L1, diversity, near duplicates
        assert 'src="http' not in page
        assert "href=" not in page

    def test_a_short_real_training_beats_every_baseline(self, quickstart):
        """On the test split, in both L1 and SSIM; a full quickstart reaches more."""
        out, _, _ = quickstart
        (kept,) = (out / "scores").glob("pairs.test.B2A.*.json")
        scores = json.loads(kept.read_text())
        for baseline in scores["baselines"].values():
            assert scores["model"]["l1"] < baseline["l1"]
            assert scores["model"]["ssim"] > baseline["ssim"]
        assert scores["model"]["l1"] < 56
        assert scores["model"]["ssim"] > 0.4

    def test_quickstart_again_trains_nothing_twice(self, quickstart):
        out, _, call = quickstart
        model = (out / "model.safetensors").read_bytes()
        log = (out / "metrics.jsonl").read_text()
        started = time.monotonic()
        again = call()
        assert again.returncode == 0, again.stderr
        assert "finished" in again.stderr
        assert time.monotonic() - started < 60
        assert (out / "model.safetensors").read_bytes() == model
        assert (out / "metrics.jsonl").read_text() == log


@pytest.mark.parametrize(
    ("word", "images", "made"),
    [
        ("cyclegan", 64, ("evaluation.png", "test/output/y0225x3072.png")),
        ("dcgan", 640, ("generated/grid.png", "generated/walk.webp")),
    ],
)
def test_quickstart_runs_cyclegan_and_dcgan(tmp_path, word, images, made):
    words = [str(ROOT / "tools" / "quickstart"), word, "--images", str(images), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "I2I_PYTHON": sys.executable}, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("report.html", "model.safetensors", "model.onnx", *made):
        assert (tmp_path / "run" / name).stat().st_size > 500, name
    assert "Next:" in done.stdout


class BlindGenerator(DCGANGenerator):
    """A generator that ignores z."""

    def forward(self, latent):
        return super().forward(torch.zeros_like(latent))


class TestAlarms:
    """Failing trainings warn, a healthy one does not."""

    @pytest.mark.parametrize(
        ("illness", "changes", "warning"),
        [
            ("healthy", [], None),
            ("rate", ["optimizer.lr_discriminator=8e-4"], "discriminator D"),
            ("blind", [], "mode collapse"),
        ],
    )
    def test_alarms_on_pictures(self, tmp_path, monkeypatch, illness, changes, warning):
        """A GAN on the shipped pictures, healthy, or failing: twenty times the discriminator's rate, or blind to z.

        Over fewer steps than the default, in which the samples of a healthy run do not differ as much as later, and at
        low rates: at higher ones the discriminator that runs ahead falls back now and then, in one run and not in
        another.
        """
        if illness == "blind":
            monkeypatch.setitem(GENERATORS, "dcgan", BlindGenerator)
        small = ["data.resize_px=32", "data.crop_px=32", "generator.width=16", "discriminator.width=8"]
        short = [
            "optimizer.lr=4e-5",
            "schedule.images=9600",
            "alarms.steps=100",
            "alarms.alike_steps=100",
            "alarms.diversity=0.05",
        ]
        logs = ["log.every_images=800", "log.samples_every_images=800"]
        config = i2i.load_config("dcgan_emoji", [f"data.path={LINEART}", *small, *short, *logs, *changes])
        i2i.train(config, tmp_path / "run")
        rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
        said = [row["text"] for row in rows if row["split"] == WARNING]
        assert any(warning in text for text in said) if warning else said == []
        assert ("Warnings" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")) == bool(warning)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def add_runtime(package):
    """Let empty files stand in for the runtime for browsers, where the checkout of the wheel lacks it."""
    web = package / "exporting" / "web"
    web.mkdir(exist_ok=True)
    for name in RUNTIME_FILES.values():
        (web / f"{name}.gz").touch()


@pytest.fixture
def whole(tmp_path, wheel):
    """A function that runs the installed wheel in tmp_path, without the checkout, and returns what it printed.

    With I2I_EMPTY_ENVIRONMENT set, as on GitHub, it lies in an environment of its own with all that it needs, which
    takes minutes and 6 GB; without, beside the packages of this one.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if os.environ.get("I2I_EMPTY_ENVIRONMENT"):
        folder = tmp_path / "environment"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
        install = [f"{wheel}[train]"]
    else:
        python, folder = sys.executable, tmp_path / "site"
        install = ["--no-deps", "--target", str(folder), str(wheel)]
        environment["PYTHONPATH"] = str(folder)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *install], check=True, capture_output=True)

    def run(*words):
        command = [python, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    package = Path(run("-c", "import i2i; print(i2i.__file__)").strip()).parent
    assert package.is_relative_to(folder)
    add_runtime(package)
    yield run
    shutil.rmtree(folder)


def test_an_installed_wheel_is_as_good_as_a_clone(tmp_path, whole):
    """Install it elsewhere; train by a preset's name without a checkout, export, translate and make a page."""
    tiny = tiny_config().model_dump(mode="json")
    words = [
        f"--set={section}.{name}={json.dumps(tiny[section][name])}"
        for section, names in {
            "data": ("resize_px", "crop_px"),
            "generator": ("depth", "width"),
            "discriminator": ("layers", "width"),
            "schedule": ("images", "decay_images"),
            "train": ("device",),
        }.items()
        for name in names
    ]
    words += ["--set=schedule.epochs=null", "--set=schedule.decay_epochs=null"]
    whole("-m", "i2i", "train", "pix2pix", "--data", LINEART, "--out", "run", *words)
    assert (tmp_path / "run" / "report.html").is_file()  # whose script and style are files of the package
    whole("-m", "i2i", "export", "run", "-o", "model.onnx")
    whole("-m", "i2i", "translate", LINEART / "test", "-m", "model.onnx", "-o", "out")
    assert len(list((tmp_path / "out").iterdir())) == 152
    whole("-m", "i2i", "export", "run", "--page", "page.html")
    assert 'id="model-A2B"' in (tmp_path / "page.html").read_text("utf-8")


@pytest.fixture(scope="module")
def runtime_half(tmp_path_factory, wheel):
    """The Python of an environment that holds the wheel with its extras `runtime` and `serve`, and its packages."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", f"{wheel}[runtime,serve]"]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode and "No matching distribution" in installed.stderr:
        pytest.skip("no package index")
    assert installed.returncode == 0, installed.stderr
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return python, Path(
        subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    )


def without_checkout(python, *words, **options):
    """The words and options of a call of `i2i` that sees no checkout: Python looks for modules where it is called."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = {"cwd": python.parent, "env": environment}
    return {"args": [str(python), "-m", "i2i", *map(str, words)], "text": True, **where, **options}


def test_without_the_training_half_an_onnx_file_is_used_alike(tmp_path, runtime_half, tiny_onnx, noise_onnx):
    """The wheel with its extra `runtime` in an empty environment: no torch, and the same pixels."""

    def run(*words):
        asked = without_checkout(runtime_half[0], *words, capture_output=True, cwd=tmp_path, check=False)
        return subprocess.run(asked.pop("args"), **asked)

    picture = sorted((LINEART / "test").iterdir())[0]
    made = ("generate", "-m", noise_onnx, "--seed", "3", "-n", "4", "-o")
    for words in (("translate", picture, "-m", tiny_onnx, "-o"), made):
        there, here = tmp_path / f"{words[0]}.there.png", tmp_path / f"{words[0]}.here.png"
        done = run(*words, there)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Error") == 0
        assert run_i2i(*words, here).returncode == 0
        assert there.read_bytes() == here.read_bytes()
    assert run("info", tiny_onnx).returncode == 0
    lines = (("train", "lineart", "--data", LINEART, "--out", "run"), ("export", "lineart", "-o", "m.onnx"))
    for words in (*lines, ("evaluate", "-m", tiny_onnx, "--data", LINEART)):
        refused = run(*words)
        assert (refused.returncode, "[train]" in refused.stderr) == (2, True), refused.stderr


def test_without_the_training_half_pictures_are_served(runtime_half, tiny_onnx):
    picture = sorted((LINEART / "test").iterdir())[0].read_bytes()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    asked = without_checkout(runtime_half[0], "serve", tiny_onnx, "--port", "0", "--workers", "1", **pipes)
    with subprocess.Popen(asked.pop("args"), **asked) as process:
        try:
            address = process.stdout.readline().strip()
            ask = urllib.request.Request(f"{address}/translate", picture, {"Accept": "image/png"})
            with urllib.request.urlopen(ask, timeout=60) as answer:
                assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
            with urllib.request.urlopen(address, timeout=60) as page:
                assert b"<html" in page.read()
        finally:
            process.kill()


def test_without_the_training_half_a_page_is_written(tmp_path, runtime_half, tiny_run):
    python, packages = runtime_half
    i2i.export(tiny_run, tmp_path / "model.onnx", io="image")
    add_runtime(packages / "i2i")
    words = ("export", tmp_path / "model.onnx", "--page", tmp_path / "page.html")
    asked = without_checkout(python, *words, capture_output=True, check=False)
    done = subprocess.run(asked.pop("args"), **asked)
    assert done.returncode == 0, done.stderr
    assert 'id="model-B2A"' in (tmp_path / "page.html").read_text("utf-8")


def test_without_the_training_half_an_install_takes_under_300_mb(runtime_half):
    """On the disk, without pip, and with 10.4 MB for the pages' runtime if this checkout lacks it."""
    found = installed.sizes(runtime_half[1])
    assert not {"torch", "opencv-python-headless", "imagecodecs"} & {*found}
    disk = sum(size.disk for name, size in found.items() if name not in ("pip", "setuptools")) / 1e6
    disk += 0 if RUNTIME.is_dir() else 10.4
    here = installed.sizes(Path(sysconfig.get_path("purelib")))
    with_opencv = disk + here["opencv-python-headless"].disk / 1e6
    print(f"{disk:.0f} MB with serve; with OpenCV, too, {with_opencv:.0f} MB")
    assert disk < 300
    assert with_opencv > 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
@pytest.mark.parametrize("kind", ["pix2pix", "cyclegan", "gan"])
def test_a_training_killed_at_random_moments_is_the_same_training(kind, tmp_path):
    """kill -9, also during saves, then --resume: checkpoints stay whole, the model is that of an undisturbed run."""
    config = smallest_config(kind, LINEART, "schedule.images=80", "log.samples_every_images=40")
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    words = [sys.executable, "-m", "tests.training.killed", str(tmp_path / "config.yaml"), str(tmp_path), "4"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "all resumed" in done.stdout


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX")
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGINT"])
def test_a_training_stops_and_goes_on_when_the_scheduler_says_so(name, tmp_path):
    """As Slurm does before the time limit, and Ctrl-C to all processes of a terminal, loaders included."""
    words = ["train", "lineart", "--data", str(LINEART), "--device", "cpu", "--out", str(tmp_path / "run")]
    settings = ["schedule.images=80", "schedule.decay_images=0", "log.every_images=8", "data.workers=1"]
    small = ["data.resize_px=32", "data.crop_px=32", "generator.depth=5", "generator.width=8", "discriminator.width=8"]
    words += [f"--set={one}" for one in (*settings, *small)]
    command, log = [sys.executable, "-m", "i2i", *words], tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not (log.exists() and log.read_text(encoding="utf-8")) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, getattr(signal, name))
        _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + getattr(signal, name)
    assert f"{name}: stopped" in said
    again = ["train", "--resume", str(tmp_path / "run")]
    assert said.rstrip().endswith(f"i2i {shlex.join(again)}")
    assert "Traceback" not in said
    resumed = run_i2i(*again)
    assert resumed.returncode == 0, resumed.stderr
    assert read_json_lines(log)[-1]["images"] == 80


def test_the_script_for_a_gpu_runs_on_a_cpu(tmp_path):
    """Every part of it, in its smallest form."""
    environment = {**os.environ, "I2I_BENCH_DEVICE": "cpu", "I2I_BENCH_TINY": "1", "I2I_PYTHON": sys.executable}
    words = ["bash", str(ROOT / "tools" / "bench" / "gpu.sh"), str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    parts = (tmp_path / "parts.txt").read_text(encoding="utf-8").splitlines()
    assert done.returncode == 0, parts
    assert len(parts) == 8
    table = [line for line in (tmp_path / "steps.md").read_text(encoding="utf-8").splitlines() if "batch 1 |" in line]
    assert len(table) == 3
    assert "times" in (tmp_path / "translate.txt").read_text(encoding="utf-8")
    rows = read_json_lines(tmp_path / "training-ram.jsonl")
    assert rows[-1]["images"] == 16
