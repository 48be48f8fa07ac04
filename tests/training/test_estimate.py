"""--dry-run's figures: right where they can be known, and nothing written."""

import re

import pytest
import torch

from i2i.algorithms import ALGORITHMS, resolve
from i2i.config.settings import Config
from i2i.data.sets import with_facts
from i2i.networks import UNet
from i2i.training import estimate as module
from i2i.training.engine import Engine
from i2i.training.estimate import describe, estimate, find_data
from i2i.words import show_duration
from tests.conftest import SMALLEST, smallest_config, tiny_config


def lines_of(config: Config) -> str:
    config = resolve(config)
    data = find_data(config)
    config = with_facts(config, data) if data else config
    with torch.device("meta"):
        algorithm = ALGORITHMS[config.algorithm](config)
    return "\n".join([*describe(algorithm), *estimate(config, data)])


@pytest.mark.parametrize("kind", list(SMALLEST))
def test_every_algorithm_is_estimated_and_nothing_written(kind, few_pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = lines_of(smallest_config(kind, few_pairs))
    assert "5 x 4 images" in text
    assert "1,000 images" in text
    assert "GiB" in text
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_fills_no_cache(few_pairs, tmp_path):
    lines_of(smallest_config("pix2pix", few_pairs, "data.cache=disk", f"data.cache_path={tmp_path / 'cache'}"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_known_is_exact():
    network = UNet(3, 3, depth=4, width=2, upsample="resize")
    text = lines_of(tiny_config())
    assert f"generator: {sum(one.numel() for one in network.parameters()):,} parameters\n" in text
    assert "16 x 16 px" in text


def test_without_data_it_takes_noise_and_steps_that_differ_count_as_one(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    config = smallest_config("gan", ".", "data.path=[]", "loss.n_critic=3", "train.accumulate=2")
    assert re.search("3 x 8 images.* noise.* cpu", lines_of(config))


def test_long_turns_at_the_start_do_not_count(monkeypatch):
    trained = []
    step = Engine.train_step
    monkeypatch.setattr(Engine, "train_step", lambda *given: trained.append(step(*given)) or trained[-1])
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    lines_of(smallest_config("wgan_ring", ".", "loss.n_critic=2"))
    assert ["G_GAN" in terms for terms in trained] == [False, True] * (len(trained) // 2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.2 s"), (119, "119.0 s"), (7199, "120.0 min"), (7200, "2.0 h"), (10**6, "11.6 days")],
)
def test_durations_are_readable(seconds, words):
    assert show_duration(seconds) == words
