"""What `i2i doctor DATA` suggests depends on the set and on the machine, and can be trained."""

import pytest
import torch

from i2i.algorithms import ALGORITHMS, resolve
from i2i.config import load_config
from i2i.metrics.suggest import NIGHT_H, Machine, suggest
from tests.conftest import LINEART

SMALL, LARGE, GPU = Machine(2, False), Machine(64, False), Machine(16, True)


def settings(suggestion):
    return {name: int(value) for name, value in (change.split("=") for change in suggestion.changes)}


def config_of(suggestion):
    data = ["data.side=B"] if suggestion.preset in ("dcgan", "generate") else []
    return resolve(load_config(suggestion.preset, [f"data.path={LINEART}", *data, *suggestion.changes]))


@pytest.mark.parametrize("kind", ["paired", "unpaired", "images"])
@pytest.mark.parametrize("count", [0, 1, 60_000])
@pytest.mark.parametrize("machine", [SMALL, GPU])
def test_a_suggestion_has_crop_resize_batch_and_schedule(kind, count, machine):
    suggestion = suggest(kind, 300, count, machine)
    config = config_of(suggestion)
    assert config.data.crop_px <= (config.data.resize_px or 0)
    assert settings(suggestion)["train.batch"] == config.train.batch <= max(count, 1)
    assert (config.schedule.images or 0) >= 1000 or (config.schedule.epochs or 0) >= 1
    assert (suggestion.hours is None) == machine.gpu


@pytest.mark.parametrize("kind", ["paired", "clips", "unpaired", "images"])
@pytest.mark.parametrize("side_px", [8, 40, 100, 300])
def test_what_is_suggested_can_be_built(kind, side_px):
    config = config_of(suggest(kind, side_px, 400, SMALL))
    with torch.device("meta"):
        ALGORITHMS[config.algorithm](config)


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_the_batch_is_that_of_the_preset_unless_there_are_fewer_pictures(kind):
    suggestion = suggest(kind, 300, 400, SMALL)
    assert settings(suggestion)["train.batch"] == load_config(suggestion.preset).train.batch
    assert settings(suggest(kind, 300, 3, SMALL))["train.batch"] == 3


def test_a_larger_set_is_trained_on_for_longer():
    few, many = (settings(suggest("paired", 256, count, GPU))["schedule.images"] for count in (400, 1500))
    assert (few, many) == (40_000, 150_000)  # 100 passes each
    assert settings(suggest("paired", 256, 20, GPU))["schedule.images"] == 20_000  # at least
    assert settings(suggest("paired", 256, 500_000, GPU))["schedule.images"] == 500_000  # one pass at least


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
@pytest.mark.parametrize("side_px", [40, 64, 256])
@pytest.mark.parametrize("count", [10, 1000, 100_000])
def test_cores_get_what_they_train_overnight(kind, side_px, count):
    cores, gpu = (suggest(kind, side_px, count, machine) for machine in (SMALL, GPU))
    assert cores.hours <= NIGHT_H + 0.1
    assert settings(cores)["data.crop_px"] <= settings(gpu)["data.crop_px"]
    assert settings(cores)["schedule.images"] <= settings(gpu)["schedule.images"]


def test_photographs_without_pairs_are_cropped_smaller_without_a_gpu():
    crops = [settings(suggest("unpaired", 300, 1000, one))["data.crop_px"] for one in (SMALL, LARGE, GPU)]
    assert crops == [128, 256, 256]


@pytest.mark.parametrize(
    ("side_px", "machine", "preset"),
    [(64, SMALL, "generate"), (300, SMALL, "generate"), (40, GPU, "generate"), (64, GPU, "dcgan"), (300, GPU, "dcgan")],
)
def test_a_gpu_and_64_px_decide_what_single_pictures_are_trained_with(side_px, machine, preset):
    found = suggest("images", side_px, 400, machine)
    assert found.preset == preset
    assert settings(found)["data.crop_px"] == (64 if preset == "dcgan" else 32)


@pytest.mark.parametrize(("count", "images"), [(400, 100_000), (1500, 150_000), (60_000, 200_000)])
def test_single_pictures_get_the_schedule_of_the_preset_and_more_if_they_are_many(count, images):
    found = suggest("images", 64, count, SMALL)
    assert settings(found)["schedule.images"] == images
    preset = load_config("generate")
    assert (preset.schedule.images, preset.data.crop_px, preset.train.batch) == (100_000, 32, 16)
    assert settings(found)["train.batch"] == 16


def test_single_pictures_get_what_a_night_allows():
    one = suggest("images", 64, 30_000_000, Machine(1, False))
    assert NIGHT_H - 0.1 < one.hours <= NIGHT_H + 0.1
    assert settings(one)["schedule.images"] < 30_000_000


@pytest.mark.parametrize(
    ("kind", "grey", "wanted"),
    [
        ("paired", (True, False), {"data.channels_a": 1}),
        ("unpaired", (True, True), {"data.channels_a": 1, "data.channels_b": 1}),
        ("images", (True,), {"data.channels": 1}),
        ("images", (False,), {}),
    ],
)
def test_grey_pictures_get_one_channel(kind, grey, wanted):
    found = suggest(kind, 64, 400, SMALL, grey)
    assert {name: one for name, one in settings(found).items() if "channels" in name} == wanted
    config_of(found)
