"""The command line: every example in the help runs, and every mistake ends in one message."""

import json
import os
import re
import shlex
import shutil
import signal
import sys
from unittest.mock import Mock

import click
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import i2i
from i2i.algorithms import resolve
from i2i.cli import cli, main, run_cleanly
from i2i.config import load_config
from i2i.errors import Stopped
from i2i.interop.importing import import_weights
from i2i.interop.pytorch_cyclegan_pix2pix import PROJECT
from i2i.models.modelfile import read_spec, save_tensors
from i2i.models.spec import LatentBlock
from i2i.training import start
from tests.conftest import LINEART, ORACLES, ROOT, run_i2i, save, smallest_config, tiny_config

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
def desk(desk, tiny_run, two_way_run, noise_model, named_model, noise_onnx, point_model):
    """And everything else that the examples name, small."""
    shutil.copytree("D", "datasets/lineart")
    shutil.copytree("runs/mine", "runs/lineart")
    shutil.rmtree("runs/mine")
    shutil.copy(tiny_run / "model.safetensors", ".")
    shutil.copytree(two_way_run, "runs/horses")
    shutil.copytree(noise_model.parent, "runs/faces", ignore=shutil.ignore_patterns("*.onnx"))
    shutil.copy(noise_onnx, "faces.onnx")
    shutil.copytree(point_model.parent, "runs/ring")
    shutil.copytree(named_model.parent, "runs/clothes")
    shutil.copy(ORACLES / "unet_128_batch.pth", "latest_net_G.pth")
    for way in "AB":
        shutil.copy(ORACLES / "resnet_6_instance.pth", f"latest_net_G_{way}.pth")
    summer = import_weights([ORACLES / "resnet_6_instance.pth"])
    save_tensors(desk / "summer.safetensors", summer.spec, summer.tensors)
    save(desk / "photo.jpg", 40, 50)
    for name, seed in (("a.png", 1), ("b.png", 2)):
        save(desk / "pictures" / name, 20, 20, seed=seed)
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
        shutil.copytree(desk / "photos", desk / "drawings")
    if words[0] == "export" and "-o" in words:
        (desk / words[words.index("-o") + 1]).unlink(missing_ok=True)
    if words[0] == "train" and "--resume" not in words:
        shutil.rmtree(desk / "runs" / "lineart")
    words = shrink(words, few_pairs)
    assert call(*words) == 0, capsys.readouterr().err


KINDS = {"cyclegan": "cyclegan", "dcgan": "gan", "ring": "toy"}


def shrink(words, data):
    """Bring a train command to the size of the tests; other commands stay."""
    if words[0] != "train":
        return words
    tiny = smallest_config(KINDS.get(words[1], "pix2pix"), data).model_dump(mode="json")
    for name in ("path", "direction", "side", "disjoint"):
        del tiny["data"][name]
    settings = {f"{section}.{name}": value for section in SECTIONS for name, value in tiny[section].items()}
    return [*words, *(f"--set={name}={json.dumps(value)}" for name, value in settings.items())]


def test_dry_run_prints_settings_that_can_be_run(desk, capsys, monkeypatch):
    monkeypatch.setattr("i2i.training.estimate.PATIENCE_SECONDS", 0.0)
    assert call("train", "lineart", "--data", str(LINEART), "--seed", "3", "--set", "loss.l1=7", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "# Estimates, from" in said
    (desk / "resolved.yaml").write_text(said, encoding="utf-8")
    config = load_config("resolved.yaml")
    assert config.loss["l1"] == 7.0
    assert resolve(config) == config
    assert (config.train.seed, config.data.path) == (3, (str(LINEART),))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("train pix3pix", 2, "Did you mean pix2pix"),
        ("train colorize", 2, "Add --data FOLDER"),
        ("train lineart --data nowhere --out r", 1, "nowhere is not a folder"),
        ("train lineart --data D --set optimizer.lrr=1", 2, "Did you mean optimizer.lr?"),
        ("train lineart --data D --data D --data D", 2, "at most two folders"),
        ("evaluate -m model.onnx --data D --data D --data D", 2, "3 data folders were given"),
        ("train lineart --seed 99999999999999999999 --data D", 2, "train.seed"),
        ("train lineart --dry-run --set data.crop_px=50", 2, "takes multiples of 64"),
        ("export model.safetensors -o model.onnx", 2, "exists already"),
        (
            "train lineart --data D --out runs/lineart",
            2,
            "\n         i2i train lineart --data D --out runs/lineart --resume\n",
        ),
        (
            "train cyclegan --data D --set generator.name=dcgan",
            2,
            "dcgan, which makes pictures from noise",
        ),
        ("train dcgan --data D --data D", 2, "pictures without sides come from one"),
        ("train lineart --data D --out new --init-from photo.jpg", 1, "is not a model file"),
        ("translate photo.jpg -m model.onnx", 2, "There is no output"),
        ("translate nothing.jpg -m model.onnx -o out", 2, "does not exist"),
        ("translate photos/*.gif photo.jpg -m model.onnx -o out", 2, "photos/*.gif matches no file"),
        ("translate photo.jpg photos -m model.onnx -o out.png", 2, "there are several inputs"),
        ("translate photo.jpg -m model.onnx -o out.pgn", 2, ".pgn is not a format that i2i writes"),
        ("translate photo.jpg -m model.onnx -o -", 2, "does not write to standard output"),
        ("generate -m runs/faces --separate -o -", 2, "does not write to standard output"),
        ("generate -m runs/faces --separate -o g.pgn", 2, "g.pgn has the name of a file"),
        ("export runs/lineart -o -", 2, "does not write to standard output"),
        ("export runs/lineart --triton -", 2, "does not write to standard output"),
        ("import latest_net_G.pth -o -", 2, "does not write to standard output"),
        ("evaluate -m model.onnx --data D --json -", 2, "does not write to standard output"),
        ("train lineart --data D --out -", 2, "does not write to standard output"),
        ("translate photo.jpg -m photo.jpg -o out", 1, "is not a model file"),
        ("translate photo.jpg -m model.onnx -o out --direction A2B", 2, "translates B2A, not A2B"),
        ("translate photo.jpg -m model.onnx -o photo.jpg --overwrite", 2, "is the input itself"),
        ("evaluate -m model.onnx --data D --split val --direction A2B", 2, "translates B2A, not A2B"),
        ("evaluate -m model.onnx --data photos", 1, "has no pictures for test"),
        ("export runs -o m.onnx", 1, "holds no model.safetensors"),
        ("info photo.jpg", 1, "is not a model file"),
        ("translate photo.jpg -m runs/faces -o out", 2, "translates none. Use `i2i generate`"),
        ("generate -m runs/lineart -o g.png", 2, "makes no pictures from noise. Use `i2i translate`"),
        ("generate -m runs/faces -o g.jpg", 2, "does not end in .png"),
        ("generate -m runs/faces -n 0 -o g.png", 2, "0 is not in the range"),
        ("generate -m runs/faces -n 100001 -o g.png", 2, "100001 is not in the range"),
        ("generate -m runs/faces -n 1025 -o g.png", 2, "1,025 pictures are too many for one file, which holds 1,024"),
        ("generate -m runs/faces --seed -1 -o g.png", 2, "-1 is not in the range"),
        ("generate -m runs/faces --separate -o g.png", 2, "Give a folder"),
        ("generate -m runs/faces --separate -o mine.yaml", 2, "Give a folder"),
        ("generate -m runs/faces -o old.png", 2, "exists already. Add --overwrite"),
        ("generate -m runs/faces --seed 3 --separate -o old", 2, "000005.png exists already. Add --overwrite"),
        ("generate -m runs/faces -o g.png --save-latents old.npy", 2, "exists already. Add --overwrite"),
        ("generate -m runs/faces -o g.png --save-latents z.txt", 2, "does not end in .npy"),
        ("generate -m runs/faces -o g.png --latents old.npy", 1, "this model takes (N, 16)"),
        ("generate -m runs/faces -o g.png --latents none.npy", 2, "does not exist"),
        ("generate -m runs/faces -o g.png --latents mine.yaml", 2, "is not an .npy file"),
        ("generate -m runs/faces -o g.png --latents old.npy --seed 1", 2, "Give either seeds"),
        ("generate -m runs/ring -o g --separate", 1, "makes points, not pictures"),
        ("interpolate -m runs/ring --seeds 1,2 -o s.png", 1, "makes points, not pictures"),
        ("interpolate -m runs/faces --seeds 1,x -o s.png", 2, "'1,x' is not a list of seeds"),
        ("interpolate -m runs/faces --seeds 1,,2 -o s.png", 2, "is not a list of seeds"),
        ("interpolate -m runs/faces --seeds 1,-2 -o s.png", 2, "is not a list of seeds"),
        ("interpolate -m runs/faces --seeds 1 -o s.png", 2, "at least two stops; got 1"),
        ("interpolate -m runs/faces -o s.png", 2, "Give either seeds"),
        ("interpolate -m runs/faces --seeds 1,2 -o s.mp4", 2, "does not end in .png or .webp or .gif"),
        ("interpolate -m runs/faces --seeds 1,2 --steps 0 -o s.png", 2, "0 is not in the range"),
        ("interpolate -m runs/faces --seeds 1,2 --steps 5000 -o s.gif", 2, "too many for one file"),
        ("interpolate -m runs/lineart --seeds 1,2 -o s.png", 2, "Use `i2i translate`"),
        ("arithmetic -m runs/faces 1,2 3 -o s.png", 2, "Missing argument 'C'"),
        ("arithmetic -m runs/faces 1,2 3 x -o s.png", 2, "'x' is not a list of seeds"),
        ("arithmetic -m runs/faces 1 2 3 -o s.webp", 2, "does not end in .png"),
        ("arithmetic -m runs/ring 1 2 3 -o s.png", 1, "makes points, not pictures"),
        ("export runs/faces -o f.onnx --direction A2B", 2, "Leave out --direction and --verify"),
        ("export runs/faces -o f.onnx --verify photos", 2, "Leave out --direction and --verify"),
        ("export runs/faces -o f.onnx --direction both", 2, "Leave out --direction and --verify"),
        ("export runs/lineart -o f.onnx --direction both", 2, "translates B2A, not A2B"),
        ("export runs/horses -o f.onnx", 2, "Choose one with --direction"),
        ("export runs/lineart", 2, "Give either -o FILE"),
        ("export runs/lineart -o f.onnx --triton models", 2, "Give either -o FILE"),
        ("export runs/horses --triton models --direction both", 2, "choose A2B or B2A"),
        ("export runs/lineart -o f.onnx --size 300", 2, "'300' is not a size"),
        ("export runs/lineart -o f.onnx --size 70000x16", 2, "up to 9999 px"),
        (f"export runs/lineart -o f.pth --format {PROJECT} --precision fp16", 2, "only renames weights"),
        ("export runs/lineart -o f.onnx --size 32x40", 2, "Use --size 32x48, or --io image"),
        ("export runs/faces -o f.onnx --io image", 2, "Leave out --io image and --size"),
    ],
)
def test_mistakes_end_in_one_message(line, code, words, desk, capsys):
    save(desk / "old.png", 8, 8)
    save(desk / "old" / "000005.png", 8, 8)
    np.save(desk / "old.npy", np.zeros((2, 3), np.float32))
    before = sorted(desk.rglob("*"))
    assert call(*shlex.split(line)) == code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert error.strip().startswith(("Error: ", "Usage: "))
    assert sorted(desk.rglob("*")) == before


def test_a_training_that_was_stopped_says_how_it_goes_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(start, "train", Mock(side_effect=Stopped(signal.SIGTERM, 8)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "D").mkdir()
    assert call("train", "lineart", "--data", "D", "--set", "train.batch=2") == 143
    assert capsys.readouterr().err == (
        "SIGTERM: stopped at image 8; all of it is saved. To go on:\n"
        "  i2i train lineart --data D --set train.batch=2 --resume\n"
    )


def test_debug_shows_the_traceback_wherever_it_stands(desk):
    done = run_i2i("info", "photo.jpg", "--debug", cwd=desk)
    assert "Traceback" in done.stderr
    assert "is not a model file" in done.stderr


def test_info_says_what_the_file_says(tiny_run, tiny_onnx):
    for model in (tiny_run, tiny_onnx):
        done = run_i2i("info", model)
        assert "pix2pix, trained on 16 images" in done.stdout
        assert "B2A: rgb to rgb, unet" in done.stdout
        assert "multiples of 16 px" in done.stdout
        assert "laid on white; outputs get their alpha back" in done.stdout
        assert "batch norm by running statistics" in done.stdout
    assert "exported for tensors in fp32" in done.stdout
    assert "equal to torch within" in done.stdout


def shown_of(spec, tmp_path, capsys, **changes):
    """Return what info prints of a model file that describes itself so."""
    file = tmp_path / "m.safetensors"
    save_file({"B2A.x": torch.zeros(1)}, file, {"i2i": spec.model_copy(update=changes).model_dump_json()})
    assert call("info", str(file)) == 0
    return capsys.readouterr().out


def test_info_says_nothing_that_is_not_so(tiny_run, noise_model, point_model, tmp_path, capsys):
    spec = read_spec(tiny_run / "model.safetensors")
    one = spec.generators["B2A"]
    fixed = shown_of(spec, tmp_path, capsys, fixed_size=(32, 48))
    assert "48x32" in fixed
    assert "multiples" not in fixed
    any_side = one.model_copy(update={"size_multiple": 1, "size_minimum": 32})
    any_side = shown_of(spec, tmp_path, capsys, parts={"B2A": any_side})
    assert "padded to 32 px at least" in any_side
    assert "multiples" not in any_side
    instance = one.model_copy(update={"arguments": {**one.arguments, "norm": "instance"}, "size_minimum": 64})
    shown = shown_of(spec, tmp_path, capsys, parts={"B2A": instance})
    assert "batch norm" not in shown
    assert "multiples of 16 px, 64 px at least" in shown
    free = one.model_copy(update={"size_multiple": 1, "size_minimum": 1, "arguments": {}, "alpha": "consumed"})
    shown = shown_of(spec, tmp_path, capsys, parts={"B2A": free})
    assert "any length" in shown
    assert "outputs are opaque" in shown
    assert "batch norm" not in shown
    assert call("info", str(noise_model)) == 0
    assert "batch norm" in capsys.readouterr().out
    assert call("info", str(point_model)) == 0
    assert "batch norm" not in capsys.readouterr().out


def test_info_says_what_comes_from_noise(noise_model, noise_onnx, point_model, capsys):
    for model in (noise_model, noise_onnx):
        assert call("info", str(model)) == 0
        shown = capsys.readouterr().out
        assert "from noise, 16 numbers, to rgb of 32x32 px, dcgan (" in shown
        assert "running statistics" in shown
    assert "equal to torch within" in shown
    assert call("info", str(point_model)) == 0
    shown = capsys.readouterr().out
    assert "from noise, 2 numbers, to points, mlp (" in shown
    assert " px" not in shown


def test_info_says_which_labels_there_are_and_which_norm(noise_model, tmp_path, capsys):
    spec = read_spec(noise_model)
    noise = spec.parts["generate"]
    blocks = (
        LatentBlock(name="noise", size=13),
        LatentBlock(name="kind", size=3, prior="one_hot", classes=("bag", "hat", "ankle boot")),
    )
    part = noise.model_copy(update={"blocks": blocks, "arguments": {**noise.arguments, "norm": "layer"}})
    shown = shown_of(spec, tmp_path, capsys, parts={"generate": part})
    assert "kind: bag, hat, ankle boot" in shown
    assert "batch norm" not in shown


def test_info_shows_nothing_that_a_terminal_obeys(tiny_run, tmp_path, capsys):
    text = i2i.load(tiny_run).spec.model_dump(mode="json")
    text["parts"]["B2A"]["arguments"]["\x1b[31m\n"] = "\x1b]0;title\x07"
    save_file(load_file(tiny_run / "model.safetensors"), tmp_path / "m.safetensors", {"i2i": json.dumps(text)})
    assert call("info", str(tmp_path / "m.safetensors")) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_every_option_is_explained():
    for command in cli.commands.values():
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name}"


def test_the_reference_is_up_to_date():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## i2i (\w+)", page, re.MULTILINE) == list(cli.commands)


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_training_leaves_no_thread_spinning_unless_asked_to(before, after, monkeypatch):
    """Set before torch is loaded, or it is without effect."""
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert CliRunner().invoke(cli, ["train", "no-such-preset"]).exit_code
    assert os.environ["OMP_WAIT_POLICY"] == after


def test_memory_that_runs_out_is_one_message(capsys):
    assert run_cleanly(lambda: np.empty(1 << 62, np.uint8)) == 5
    assert capsys.readouterr().err.startswith("Error: Out of memory: Unable to allocate")
