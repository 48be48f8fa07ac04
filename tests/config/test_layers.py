"""Files on bases: what a file inherits, what it drops, and where an error says that a setting was written."""

import pytest

import i2i
from i2i.algorithms import resolve
from i2i.config import find_config, preset_names
from i2i.config.aliases import SAME, SEVERAL
from i2i.config.generators import ResNetSettings
from i2i.config.layers import read_layers
from i2i.errors import ConfigError
from tests.conftest import ROOT


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "mine.yaml"


def test_a_file_holds_what_differs_from_its_base(tmp_path):
    mine = write(
        tmp_path,
        mine="base: lab/usual.yaml\ntrain: {batch: 2}\n",
        other="base: lineart\nloss: {l1: 7}\n",
    )
    (tmp_path / "lab").mkdir()
    write(tmp_path / "lab", usual="base: ../other.yaml\ndata: {crop_px: 32, resize_px: null}\n")
    config, lineart = i2i.load_config(mine), i2i.load_config("lineart")
    assert (config.train.batch, config.data.crop_px, config.data.resize_px, config.loss["l1"]) == (2, 32, None, 7)
    assert (config.generator, config.optimizer) == (lineart.generator, lineart.optimizer)
    assert config.data.direction == "B2A"
    assert config == i2i.load_config(
        "lineart", ["train.batch=2", "data.crop_px=32", "data.resize_px=null", "loss.l1=7"]
    )


@pytest.mark.parametrize("overrides", [[], ["generator.width=8"]])
def test_another_network_or_algorithm_drops_what_belongs_to_the_old_one(tmp_path, overrides):
    mine = write(tmp_path, mine="base: pix2pix\nalgorithm: cyclegan\ngenerator: {name: resnet, blocks: 3}\n")
    config = resolve(i2i.load_config(mine, overrides))
    assert config.generator == ResNetSettings(blocks=3, **({"width": 8} if overrides else {}))
    assert "l1" not in config.loss
    assert config.optimizer == i2i.load_config("pix2pix").optimizer
    write(tmp_path, mine="base: pix2pix\ngenerator: {name: unet, depth: 5}\n")  # control: the same one keeps its own
    assert i2i.load_config(mine).generator.dropout == 0.5


def test_a_length_in_another_unit_replaces_that_of_the_base(tmp_path):
    mine = write(tmp_path, mine="base: pix2pix\nschedule: {images: 1000, decay_images: 0}\n")
    for config in (i2i.load_config(mine), i2i.load_config("pix2pix", ["schedule.images=1000"])):
        assert (config.schedule.epochs, config.schedule.images) == (None, 1000)
    assert i2i.load_config(mine, ["schedule.epochs=3"]).schedule.images is None


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ("pix3pix", ("base is pix3pix", "pix2pix")),
        ("none.yaml", ("base is none.yaml",)),
        ("mine.yaml", ("mine.yaml", "base")),
        ("[pix2pix]", ("base is [pix2pix]",)),
        ("circle.yaml", ("circle.yaml", "mine.yaml → ")),
    ],
)
def test_a_base_that_cannot_be_is_named(tmp_path, base, named):
    mine = write(tmp_path, mine=f"base: {base}\n", circle="base: mine.yaml\n")
    with pytest.raises(ConfigError) as error:
        i2i.load_config(mine)
    for name in (str(mine.parent), *named):
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("mine", "overrides", "wrong", "origin"),
    [
        ("base: low.yaml", [], "train.batch", "low.yaml"),
        ("base: low.yaml\ntrain: {batch: -1}", [], "train.batch", "mine.yaml"),
        ("base: low.yaml\ntrain: {seed: 1}", ["train.batch=-1"], "train.batch", "--set"),
        ("base: low.yaml\ntrain: {batch: 1}", ["data.resize_px=9"], "data", "pix2pix.yaml with --set"),
        ("base: low.yaml\ntrain: {batch: 1}\nloss: {l2: 1}", [], "loss.l2", "mine.yaml"),
        ("base: low.yaml\ntrain: {batch: 1}\nalarms: {stepps: 1}", [], "alarms.stepps", "mine.yaml"),
        ("schedule: {images: 1}", [], "algorithm", "mine.yaml"),
        ("base: low.yaml\ntrain: {batch: 1}", ["train.seed=-1"], "train.seed", "--seed"),
    ],
)
def test_an_error_names_the_file_or_the_option(tmp_path, mine, overrides, wrong, origin):
    path = write(tmp_path, mine=mine, low="base: pix2pix\ntrain: {batch: 0}\n")
    with pytest.raises(ConfigError) as error:
        resolve(i2i.load_config(path, overrides, {"train.seed": "--seed"}))
    where, _, what = str(error.value).partition(": ")
    assert where.endswith(origin)
    assert what.startswith((f"{wrong} ", f"{wrong}: "))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("written", "ours"),
    [(f"{name}={one}", f"{name}={ours}") for name, words in SAME.items() for one, ours in words.items()],
)
def test_names_of_other_projects_are_ours(written, ours):
    """In a preset that takes them, as far as any name of ours is taken."""

    def settings(override):
        try:
            return resolve(i2i.load_config("wgan_ring", ["algorithm=gan", override]))
        except ConfigError as error:
            return str(error)

    assert settings(written) == settings(ours)


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in SEVERAL.items() for word in words])
def test_a_name_for_several_settings_says_which(name, word):
    with pytest.raises(ConfigError) as error:
        i2i.load_config("pix2pix", [f"{name}={word}"])
    advice = SEVERAL[name][word]
    assert advice in str(error.value)
    resolve(i2i.load_config("pix2pix", [*advice.split(" with "), "discriminator.norm=none"]))


def test_a_name_of_another_project_in_a_file_keeps_the_settings_of_its_network(tmp_path):
    mine = write(tmp_path, mine="base: lineart\ndiscriminator: {name: n_layers}\nloss: {adversarial: lsgan}\n")
    config = i2i.load_config(mine)
    assert (config.discriminator.layers, config.loss["adversarial"]) == (2, "least_squares")
    write(tmp_path, mine="base: lineart\ngenerator: {name: unet_256}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        i2i.load_config(mine)


def test_shipped_presets_inherit_in_few_steps():
    depths = {name: len(read_layers(find_config(name)).layers) for name in preset_names()}
    assert max(depths.values()) <= 3, "A reader opens at most three files to know a preset."
    assert depths["fastcut"] == 2


def test_the_file_in_the_docs_is_whole(tmp_path):
    text = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    mine = write(tmp_path, mine=text.partition("```yaml\n")[2].partition("```")[0])
    config = resolve(i2i.load_config(mine))
    assert config.generator == ResNetSettings(blocks=6)
    assert config.schedule.epochs is None
