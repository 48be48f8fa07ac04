"""The shipped models: each is small, has its card and picture, works by its name, and scores what its card says."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from torch.nn import functional

import i2i
from i2i.algorithms.building import generator_arguments
from i2i.cli import cli
from i2i.config import load_config
from i2i.data.folders import find_pairs
from i2i.errors import ModelError, UsageError
from i2i.evaluation import evaluate_pairs, sides
from i2i.models import shipped
from i2i.models.modelfile import find_model, read_spec
from i2i.models.shipped import find_shipped, read_card, shipped_folder, shipped_names
from tests.conftest import ROOT, load_script

MOST_BYTES = 3_000_000
CARD = {
    "title": "one to another",
    "data": "none",
    "licence": "MIT",
    "rights": "none",
    "limits": "all",
    "command": "i2i train lineart",
    "trained": "16 images in 1 s",
    "scores": {"l1": 80.5},
    "use": "i2i translate a.png -m toy -o b.png",
}


@pytest.fixture
def toy(tiny_run, tmp_path, monkeypatch):
    """A folder of shipped models that holds one, of a tiny run."""
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")  # i2i.cli.models imports it in calls
    (tmp_path / "shipped").mkdir()
    shutil.copy(tiny_run / "model.safetensors", tmp_path / "shipped" / "toy.safetensors")
    (tmp_path / "shipped" / "toy.yaml").write_text(yaml.safe_dump(CARD))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shipped_model_is_found_by_its_name(toy, tiny_run):
    picture = np.full((16, 16, 3), 200, np.uint8)
    by_name = i2i.Translator.open("toy", device="cpu").translate(picture)
    np.testing.assert_array_equal(by_name, i2i.Translator.open(tiny_run, device="cpu").translate(picture))


def test_a_folder_of_that_name_comes_first(toy):
    (toy / "toy").mkdir()
    with pytest.raises(ModelError, match="toy"):
        find_model(toy / "toy")


def test_a_wrong_name_gets_the_nearest(toy):
    with pytest.raises(ModelError, match=r"\btoy\?"):
        find_model(Path("toyy"))
    with pytest.raises(ModelError) as far:
        find_model(Path("elephant"))
    assert "toy" not in str(far.value)


@pytest.mark.parametrize("name", ["../shipped/toy", "toy.safetensors", "", "toi"])
def test_other_names_are_no_shipped_models(toy, name):
    assert find_shipped(name) is None


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UsageError, match="nosuch"):
        read_card("nosuch")


def test_models_lists_and_describes_them(toy):
    assert "toy" in called("models")
    assert "i2i train lineart" in called("models", "toy")
    assert json.loads(called("models", "--json"))["result"]["models"] == {"toy": CARD}


def called(*words: str) -> str:
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_model_is_complete(name):
    card, file = read_card(name), shipped_folder() / f"{name}.safetensors"
    assert file.stat().st_size < MOST_BYTES
    assert card.scores
    assert f"-m {name}" in card.use
    assert Image.open(file.with_suffix(".png")).size > (100, 100)
    preset = card.command.split()[2]
    assert preset in i2i.config.preset_names()


def test_the_gallery_shows_the_cards():
    tool = load_script(ROOT / "tools" / "train_models.py")
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == tool.gallery()
    assert set(shipped_names()) == set(tool.RECIPES)


def test_a_second_training_may_depart_further_without_pairs(monkeypatch):
    tool = load_script(ROOT / "tools" / "train_models.py")
    for name, departure, far in (
        ("relief", 1.04, []),
        ("relief", 1.06, ["l1", "psnr", "ssim"]),
        ("relief_unpaired", 1.08, []),
        ("relief_unpaired", 52.5 / 42.6, ["l1", "psnr", "ssim", "lpips"]),  # the recipe before, from B to A
    ):
        again = {metric: departure * value for metric, value in read_card(name).scores.items()}
        monkeypatch.setattr(tool, "score", lambda name, file, again=again: again)
        found = {one.split()[1].removesuffix("_A2B").removesuffix("_B2A") for one in tool.compare(name, Path())}
        assert found == set(far)


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_outputs_have_no_frame(direction, monkeypatch):
    """The last layer of a residual network repeats the border; the control has zeros there."""
    inputs = [sides(pair, direction)[0] for pair in find_pairs([str(ROOT / "datasets/maps")], "test")[::5]]

    def frame():
        made = [i2i.load("relief_unpaired", direction=direction).translate(one).astype(float) for one in inputs]
        rings = [[one[k, 8:-8].mean() + one[-1 - k, 8:-8].mean() for one in made] for k in (0, 4)]
        return abs(float(np.subtract(*rings).mean())) / 2

    assert frame() < 10
    pad = functional.pad
    monkeypatch.setattr(functional, "pad", lambda value, by, mode="constant", **_: pad(value, by))
    assert frame() > 15


TRANSLATING = [name for name in shipped_names() if read_spec(shipped_folder() / f"{name}.safetensors").generators]


@pytest.mark.parametrize("name", TRANSLATING)
def test_the_command_of_a_card_makes_the_network_of_its_file(name):
    """So that a preset which changes does not change what a card says that it was trained with."""
    words = shlex.split(read_card(name).command)
    config = load_config(words[2], [words[at + 1] for at, word in enumerate(words) if word == "--set"])
    spec = read_spec(shipped_folder() / f"{name}.safetensors")
    for direction, part in spec.generators.items():
        made = generator_arguments(config, direction)
        assert {key: made[key] for key in part.arguments if key != "recolours"} == {
            key: value for key, value in part.arguments.items() if key != "recolours"
        }
        assert bool(config.generator.recolour) == part.arguments.get("recolours", False)


@pytest.mark.parametrize("name", TRANSLATING)
def test_a_shipped_model_scores_what_its_card_says(name):
    """On its test split, within half a grey level: other processors round in other ways."""
    card, spec = read_card(name), read_spec(shipped_folder() / f"{name}.safetensors")
    data = ROOT / card.data.split(",")[0]
    for direction in spec.generators:
        suffix = f"_{direction}" if len(spec.generators) > 1 else ""
        scores = evaluate_pairs(name, str(data), direction=direction, device="cpu", metrics=["l1", "ssim"])
        assert scores.model["l1"] == pytest.approx(card.scores[f"l1{suffix}"], abs=0.5)
        assert scores.model["ssim"] == pytest.approx(card.scores[f"ssim{suffix}"], abs=0.01)
