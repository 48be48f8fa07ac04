"""Plugins: the one in docs/plugins.md through every command, and code of strangers that does not run."""

import json
import shutil
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import i2i
from i2i import plugins
from i2i.algorithms import ALGORITHMS, resolve
from i2i.algorithms.describing import settings_file, settings_schema
from i2i.config import plugins as running
from i2i.config.networks import NETWORK_SETTINGS
from i2i.errors import ConfigError, UsageError
from i2i.losses import ADVERSARIAL
from i2i.networks import DISCRIMINATORS, GENERATORS
from tests.conftest import ROOT, run_i2i, save

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
MINE = ("algorithm=l1_gan", "generator.name=plain", "generator.width=3", "loss.adversarial=squared_hinge")
TINY = ["data.resize_px=18", "data.crop_px=16", "discriminator.width=2", "discriminator.layers=1", "train.batch=4"]
TINY += ["schedule.images=8", "schedule.decay_images=0", "log.sample_count=2", "train.device=cpu"]
TABLES: tuple[dict[str, Any], ...] = (ALGORITHMS, GENERATORS, DISCRIMINATORS, ADVERSARIAL, *NETWORK_SETTINGS.values())


def forget():
    """Be as a new process."""
    for table, before in zip(TABLES, BEFORE, strict=True):
        table.clear()
        table.update(before)
    plugins.rebuild()
    running.LOADED.clear()
    sys.modules.pop("i2i_plugin_mine", None)


BEFORE = [dict(table) for table in TABLES]


@pytest.fixture
def mine(tmp_path, monkeypatch, few_pairs):
    """The plugin of the page, in a folder with data, on a machine that knows none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(PAGE.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    shutil.copytree(few_pairs, "D")
    save(tmp_path / "photo.png", 20, 24)
    yield path
    forget()


def run(*words):
    """Run a command as a new process would; return its exit code and all that it says."""
    forget()
    done = run_i2i(*words)
    return done.returncode, done.stdout + done.stderr


def train(*words):
    settings = [f"--set={one}" for one in (*MINE, *TINY)]
    return run("train", "lineart", "--data", "D", "--out", "runs/x", *settings, *words)


def test_a_plugin_goes_through_every_command(mine, tmp_path):
    code, said = train("--plugin", "mine.py")
    assert code == 0, said
    config = i2i.load_config("runs/x/config.yaml")
    assert config.plugins == (str(mine),)
    assert (config.algorithm, config.generator.width, config.loss["adversarial"]) == ("l1_gan", 3, "squared_hinge")
    for words in (
        ("train", "--resume", "runs/x", "--set", "schedule.images=12"),
        ("export", "runs/x", "-o", "x.onnx"),
        ("translate", "photo.png", "-m", "runs/x", "-o", "torch.png"),
        ("info", "runs/x"),
        ("evaluate", "runs/x", "--split", "val"),
        ("diagnose", "runs/x", "--pictures", "4"),
        ("bench", "runs/x", "--size", "16x16", "--seconds", "0"),
        ("card", "runs/x"),
        ("compare", "runs/x"),
        ("init", "runs/x/config.yaml"),
        ("translate", "photo.png", "-m", "runs/x", "--then", "lineart", "-o", "chain.png"),
    ):
        code, said = run(*words)
        assert code == 0, said
    shutil.move(mine, tmp_path / "gone.py")
    assert run("translate", "photo.png", "-m", "x.onnx", "-o", "onnx.png")[0] == 0  # which needs no plugin


def test_a_missing_plugin_is_one_clear_error(mine, tmp_path):
    assert train("--plugin", "mine.py")[0] == 0
    shutil.copy("runs/x/model.safetensors", "alone.safetensors")
    for words, named in (
        (("translate", "photo.png", "-m", "alone.safetensors", "-o", "o.png"), "--plugin"),
        (("train", "lineart", "--data", "D", "--set", "algorithm=l1_gan"), "--plugin"),
        (("info", "runs/x", "--plugin", "none.py"), "none.py"),
    ):
        code, said = run(*words)
        assert (code in (1, 2), said.count("Error: "), "Traceback" in said) == (True, 1, False), said
        assert named in said
    assert run("translate", "photo.png", "-m", "alone.safetensors", "-o", "o.png", "--plugin", "mine.py")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    shutil.move(mine, tmp_path / "elsewhere")
    for words in (("export", "runs/x", "-o", "x.onnx"), ("train", "--resume", "runs/x")):
        code, said = run(*words)
        assert code in (1, 2)
        assert str(mine) in said
        assert "--plugin" in said
    assert run("export", "runs/x", "-o", "x.onnx", "--plugin", "elsewhere/mine.py")[0] == 0  # it moved


def test_a_run_of_a_stranger_runs_no_code(mine, tmp_path):
    assert train("--plugin", "mine.py")[0] == 0
    mine.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{mine.read_text(encoding='utf-8')}", encoding="utf-8")
    (tmp_path / "cache" / "i2i" / "plugins.json").unlink()
    for words in (
        ("translate", "photo.png", "-m", "runs/x", "-o", "o.png"),
        ("info", "runs/x"),
        ("export", "runs/x", "-o", "x.onnx"),
        ("train", "--resume", "runs/x"),
        ("evaluate", "runs/x", "--split", "val"),
        ("compare", "runs/x"),
        ("diagnose", "runs/x"),
    ):
        run(*words)
        assert not (tmp_path / "ran").exists(), words
    assert run("translate", "photo.png", "-m", "runs/x", "-o", "o.png", "--plugin", "mine.py")[0] == 0
    assert (tmp_path / "ran").exists()  # control: it is code that runs


def test_a_plugin_that_fails_is_named_with_its_line(mine):
    for text, named in (
        ("import i2i\n\n1 / 0\n", "line 3: ZeroDivisionError"),
        ("from i2i import plugins\nplugins.add_algorithm('gan', None)\n", "line 2"),
        ("def (", "SyntaxError"),
    ):
        mine.write_text(text, encoding="utf-8")
        code, said = run("info", "x.onnx", "--plugin", "mine.py")
        assert (code, "Traceback" in said) == (2, False)
        assert str(mine) in said
        assert named in said


def test_names_of_a_plugin_are_settings_like_ours(mine):
    with pytest.raises(ConfigError, match="squared_hinge"):
        resolve(i2i.load_config("pix2pix", ["loss.adversarial=squared_hinge"]))
    plugins.load_plugin(mine)
    config = resolve(i2i.load_config("pix2pix", MINE))
    assert config.generator.width == 3
    with pytest.raises(ConfigError, match=r"generator\.width"):
        i2i.load_config("pix2pix", [*MINE, "generator.widht=3"])
    mine.with_suffix(".yaml").write_text("base: pix2pix\ngenerator: {name: plain}\n", encoding="utf-8")
    said = NETWORK_SETTINGS["generator"]["plain"].model_fields["width"].description
    assert said in settings_file(mine.with_suffix(".yaml"))
    editor = Draft202012Validator(json.loads(settings_schema()))
    text = "algorithm: l1_gan\ngenerator: {name: plain, width: 3}\nloss: {adversarial: squared_hinge}"
    editor.validate(yaml.safe_load(text))
    assert not editor.is_valid(yaml.safe_load(text.replace("width", "depth")))
    plugins.add_algorithm("l1_gan", ALGORITHMS["l1_gan"])  # again, as a cell of a notebook does
    with pytest.raises(UsageError, match="unet"):
        plugins.add_generator("unet", GENERATORS["plain"], NETWORK_SETTINGS["generator"]["unet"])


def test_an_installed_package_is_a_plugin(mine, monkeypatch):
    monkeypatch.syspath_prepend(mine.parent)
    monkeypatch.setattr(running, "_installed", lambda: [EntryPoint("toy", "mine", running.GROUP)])
    monkeypatch.setattr(running, "_imported", set())
    assert resolve(i2i.load_config("pix2pix", MINE)).algorithm == "l1_gan"
    sys.modules.pop("mine")
    monkeypatch.setattr(running, "_installed", lambda: [EntryPoint("broken", "no_such_module", running.GROUP)])
    with pytest.raises(UsageError, match="broken"):
        i2i.load_config("pix2pix")
