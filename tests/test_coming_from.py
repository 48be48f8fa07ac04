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


OPTIONS = """
    aspect_ratio batch_size beta1 checkpoints_dir continue_train crop_size dataroot dataset_mode direction display_env
    display_freq display_id display_ncols display_port display_server display_winsize epoch epoch_count eval gan_mode
    gpu_ids init_gain init_type input_nc lambda_A lambda_B lambda_L1 lambda_identity load_iter load_size lr
    lr_decay_iters lr_policy max_dataset_size model model_suffix n_epochs n_epochs_decay n_layers_D name ndf netD netG
    ngf no_dropout no_flip no_html norm num_test num_threads output_nc phase pool_size preprocess print_freq results_dir
    save_by_iter save_epoch_freq save_latest_freq serial_batches suffix update_html_freq use_wandb verbose
    wandb_project_name
"""
"""All that train.py and test.py of that project take, with its models pix2pix, cycle_gan, test and colorization."""


@pytest.mark.parametrize("option", OPTIONS.split())
def test_each_option_is_mapped(option):
    rows = re.findall(r"^\| (.*) \| .+ \|$", PAGE, re.MULTILINE)
    assert any(re.search(rf"--{option}\b", row) for row in rows)


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
