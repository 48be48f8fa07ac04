"""i2i from Python: the page on it runs, and what comes back holds what it says."""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.api import exporting
from i2i.errors import ConfigError, I2IError, RunExistsError, UsageError, speaks_python
from i2i.exporting import page
from i2i.interop.pytorch_cyclegan_pix2pix import revert
from i2i.networks import UNet
from tests.cli.test_cli import call
from tests.conftest import ROOT, save, smallest_config

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
TINY: dict[str, object] = {"data.resize_px": 18, "data.crop_px": 16}
TINY |= {"generator.depth": 4, "generator.width": 2, "discriminator.width": 2}
TINY |= {"discriminator.layers": 1, "train.batch": 4, "train.device": "cpu", "log.every_images": 4}
TINY |= {"log.samples_every_images": 8, "log.sample_count": 2, "schedule.images": 16, "schedule.decay_images": 0}


def test_the_page_runs(desk, capsys):
    text = re.sub(r"settings=\{.*\}", lambda found: f"settings={TINY}", PAGE)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert "2 of 2" in said
    assert (desk / "drawing.png").exists()
    assert names["drawn"][0].shape == (48, 64, 3)
    assert "resume=True" in said
    assert "--" not in said.splitlines()[-1]


def test_a_training_gives_metrics_rows_and_samples(few_pairs, tmp_path, capsys):
    rows, seen = [], []

    class Listener(i2i.Callback):
        def on_samples(self, images, sheets):
            seen.append((images, {way: Image.open(path).size for way, path in sheets.items()}))

    def fails(row):
        raise ValueError("mine")

    run = i2i.train(
        "lineart", tmp_path / "run", data=few_pairs, settings=TINY, callbacks=[fails, rows.append, Listener()]
    )
    assert rows == run.rows
    assert run.images == 16
    last = [row for row in rows if row["split"] == "train"][-1]
    assert run.metrics["train/G_L1"] == last["G_L1"]
    assert [images for images, _ in seen] == [8, 16]
    assert seen[0][1].keys() == run.samples.keys() == {"B2A"}
    assert "mine" in capsys.readouterr().err  # and the training went on
    assert "G_L1" in run._repr_html_()
    assert i2i.load(run).spec.images_seen == 16


ODD = {
    "empty": np.zeros((0, 0, 3), np.uint8),
    "without channels": np.zeros((8, 8, 0), np.uint8),
    "five channels": np.zeros((8, 8, 5), np.uint8),
    "one axis": np.zeros(8, np.uint8),
    "four axes": np.zeros((1, 8, 8, 3), np.uint8),
    "bool": np.zeros((8, 8), bool),
    "float64": np.zeros((8, 8, 3)),
    "int64": np.zeros((8, 8, 3), np.int64),
    "object": np.zeros((8, 8, 3), object),
    "empty image": Image.new("RGB", (0, 5)),
    "tensor": torch.zeros(3, 8, 8),
    "none": None,
    "bytes": b"\x89PNG",
    "nested": [[0, 1], [2, 3]],
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_picture_is_one_clear_error(kind, tiny_run):
    for entry in (lambda given: i2i.translate(given, tiny_run), i2i.load(tiny_run)):
        with pytest.raises(I2IError, match=r"got|empty"):
            entry(ODD[kind])


def test_pictures_of_two_axes_are_grey(tiny_run):
    assert i2i.translate(np.zeros((8, 9), np.uint8), tiny_run).shape[:2] == (8, 9)


@pytest.mark.parametrize("odd", [None, 3, ODD["empty"], ""], ids=["none", "number", "array", "empty"])
def test_what_is_no_path_is_named_by_its_argument(odd, tiny_run, tmp_path):
    for name, entry in {
        "path": lambda: i2i.load(odd),
        "model": lambda: i2i.evaluate(odd, tmp_path),
        "data": lambda: i2i.evaluate(tiny_run, odd),
        "inputs": lambda: i2i.translate_files(odd, tmp_path / "out", tiny_run),
        "output": lambda: i2i.translate_files(tmp_path, odd, tiny_run),
        "config": lambda: i2i.train(odd),
    }.items():
        with pytest.raises(UsageError, match=f"^{name} "):
            entry()
    with pytest.raises(UsageError, match="model"):
        i2i.export(odd, tmp_path / "m.onnx")


def test_seeds_are_numbers_of_any_library(noise_model):
    two = [np.asarray(one) for one in i2i.generate(noise_model, np.int64(2))]
    for seeds in (range(2), np.arange(2), iter([0, 1])):
        assert np.array_equal(two, [np.asarray(one) for one in i2i.generate(noise_model, seeds)])
    for odd in (0, -1, [], 1.5, [1.5], "ab", np.zeros(2), [-3], None):
        with pytest.raises(UsageError, match="seed"):
            i2i.generate(noise_model, odd)


def test_calls_with_a_config_give_the_model_file(few_pairs, tmp_path):
    config = smallest_config("pix2pix", few_pairs)
    assert i2i.train(config, tmp_path / "run") == tmp_path / "run" / "model.safetensors"


def test_what_goes_in_is_what_comes_out(tiny_run, noise_model, point_model, tmp_path):
    save(tmp_path / "a" / "one.png", 20, 24)
    image = Image.open(tmp_path / "a" / "one.png")
    array = np.asarray(image)
    done = []
    made = i2i.translate([array, image, tmp_path / "a" / "one.png"], tiny_run, progress=lambda *now: done.append(now))
    assert [type(one).__name__ for one in made] == ["ndarray", "Image", "Translated"]
    assert np.array_equal(made[0], np.asarray(made[1]))
    assert np.array_equal(made[0], i2i.translate(array, i2i.load(tiny_run)))
    assert done == [(1, 3), (2, 3), (3, 3)]
    result = i2i.translate_files(tmp_path / "a", tmp_path / "out", tiny_run, progress=lambda *now: done.append(now))
    assert (result.written, done[-1]) == (1, (1, 1))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "one.png")), made[0])
    assert len(i2i.generate(noise_model, [3, 4])) == 2
    assert i2i.generate(noise_model, [3])[0] == i2i.generate(noise_model, 4)[3]
    assert i2i.generate(point_model, 5).shape == (5, 2)
    with pytest.raises(UsageError, match="overwrite=True") as error:
        i2i.translate_files(tmp_path / "a", tmp_path / "out", tiny_run)
    assert "--" not in str(error.value)


def test_errors_speak_python(tiny_run, few_pairs, tmp_path):
    with pytest.raises(RunExistsError, match="resume=True"):
        i2i.train("lineart", tiny_run, data=few_pairs)
    with pytest.raises(ConfigError, match=r"^settings: train\.batch"):
        i2i.train("lineart", "never", settings={"train.batch": 0})
    (tmp_path / "there.onnx").touch()
    with pytest.raises(UsageError, match="overwrite=True"):
        i2i.export(tiny_run, tmp_path / "there.onnx")
    with pytest.raises(UsageError, match=r"^count\b"):
        i2i.evaluate(tiny_run, few_pairs, count=20)
    with pytest.raises(UsageError, match="sets=True"):
        i2i.evaluate(tiny_run, few_pairs, metrics=["fid"])
    with pytest.raises(UsageError, match=r"output.*triton"):
        i2i.export(tiny_run)


def test_options_in_messages_become_arguments():
    @speaks_python
    def f(text, settings=None, io="tensor", fit=None, labels=(), table=None, overwrite=False, output=None):
        raise UsageError(text)

    said = {
        "Use --fit resize, or --io tensor.": 'Use fit="resize", or io="tensor".',
        "--label is for all; add --labels FILE.csv": "labels is for all; add table=FILE.csv",
        "Add --overwrite to replace it, or -o FILE.": "Add overwrite=True to replace it, or output=FILE.",
        "--set data.resize_px=null.": 'settings={"data.resize_px": None}.',
        "--set data.input_range=[0,4095] or --set data.side=A": 'settings={"data.input_range": [0,4095]} or '
        'settings={"data.side": "A"}',
        "Leave out --tile exact.": "Leave out --tile exact.",  # which f does not have
    }
    for text, python in said.items():
        with pytest.raises(UsageError) as error:
            f(text)
        assert str(error.value) == python


def test_scores_are_those_of_the_command(tiny_run, few_pairs, few_scaled, tmp_path, capsys):
    done = []
    run = shutil.copytree(tiny_run, tmp_path / "run")
    score = i2i.evaluate(run, few_pairs, metrics=["l1"], worst=True, progress=lambda *now: done.append(now))
    assert call("evaluate", str(run), "--data", str(few_pairs), "--metrics", "l1", "--json") == 0
    (printed,) = json.loads(capsys.readouterr().out)["result"]["scores"]
    assert score.to_json() == printed
    assert (score.kind, score.model["l1"], len(score.rows)) == ("pairs", printed["model"]["l1"], 4)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert list((run / "scores").glob("*.worst.png"))
    shown = score._repr_html_()
    assert f"{score.model['l1']:.1f}" in shown
    assert "input copied" in shown
    assert base64.b64encode(score.sheets["worst"]).decode() in shown
    kept = sorted((run / "scores").iterdir())
    i2i.evaluate(run, few_scaled, "val", metrics=["l1"], keep=False)
    assert sorted((run / "scores").iterdir()) == kept


def test_models_from_noise_are_scored_against_pictures(noise_model, tmp_path):
    for seed in range(10):
        save(tmp_path / f"{seed}.png", 32, 32, seed=seed)
    done = []
    score = i2i.evaluate(noise_model, tmp_path, count=12, network="random", progress=lambda *now: done.append(now))
    assert (score.kind, done[-1], score.rows) == ("samples", (12, 12), ())
    assert score.intervals["kid"][0] <= score.intervals["kid"][1]
    assert "KID" in score._repr_html_()
    with pytest.raises(UsageError, match=r"^direction\b"):
        i2i.evaluate(noise_model, tmp_path, direction="A2B")


def test_the_suffix_says_what_is_exported(tiny_run, tiny_onnx, tmp_path, monkeypatch):
    """The page of this module writes ONNX; here the writing of others, which takes long, is only asked for."""
    asked = []
    spec = i2i.load(tiny_onnx).spec
    monkeypatch.setattr(page, "export_page", lambda model, options: asked.append(options) or {"B2A": spec})
    monkeypatch.setattr(exporting, "export_model", lambda model, options: asked.append(options) or {tiny_onnx: spec})
    monkeypatch.chdir(tmp_path)
    Path("demo.html").touch()
    shown = i2i.export(tiny_run, "demo.html", author="A. Artist", overwrite=True)
    assert shown.said[0] in shown._repr_html_()
    assert (asked[-1].page, asked[-1].output, asked[-1].author) == ("demo.html", None, "A. Artist")
    assert i2i.load(i2i.export(tiny_run, triton="models", io="image")).direction == "B2A"
    assert (asked[-1].triton, asked[-1].io, asked[-1].page) == ("models", "image", None)
    assert i2i.export_onnx(tiny_run, "m.onnx", "B2A", precision="fp16") is spec
    assert (asked[-1].output, asked[-1].direction, asked[-1].precision) == ("m.onnx", "B2A", "fp16")
    torch.save(revert(UNet(3, 3, depth=7, width=2)), "latest_net_G.pth")
    weights = i2i.export("latest_net_G.pth", "back.pth")
    assert "--netG unet_128" in weights._repr_html_()
    assert i2i.load(weights).direction == "A2B"
    with pytest.raises(UsageError, match=r" io\b"):
        i2i.export(tiny_run, "other.html", io="image")
