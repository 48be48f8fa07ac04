"""Ramps of weights, and sections that an algorithm does not read."""

import pytest

import i2i
from i2i.algorithms import ALGORITHMS, resolve
from i2i.algorithms.pix2pix import Pix2Pix
from i2i.config import parse, to_yaml
from i2i.config.section import Ramp
from i2i.config.settings import Config
from i2i.errors import ConfigError
from tests.conftest import tiny_config

RAMP = "loss.l1={from: 100, to: 10, over_images: 200}"


def test_a_ramp_is_linear_and_then_constant():
    algorithm = ALGORITHMS["pix2pix"](tiny_config(RAMP))
    found = []
    for images in (0, 50, 200, 1000):
        algorithm.begin(images, 1000)
        found.append(algorithm.weights()["G_L1"])
    assert found == [100, 77.5, 10, 10]


def test_a_ramp_follows_half_a_cosine_where_asked():
    ramp = Ramp.model_validate({"from": 4, "to": 1, "over_images": 300, "curve": "cosine"})
    assert [ramp.at(images) for images in (0, 100, 150, 200, 300, 900)] == pytest.approx([4, 3.25, 2.5, 1.75, 1, 1])


def test_a_ramp_is_written_as_it_is_read(tmp_path):
    config = resolve(tiny_config(RAMP))
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert config.loss["l1"] == {"from": 100.0, "to": 10.0, "over_images": 200, "curve": None}
    assert resolve(i2i.load_config(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("ramp", "words"),
    [
        ("{from: 1, to: 2}", "loss.l1.over_images"),
        ("{from: -1, to: 2, over_images: 5}", "loss.l1.from"),
        ("{form: 1, from: 1, to: 2, over_images: 5}", "loss.l1.from"),
        ("-1", "loss.l1"),
        ("much", "loss.l1"),
    ],
)
def test_ramps_that_make_no_sense_are_refused(ramp, words):
    """In one line that names only settings."""
    with pytest.raises(ConfigError, match=words) as refused:
        resolve(tiny_config(f"loss.l1={ramp}"))
    assert len(str(refused.value).splitlines()) == 1


class Alone(Pix2Pix):
    has_discriminator = False


def test_a_section_that_an_algorithm_does_not_read_is_null_and_refused(monkeypatch):
    monkeypatch.setitem(ALGORITHMS, "alone", Alone)
    values = {"algorithm": "alone", "schedule": {"images": 4}}
    assert resolve(parse(Config, values, "test")).discriminator is None
    assert resolve(parse(Config, {**values, "discriminator": None}, "test")).discriminator is None
    with pytest.raises(ConfigError, match="discriminator"):
        resolve(parse(Config, {**values, "discriminator": {"name": "patchgan"}}, "test"))
    with pytest.raises(ConfigError, match="discriminator"):
        resolve(parse(Config, {**values, "algorithm": "pix2pix", "discriminator": None}, "test"))
