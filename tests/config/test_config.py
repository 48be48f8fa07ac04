"""Settings: what is accepted, and what the messages say of what is not."""

import re
import shlex
from pathlib import Path

import pytest

import i2i
from i2i.algorithms import ALGORITHMS, resolve
from i2i.config import did_you_mean, differences, find_config, parse, setting_names, to_yaml
from i2i.config.generators import ResNetSettings
from i2i.config.problems import CHOICES
from i2i.config.section import Ramp
from i2i.config.settings import Config
from i2i.errors import ConfigError
from tests.cli.test_messages import SET


@pytest.mark.parametrize(("words", "name"), SET)
def test_a_wrong_setting_is_named(words, name):
    with pytest.raises(ConfigError) as error:
        resolve(i2i.load_config("pix2pix", shlex.split(words)))
    assert name in str(error.value)
    assert len(str(error.value).splitlines()) <= 3
    assert error.value.exit_code == 2


SECTIONS = [
    *(field.annotation for field in Config.model_fields.values() if hasattr(field.annotation, "model_fields")),
    *(algorithm.Settings for algorithm in ALGORITHMS.values()),
    *(section for choices in CHOICES.values() for section in choices.values()),
    *(Config, Ramp),
]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_says_in_our_words_what_it_received_and_what_it_takes(section):
    for name in [field.alias or own for own, field in section.model_fields.items()]:
        needed = {"from": 1, "to": 2, "over_images": 3} if section is Ramp else {}  # since three problems are shown
        with pytest.raises(ConfigError) as error:
            parse(section, {**needed, name: [[0], [0], [0]]}, "mine.yaml")
        said = next(line for line in str(error.value).splitlines() if line.startswith(f"mine.yaml: {name} "))
        reason = said.partition(f"{name} is [[0], [0], [0]]")[2]
        own = name == "path"  # a validator of ours counts the folders
        assert re.fullmatch(r": .+\." if own else r"\. (Give|Choose one of) .+\.", reason), said


def test_overrides_are_laid_over_the_preset():
    config = i2i.load_config("pix2pix", ["optimizer.lr=1e-3", "data.path=photos", "schedule.epochs=103"])
    assert config.optimizer.lr == 1e-3
    assert config.data.path == ("photos",)
    assert config.schedule.epochs == 103
    assert config.data.crop_px == 256


def test_another_network_brings_its_own_settings():
    config = i2i.load_config("pix2pix", ["generator.blocks=6", "generator.name=resnet"])
    assert config.generator == ResNetSettings(blocks=6)
    assert i2i.load_config("lineart", ["generator.name=unet"]).generator.depth == 6  # no other one


def test_an_error_says_where_the_setting_was_written(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("algorithm: pix2pix\nschedule: {images: 5}\ngenerator: {depth: 6}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        i2i.load_config(path, ["train.batch=0"])
    network, batch = str(error.value).splitlines()
    assert network.startswith(f"{path}: generator.name ")
    assert "resnet" in network
    assert batch.startswith("--set: train.batch ")


@pytest.mark.parametrize(
    ("name", "near"),
    [("data.range", "data.input_range"), ("range", ""), ("data.shuffle", ""), ("generator.dempth", "generator.depth")],
)
def test_only_what_is_near_is_suggested(name, near):
    suggested = did_you_mean(name, [one for one in setting_names(Config) if one != name])
    assert suggested == (f" Did you mean {near}?" if near else "")


@pytest.mark.parametrize("change", ["loss.adversarial=vanila", "generator.name=resnet_9block", "optimizer.name=Adm"])
def test_a_name_of_another_project_is_suggested_where_it_is_nearest(change):
    near = {"vanila": "vanilla", "resnet_9block": "resnet_9blocks", "Adm": "Adam"}[change.partition("=")[2]]
    with pytest.raises(ConfigError, match=rf"Did you mean {near}\? Choose one of "):
        resolve(i2i.load_config("pix2pix", [change]))


def test_a_resolved_config_reads_back_equal(tmp_path):
    config = resolve(i2i.load_config("pix2pix", ["loss.l1=50"]))
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert i2i.load_config(tmp_path / "config.yaml") == config
    assert (config.loss["adversarial"], config.loss["l1"]) == ("non_saturating", 50.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "settings"),
        ("- a", "settings"),
        ("a: [", "YAML"),
        ("data: {}", "algorithm"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as error:
        i2i.load_config(path)
    assert str(path) in str(error.value)


def test_an_empty_section_takes_overrides(tmp_path):
    (tmp_path / "mine.yaml").write_text("algorithm: pix2pix\nschedule: {images: 5}\noptimizer:\n", encoding="utf-8")
    assert i2i.load_config(tmp_path / "mine.yaml", ["optimizer.lr=1"]).optimizer.lr == 1


def test_presets_are_found_by_name_alone(tmp_path):
    assert find_config("maps").name == "maps.yaml"
    for wrong in ("map", "../configs/maps", str(tmp_path / "none.yaml")):
        with pytest.raises(ConfigError, match="pix2pix"):
            find_config(wrong)
    with pytest.raises(ConfigError, match="maps"):
        find_config(Path("map"))


def test_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        i2i.load_config("pix2pix").train.batch = 2


def test_differences_name_what_changed():
    old = i2i.load_config("pix2pix").model_dump(mode="json")
    new = i2i.load_config("pix2pix", ["optimizer.lr=1", "train.batch=2"]).model_dump(mode="json")
    assert list(differences(old, new)) == [("optimizer.lr", 2e-4, 1.0), ("train.batch", 1, 2)]


def test_a_run_folder_is_no_preset_but_says_how_to_go_on(tmp_path):
    (tmp_path / "config.yaml").write_text("algorithm: pix2pix\n")
    with pytest.raises(ConfigError, match="--resume"):
        i2i.load_config(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "a: [", "- 1", "a: \x07"], ids=["deep", "open", "list", "bell"])
def test_files_that_are_no_settings_are_refused(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        i2i.load_config(tmp_path / "bad.yaml")
