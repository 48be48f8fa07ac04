"""What the tests share: the shipped pictures, small data folders, and one trained run."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import i2i
from i2i.images import read_image, write_image
from i2i.settings import Config

ROOT = Path(__file__).parent.parent
LINEART = ROOT / "datasets" / "lineart"
MAPS = ROOT / "datasets" / "maps"
ORACLES = Path(__file__).parent / "oracles"

# Hide any GPU: every figure in the tests is a CPU figure, and CI has none.
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def tiny_config(*overrides: str, data: Path | str = LINEART) -> Config:
    """Smallest run that has every part: 16 px pictures, two channels wide, a few steps."""
    return i2i.load_config(
        "lineart",
        [
            f"data.path={data}",
            "data.resize_px=18",
            "data.crop_px=16",
            "generator.depth=4",
            "generator.width=2",
            "discriminator.width=2",
            "discriminator.layers=1",
            "schedule.images=16",
            "schedule.decay_images=8",
            "log.every_images=4",
            "log.samples_every_images=8",
            "log.checkpoint_every_images=8",
            "log.sample_count=2",
            "train.batch=4",
            "train.device=cpu",
            *overrides,
        ],
    )


@pytest.fixture(scope="session")
def few_pairs(tmp_path_factory) -> Path:
    """A dozen shipped pairs as A|B files in train, val and test."""
    root = tmp_path_factory.mktemp("few")
    for split, count in (("train", 8), ("val", 3), ("test", 4)):
        (root / split).mkdir()
        for path in sorted((LINEART / split).glob("*.png"))[:count]:
            shutil.copy(path, root / split)
    return root


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, few_pairs) -> Path:
    """A run folder as `i2i train` leaves it, of a model that has learned next to nothing."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    i2i.train(tiny_config(data=few_pairs), out)
    return out


@pytest.fixture(scope="session")
def tiny_onnx(tiny_run) -> Path:
    """The same model, exported."""
    i2i.export_onnx(tiny_run, tiny_run / "model.onnx")
    return tiny_run / "model.onnx"


@pytest.fixture
def desk(tmp_path, monkeypatch, few_pairs, tiny_run, tiny_onnx) -> Path:
    """The folder a user stands in: data in D, a run, its exported model, and a folder with a picture."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(few_pairs, "D")
    shutil.copytree(tiny_run, "runs/mine", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copy(tiny_onnx, "model.onnx")
    save(tmp_path / "photos" / "a.png", 20, 20)
    return tmp_path


def picture(height: int, width: int, channels: int = 3, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    """A real picture, enlarged or cut to a size: shipped icons side by side, with its channels as asked."""
    source = read_image(sorted((LINEART / "test").glob("*.png"))[seed])
    tiled = np.tile(source, (-(-height // source.shape[0]), -(-width // source.shape[1]), 1))[:height, :width]
    alpha = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8)[None, :, None], (height, width, 1))
    made = {1: tiled[:, :, :1], 3: tiled, 4: np.concatenate([tiled, alpha], axis=2)}[channels]
    return made if dtype == np.uint8 else made.astype(np.uint16) * 257 - made % 7


def save(path: Path, *args, **kwargs) -> Path:
    """Write `picture(...)` to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, picture(*args, **kwargs))
    return path


def run_i2i(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    words = [str(argument) for argument in arguments]
    return subprocess.run([sys.executable, "-m", "i2i", *words], capture_output=True, text=True, cwd=cwd, check=False)


def load_script(path: Path) -> ModuleType:
    """A script of the checkout as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
