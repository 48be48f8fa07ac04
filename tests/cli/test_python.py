"""i2i from Python: the page on it runs, and what comes back holds what it says."""

import re

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i.errors import ConfigError, RunExistsError, UsageError
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
        i2i.export_onnx(tiny_run, tmp_path / "there.onnx")
