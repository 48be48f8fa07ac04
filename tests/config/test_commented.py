"""Settings that explain themselves: `i2i init`, and the schema for editors."""

import json
import re

import jsonschema
import pytest
import yaml

from i2i.algorithms import ALGORITHMS, resolve
from i2i.algorithms.describing import settings_file, settings_schema
from i2i.config import find_config, load_config, preset_names, read_yaml
from i2i.config.settings import Config

VALIDATOR = jsonschema.Draft202012Validator(json.loads(settings_schema()))


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_is_written_with_all_settings_and_reads_back_equal(preset, tmp_path):
    (tmp_path / "mine.yaml").write_text(settings_file(preset), encoding="utf-8")
    config = resolve(load_config(preset))
    assert resolve(load_config(tmp_path / "mine.yaml")) == config
    values = read_yaml(tmp_path / "mine.yaml")
    assert set(values) == set(Config.model_fields)
    assert set(values["loss"]) == set(ALGORITHMS[config.algorithm].Settings.model_fields)


def test_every_setting_has_its_meaning_what_it_takes_and_its_default():
    text = settings_file("pix2pix")
    before, _, after = text.partition("  depth: 8\n")
    assert re.search(r"2\*\*depth\.\n  # \[.* 4 .* 9; default 8\]\n\Z", before)
    assert "  # [unet, resnet, " in text
    assert "modern_unet" in text
    assert "  terms:\n    # " in after  # a section in a section
    lines = text.splitlines()
    alone = [one for place, one in enumerate(lines) if one.strip() and one.lstrip()[0] != "#" and ": " in one
             and not lines[place - 1].endswith("]")]  # fmt: skip
    assert alone == []
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("preset", preset_names())
def test_the_schema_takes_every_preset(preset):
    """As it is written, with its base, and with all settings."""
    VALIDATOR.validate(read_yaml(find_config(preset)))
    VALIDATOR.validate(yaml.safe_load(settings_file(preset)))


@pytest.mark.parametrize(
    "text",
    [
        "base: pix2pix\ntrian: {batch: 1}",
        "base: pix2pix\ntrain: {batch: 0}",
        "algorithm: pixpix",
        "algorithm: cyclegan\nloss: {l1: 3}",
        "algorithm: pix2pix\nloss: {adversarial: hing}",
        "generator: {name: unet, blocks: 3}",
        "base: [pix2pix]",
        "algorithm: CycleGAN\nloss: {l1: 3}",
        "algorithm: pix2pix\nloss: {adversarial: wgan}",
    ],
)
def test_the_schema_refuses_what_i2i_refuses(text):
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))


@pytest.mark.parametrize(
    "text",
    [
        "base: pix2pix\ndata: {path: photos}\ngenerator: {width: 32}",
        "base: pix2pix\nloss: {l1: {from: 1, to: 2, over_images: 5}}\nlog: {loggers: csv}",
        "algorithm: pix2pix\nloss: {l1: 3, terms: {lpips: 1}}\ndiscriminator: null",
        "algorithm: CycleGAN\nloss: {cycle_a: 3, adversarial: lsgan}\ngenerator: {name: UNet, width: 3}",
        "data: {direction: AtoB}\noptimizer: {name: Adam}\ntrain: {precision: bfloat16}",
    ],
)
def test_the_schema_takes_files_that_lie_on_others(text):
    VALIDATOR.validate(yaml.safe_load(text))
