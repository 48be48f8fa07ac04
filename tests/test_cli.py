"""The command line: every example in the help runs, and every mistake ends in one message."""

import json
import re
import shlex
import shutil
import sys

import click
import pytest
import yaml

from i2i.cli import cli, main
from i2i.config import load_config
from tests.conftest import LINEART, ROOT, run_i2i, save, tiny_config

SECTIONS = ("data", "generator", "discriminator", "loss", "optimizer", "schedule", "train", "log")


def examples():
    """Every line of every command's examples."""
    for command in cli.commands.values():
        assert command.epilog, f"{command.name} has no example"
        lines = [line.strip() for line in command.epilog.splitlines()]
        found = [line for line in lines if line.startswith("i2i ")]
        assert found, f"{command.name} has no example"
        yield from found


@pytest.fixture
def desk(desk, tiny_run):
    """And everything else that the examples name, small."""
    shutil.copytree("D", "datasets/lineart")
    shutil.copytree("runs/mine", "runs/lineart")
    shutil.rmtree("runs/mine")
    shutil.copy(tiny_run / "model.safetensors", ".")
    save(desk / "photo.jpg", 40, 50)
    save(desk / "pictures" / "a.png", 20, 20, seed=1)
    (desk / "mine.yaml").write_text(yaml.safe_dump(tiny_config().model_dump(mode="json")), encoding="utf-8")
    return desk


def call(*words):
    """Run `main` in this process; return the exit code."""
    sys.argv = ["i2i", *words]
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


@pytest.mark.parametrize("line", list(examples()))
def test_the_examples_in_the_help_run(line, desk, few_pairs, capsys):
    words = shlex.split(line)[1:]
    if "drawings" in words and "train" in words:
        shutil.copytree(desk / "pictures", desk / "drawings")
    if words[0] == "export":
        (desk / "model.onnx").unlink()
    if words[0] == "train" and "--resume" not in words:
        shutil.rmtree(desk / "runs" / "lineart")
    words = shrink(words, few_pairs)
    assert call(*words) == 0, capsys.readouterr().err


def shrink(words, data):
    """Bring a train command to the size of the tests, as `tiny_run` has it; other commands stay."""
    if words[0] != "train":
        return words
    tiny = tiny_config(data=data).model_dump(mode="json")
    del tiny["data"]["path"]
    tiny["data"].pop("direction")
    settings = {f"{section}.{name}": value for section in SECTIONS for name, value in tiny[section].items()}
    return [*words, *(f"--set={name}={json.dumps(value)}" for name, value in settings.items())]


def test_dry_run_prints_settings_that_can_be_run(desk, capsys):
    assert call("train", "lineart", "--data", str(LINEART), "--seed", "3", "--set", "loss.l1=7", "--dry-run") == 0
    (desk / "resolved.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    config = load_config("resolved.yaml")
    assert config.loss == {"adversarial": config.loss["adversarial"], "l1": 7.0}
    assert (config.train.seed, config.data.path) == (3, (str(LINEART),))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("train pix3pix", 2, "Did you mean pix2pix"),
        ("train lineart", 2, "Add --data FOLDER"),
        ("train lineart --data nowhere --out r", 1, "nowhere is not a folder"),
        ("train lineart --data D --set optimizer.lrr=1", 2, "Did you mean optimizer.lr?"),
        ("train lineart --data D --data D --data D", 2, "at most two folders"),
        ("evaluate -m model.onnx --data D --data D --data D", 2, "3 data folders were given"),
        ("train lineart --seed 99999999999999999999 --data D", 2, "train.seed"),
        ("train lineart --dry-run --set data.crop_px=50", 2, "takes multiples of 64"),
        ("export model.safetensors -o model.onnx", 2, "exists already"),
        ("train lineart --data D --out runs/lineart", 2, "Add --resume"),
        ("translate photo.jpg -m model.onnx", 2, "Missing option '-o'"),
        ("translate nothing.jpg -m model.onnx -o out", 2, "does not exist"),
        ("translate photo.jpg -m photo.jpg -o out", 1, "is no model file"),
        ("translate photo.jpg -m model.onnx -o out --direction A2B", 2, "translates B2A, not A2B"),
        ("translate photo.jpg -m model.onnx -o photo.jpg --overwrite", 2, "is the input itself"),
        ("evaluate -m model.onnx --data D --split val --direction A2B", 2, "translates B2A, not A2B"),
        ("evaluate -m model.onnx --data photos", 1, "has no pictures for test"),
        ("export runs -o m.onnx", 1, "holds no model.safetensors"),
        ("info photo.jpg", 1, "is no model file"),
    ],
)
def test_mistakes_end_in_one_message(line, code, words, desk, capsys):
    assert call(*shlex.split(line)) == code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert error.strip().startswith(("Error: ", "Usage: "))


def test_debug_shows_the_traceback_wherever_it_stands(desk):
    done = run_i2i("info", "photo.jpg", "--debug", cwd=desk)
    assert "Traceback" in done.stderr
    assert "is no model file" in done.stderr


def test_info_says_what_the_file_says(tiny_run, tiny_onnx):
    for model in (tiny_run, tiny_onnx):
        done = run_i2i("info", model)
        assert "pix2pix, trained on 16 images" in done.stdout
        assert "B2A: rgb to rgb, unet" in done.stdout
        assert "multiples of 16 px" in done.stdout
    assert "of torch" in done.stdout


def test_every_option_is_explained():
    for command in cli.commands.values():
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name}"


def test_the_reference_is_up_to_date():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## i2i (\w+)", page, re.MULTILINE) == list(cli.commands)
