"""Settings: what is accepted, and what the messages say of what is not."""

from pathlib import Path

import pytest

import i2i
from i2i.algorithms import resolve
from i2i.config import did_you_mean, differences, find_config, setting_names, to_yaml
from i2i.config.settings import Config, ResNetSettings
from i2i.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate is not a setting. Did you mean optimizer.lr?"),
        ("train.lr=1e-3", "train.lr is not a setting. Did you mean optimizer.lr?"),
        ("optimizer.lr=.inf", "optimizer.lr is inf: input should be a finite number"),
        ("generator.blocks=6", "--set: generator.blocks is not a setting of unet."),
        ("optimiser.lr=1e-3", "optimiser is not a setting. Did you mean optimizer?"),
        ("generator.dept=6", "generator.dept is not a setting of unet. Did you mean generator.depth?"),
        ("train.batch_size=4", "Did you mean train.batch?"),
        ("train.ema_decay=0.999", "Did you mean train.ema_half_life_images?"),
        ("data.crop_sise=128", "Did you mean data.crop_px?"),
        ("loss.lambda_L1=10", "loss.lambda_L1 is not a setting. Did you mean loss.l1?"),
        ("generator.depth=12", "generator.depth is 12: input should be less than or equal to 9"),
        ("generator.name=vnet", "--set: generator.name is 'vnet'. Did you mean unet?"),
        ("train.batch=none", "train.batch is 'none'"),
        ("train.batch=0", "train.batch is 0: input should be greater than 0"),
        ("data.channels_a=2", "data.channels_a is 2: input should be 1, 3 or 4"),
        ("data.resize_px=128", "pix2pix.yaml with --set: data: resize_px is 128, smaller than crop_px, 256"),
        ("data.path=[a, b, c]", "at most two folders"),
        (
            "train={compile: true, activation_checkpointing: true}",
            "train: compile and activation_checkpointing exclude",
        ),
        ("schedule.images=100", "give one of epochs and images"),
        ("algorithm=pixpix", "algorithm pixpix is not known. Did you mean pix2pix?"),
        ("train.seed", "--set train.seed is not of the form section.name=value"),
        ("train.seed.deep=1", "train.seed: input should be a valid integer"),
        ("train.seed=[", "not valid YAML"),
    ],
)
def test_a_wrong_setting_is_named(override, words):
    with pytest.raises(ConfigError) as error:
        resolve(i2i.load_config("pix2pix", [override]))
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) <= 3
    assert error.value.exit_code == 2


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
    assert network.startswith(f"{path}: generator.name is missing.")
    assert "resnet" in network
    assert batch.startswith("--set: train.batch is 0")


@pytest.mark.parametrize(
    ("name", "near"),
    [("data.range", "data.input_range"), ("range", ""), ("data.shuffle", ""), ("generator.dempth", "generator.depth")],
)
def test_only_what_is_near_is_suggested(name, near):
    suggested = did_you_mean(name, [one for one in setting_names(Config) if one != name])
    assert suggested == (f" Did you mean {near}?" if near else "")


def test_a_resolved_config_reads_back_equal(tmp_path):
    config = resolve(i2i.load_config("pix2pix", ["loss.l1=50"]))
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert i2i.load_config(tmp_path / "config.yaml") == config
    assert (config.loss["adversarial"], config.loss["l1"]) == ("non_saturating", 50.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no settings"),
        ("- a", "holds no settings"),
        ("a: [", "not valid YAML"),
        ("data: {}", "algorithm is missing"),
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
    with pytest.raises(ConfigError, match="Did you mean maps"):
        find_config(Path("map"))


def test_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        i2i.load_config("pix2pix").train.batch = 2


def test_differences_name_what_changed():
    old = i2i.load_config("pix2pix").model_dump(mode="json")
    new = i2i.load_config("pix2pix", ["optimizer.lr=1", "train.batch=2"]).model_dump(mode="json")
    assert list(differences(old, new)) == [("optimizer.lr", 2e-4, 1.0), ("train.batch", 1, 2)]
