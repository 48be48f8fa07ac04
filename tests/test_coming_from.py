"""What docs/coming_from.md promises people who come from another project is taken."""

import re

import pytest

from i2i.algorithms import resolve
from i2i.config import load_config, preset_names
from i2i.errors import ConfigError
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")
SETTINGS = sorted(set(re.findall(r"`([a-z_]+\.[a-z_]+=[^`]+)`", PAGE)))


def takes(preset, setting):
    try:
        resolve(load_config(preset, [setting]))
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_is_taken_by_one_of_the_two_presets(setting):
    assert takes("pix2pix", setting) or takes("cyclegan", setting)


def test_settings_that_are_not_ours_are_not_taken():
    assert len(SETTINGS) > 40
    assert not takes("pix2pix", "loss.lambda=1")


def test_the_presets_and_options_are_there():
    assert {"pix2pix", "cyclegan", "modern", "modern_unpaired", "colorize"} <= set(preset_names())
    cli = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for option in ("--devices", "--device", "--out", "--resume", "--fit"):
        assert option in PAGE
        assert re.search(rf"^ +{option}\b", cli, re.MULTILINE), option
