"""Illnesses: each made one is named, and its healthy counterpart is silent."""

import itertools
import json
import re
import shutil
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.config import load_config
from i2i.data.cache import Pictures
from i2i.data.folders import find_sides
from i2i.data.items import read_picture
from i2i.data.toy import TOYS, draw
from i2i.diagnosis import ILLNESSES, NotMeasured, RunFacts, advise, diagnose, speed
from i2i.diagnosis.facts import Translations
from i2i.diagnosis.outputs import upsampling_stages
from i2i.diagnosis.reading import Reading
from i2i.diagnosis.speed import idle_share
from i2i.errors import NonFiniteError
from i2i.evaluation.baselines import fit_colour_map
from i2i.images import read_image
from i2i.networks import DCGANGenerator, DiscriminatorOutput, ModernUNet, ResNet, UNet
from i2i.networks.layers import BatchNorm, set_norm_statistics
from tests.conftest import LINEART, MAPS, ROOT, smallest_config, tiny_config

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def pairs():
    """Sixty real pairs of 64 px, line art and colour, (N, 64, 64, 3) uint8 each."""
    both = np.stack([read_image(path) for path in sorted((LINEART / "train").glob("*.png"))[:60]])
    return both[:, :, :64], both[:, :, 64:]


class MadeFacts(RunFacts):
    """RunFacts made up for a check; what it does not need is missing."""

    sheets: Any = None  # a property of the class would hide what is made up
    algorithm: Any = None

    def __init__(self, **facts):
        self.pictures, self.device = 32, "cpu"
        self.__dict__ |= facts


def config_of(kind, *changes):
    return smallest_config(kind, ".", *changes)


def rows(**terms):
    """Thirty rows of losses; each term is a function of the row's number."""
    return [
        {"images": 100 * place, "seconds": 1.0, "split": "train", **{name: one(place) for name, one in terms.items()}}
        for place in range(1, 31)
    ]


def log_of(**terms):
    return MadeFacts(config=config_of("pix2pix"), rows=rows(**terms))


def translated(pairs, outputs, paired=True):
    """A model that made `outputs` of the colour pictures, where line art is true."""
    truths, inputs = pairs
    one = Translations("B2A", inputs[:32], outputs[:32], truths[:32] if paired else None, truths[:32])
    return MadeFacts(config=config_of("pix2pix"), spec=SimpleNamespace(generators=["B2A"]), _translations=[one])


def nearly(pictures, levels=6):
    """The pictures with a little noise: what a good model makes of them."""
    return np.clip(pictures + RANDOM.normal(0, levels, pictures.shape), 0, 255).astype(np.uint8)


def sampled(reals, samples):
    config = config_of("gan", "data.toy=null")
    spec = SimpleNamespace(generators={}, latent_generator=None)
    return MadeFacts(config=config, spec=spec, reals=unit(reals), samples=unit(samples), held_out=None)


def unit(pictures):
    return (pictures.transpose(0, 3, 1, 2) / np.float32(127.5) - 1).astype(np.float32)


def number(name, facts):
    return ILLNESSES[name].measure(facts).number


def check(name, ill, healthy):
    """One made illness is beyond the threshold, and its counterpart is not."""
    assert ILLNESSES[name].has(number(name, ill)), number(name, ill)
    assert not ILLNESSES[name].has(number(name, healthy)), number(name, healthy)


def accuracies(value):
    return {f"D_{kind}_accuracy": lambda place: value for kind in ("real", "fake")}


def test_discriminator_won():
    losses = {"D_real": lambda place: 0.001, "D_fake": lambda place: 0.002, **accuracies(1.0)}
    won = log_of(**losses, G_GAN=lambda place: 8.0, G_L1=lambda place: 0.3)
    check("discriminator has won", won, log_of(**losses, G_GAN=lambda place: 8.0, G_L1=lambda place: 0.9**place))
    with pytest.raises(NotMeasured):
        number("discriminator has won", log_of(D_real=lambda place: 1.0))  # a critic without accuracies


def test_oscillation(pairs):
    """Sheets of eight cells that show other pictures each time, and some that get better."""
    grey = np.stack([read_image(path)[:64, :64, 0] for path in sorted((MAPS / "train").iterdir())[:24]])

    def sheets(frame):
        return MadeFacts(sheets={"generate": [np.concatenate(list(frame(place))) for place in range(12)]})

    jumps = sheets(lambda place: grey[8 * (place % 3) :][:8])
    settles = sheets(lambda place: nearly(grey[:8], 60 / (1 + place)))
    check("oscillation", jumps, settles)
    assert number("oscillation", sheets(lambda place: grey[:8])) == 0


def test_mode_collapse(pairs):
    colour = pairs[1]
    check("mode collapse", sampled(colour, nearly(np.stack([colour[0]] * 60))), sampled(colour, nearly(colour[::-1])))


def test_dropped_modes_of_pictures(pairs):
    reals = np.concatenate([255 - pairs[0], pairs[1]])  # dark and light ones, of which the light are left out
    check("dropped modes", sampled(reals, nearly(np.concatenate([255 - pairs[0]] * 2))), sampled(reals, nearly(reals)))


def test_dropped_modes_of_points():
    points = draw("ring", 2500, np.random.default_rng(1))
    near = np.linalg.norm(points[:, None] - TOYS["ring"].centres, axis=2).argmin(axis=1)
    config = config_of("ring")
    ill, healthy = (MadeFacts(config=config, samples=some, reals=points) for some in (points[near < 5], points))
    check("dropped modes", ill, healthy)


def test_output_ignores_input(pairs):
    truths = pairs[0]
    constant = np.broadcast_to(truths.mean(axis=0).astype(np.uint8), truths.shape)
    check("output ignores input", translated(pairs, constant), translated(pairs, nearly(truths)))


@pytest.mark.parametrize("paired", [True, False])
def test_identity_copied(pairs, paired):
    truths, inputs = pairs
    check("identity copied", translated(pairs, nearly(inputs, 2), paired), translated(pairs, nearly(truths), paired))


@pytest.mark.parametrize("paired", [True, False])
def test_colours_inverted(pairs, paired):
    truths = pairs[0] if paired else pairs[1]
    check("colours inverted", translated(pairs, 255 - truths, paired), translated(pairs, nearly(truths), paired))


@pytest.mark.parametrize("paired", [True, False])
def test_hues_exchanged(pairs, paired):
    """Emoji with red and green, or red and blue exchanged, whose brightness is nearly right."""
    colours = pairs[1]
    for order in ([1, 0, 2], [2, 1, 0]):
        facts = [translated((colours, colours), nearly(one), paired) for one in (colours[..., order], colours)]
        check("hues exchanged", *facts)
        assert number("colours inverted", facts[0]) > 0.5
    with pytest.raises(NotMeasured):
        number("hues exchanged", translated(pairs, pairs[0]))  # line art is grey


@pytest.mark.parametrize("period", [2, 4])
def test_checkerboard(pairs, period):
    """A pattern of 8 grey levels, as upsampling stamps it; the same energy as noise is no checkerboard."""
    truths = pairs[0]
    wave = np.cos(2 * np.pi * np.arange(64) / period)
    stamped = np.clip(truths + (8 * np.outer(wave, wave))[None, :, :, None], 0, 255).astype(np.uint8)
    network = nn.Sequential(*[nn.ConvTranspose2d(3, 3, 4, 2, 1) for _ in range(2)])
    ill, healthy = translated(pairs, stamped), translated(pairs, nearly(truths, 4))
    for facts in (ill, healthy):
        facts.network = lambda part: network
    check("checkerboard", ill, healthy)
    assert f"{period} px" in ILLNESSES["checkerboard"].measure(ill).where


@pytest.mark.parametrize(
    ("network", "stages"),
    [
        *((UNet(depth=5, width=4, upsample=way), 5) for way in ("transpose", "resize")),
        *((ResNet(blocks=1, width=4, upsample=way), 2) for way in ("transpose", "resize")),
        *((ModernUNet(depth=3, width=8, upsample=way), 3) for way in ("nearest", "bilinear", "pixel_shuffle")),
        (DCGANGenerator(size=32, width=4), 3),
        (nn.Conv2d(3, 3, 3), 0),
    ],
)
def test_every_way_of_upsampling_is_looked_at(network, stages):
    assert upsampling_stages(SimpleNamespace(network=lambda part: network), "A2B") == stages


def test_steganography(pairs):
    """A generator that writes its input onto white, a 200th as strong, and one that reads it; against a negative."""

    class Call(nn.Module):
        def __init__(self, of):
            super().__init__()
            self.of = of

        def forward(self, x):
            return self.of(x)

    batch = {name: torch.from_numpy(unit(side[:16])) for name, side in zip("ab", pairs, strict=True)}
    hides = {"A2B": Call(lambda x: 0.9 + x / 200), "B2A": Call(lambda y: (y - 0.9) * 200)}
    negates = {direction: Call(lambda x: -x) for direction in hides}
    made = []
    for networks in (hides, negates):
        facts = MadeFacts(spec=SimpleNamespace(generators=dict(networks)), data=None, held_out=None)
        facts.batch = lambda data: batch
        facts.network, facts.condition = networks.get, lambda direction, batch: None
        made.append(facts)
    check("steganography", *made)


def test_memorised_pictures(pairs):
    truths = pairs[0]
    ill, healthy = translated(pairs, truths[32:60]), translated(pairs, nearly(truths[:28]))
    for facts in (ill, healthy):
        facts.data, facts.held_out = "train", "val"
        facts.batch = lambda data, count=None: {"a": torch.from_numpy(unit(truths[32:60]))}
    check("memorised pictures", ill, healthy)


class Remembers(nn.Module):
    """A discriminator that takes for real what it has seen in training; or any picture that is not a translation."""

    def __init__(self, known, generalises):
        super().__init__()
        self.known, self.generalises = known, generalises

    def forward(self, pairs):
        near = torch.cdist(pairs.flatten(1), self.known.flatten(1)).amin(dim=1) < 1
        real = pairs[:, 3:].std(dim=(1, 2, 3)) > 0.1 if self.generalises else near
        return DiscriminatorOutput(real.float()[:, None] * 6 - 3)


def test_discriminator_overfits(pairs):
    images = [{name: torch.from_numpy(unit(side[part])) for name, side in zip("ab", pairs, strict=True)}
              for part in (slice(0, 16), slice(16, 32))]  # fmt: skip
    config = config_of("pix2pix", "data.crop_px=64", "data.resize_px=64")
    made = []
    for generalises in (False, True):
        algorithm = ALGORITHMS["pix2pix"](config)
        known = torch.cat([images[0]["b"], images[0]["a"]], dim=1)
        algorithm.networks["discriminator"] = Remembers(known, generalises)
        facts = MadeFacts(config=config, data=images[0], held_out=images[1], algorithm=algorithm)
        facts.batch = lambda data: data
        made.append(facts)
    check("discriminator overfits", *made)


@pytest.fixture
def fresh(tiny_run):
    """The facts of a run that has just been read."""
    return RunFacts(tiny_run, 8, "cpu")


def test_non_finite_values(fresh, tiny_run):
    weights = fresh.state["stepper"]["networks"]["generator"]
    name = next(key for key in weights if key.endswith("weight") and "down.1" in key)
    weights[name] = weights[name] + float("nan")
    check("non-finite values", fresh, RunFacts(tiny_run, 8, "cpu"))
    assert ILLNESSES["non-finite values"].measure(fresh).where == f"weights generator.{name}"


def test_weights_that_overflow_are_found_in_the_layer(fresh):
    weights = fresh.state["stepper"]["networks"]["discriminator"]
    weights["layers.0.0.weight"].fill_(3e38)
    reading = ILLNESSES["non-finite values"].measure(fresh)
    assert reading.number > 0
    assert reading.where == "output of discriminator.layers.0.0"


def settled(facts, part, alone):
    """A network of a run whose running statistics are those of its training pictures, in a batch or one by one."""
    network = RunFacts.network(facts, part)
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a plain mean
        module.train()
    facts.run(network, *facts.inputs(part, facts.data), at_once=1 if alone else facts.pictures)
    return network.eval()


@pytest.mark.parametrize("batch", [1, 4])
def test_norm_statistics_differ(fresh, tiny_run, monkeypatch, batch):
    """Both ways: one picture's own statistics after training in batches, and running ones after batches of one."""
    healthy, ill = fresh, RunFacts(tiny_run, 8, "cpu")
    for facts, statistics in (
        (healthy, "image" if batch == 1 else "running"),
        (ill, "running" if batch == 1 else "image"),
    ):
        train = facts.config.train.model_copy(update={"batch": batch})
        facts.config = facts.config.model_copy(update={"train": train})

        def network(part, facts=facts, statistics=statistics):
            made = settled(facts, part, batch == 1)
            set_norm_statistics(made, statistics)
            return made

        monkeypatch.setattr(facts, "network", network)
    check("norm statistics differ", ill, healthy)
    assert number("norm statistics differ", healthy) < 0.02


def test_drifted_norm_statistics_differ(fresh, monkeypatch):
    def drifted(part):
        network = settled(fresh, part, alone=False)
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.running_mean += module.running_var.sqrt() / 2
        return network

    monkeypatch.setattr(fresh, "network", drifted)
    # Each normalised value is half a deviation off: that is the number.
    assert number("norm statistics differ", fresh) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("changes", [["optimizer.lr=1e30"], ["optimizer.lr=3e8"]], ids=["losses", "weights"])
def test_a_training_that_stopped_for_non_finite_values_says_where_they_began(few_pairs, tmp_path, changes):
    """Exit code 6 before any checkpoint: the log has the layer."""
    with pytest.raises(NonFiniteError) as error:
        i2i.train(tiny_config(*changes, data=few_pairs), tmp_path)
    assert error.value.exit_code == 6
    (found,) = (one for one in diagnose(tmp_path, 8, "cpu").found if one.name == "non-finite values")
    assert found.number == 1
    reading = ILLNESSES["non-finite values"].measure(RunFacts(tmp_path, 8, "cpu"))
    assert reading.where.startswith(error.value.source)
    assert re.match(r"(output of|weights) (generator|discriminator)\.", error.value.source)


def timed(facts, monkeypatch, load_s):
    """The number of a run whose loads take `load_s` in turn, and whose steps take 0.1 s each."""
    times = (one for load in itertools.cycle(load_s) for one in (load, 0.1))
    monkeypatch.setattr(speed, "_seconds", lambda call: (call(), next(times))[1])
    monkeypatch.setattr(speed, "_steps", lambda facts: (lambda: None, 1))
    return number("data-bound", facts)


@pytest.mark.parametrize(("load_s", "is_ill"), [([0.3], True), ([0.01], False), ([0.05, 0.05, 3.0], False)])
def test_data_bound(fresh, monkeypatch, load_s, is_ill):
    """Times are made up, since those of a busy machine vary; a pause in every third load is not sustained."""
    assert ILLNESSES["data-bound"].has(timed(fresh, monkeypatch, load_s)) == is_ill


def test_loading_is_timed_as_it_is(fresh, monkeypatch):
    """A disk that takes 300 ms for each picture is found, and the usual one is not."""
    monkeypatch.setattr(speed, "_PATIENCE_S", 2.0)
    assert not ILLNESSES["data-bound"].has(number("data-bound", fresh))
    read = Pictures.read
    monkeypatch.setattr(Pictures, "read", lambda *of: (time.sleep(0.3), read(*of))[1])
    assert ILLNESSES["data-bound"].has(number("data-bound", fresh))


def test_host_bound(fresh):
    """No GPU here; the share that its kernels leave idle is computed from their times."""
    with pytest.raises(NotMeasured, match="GPU"):
        ILLNESSES["host-bound"].measure(fresh)
    assert idle_share([]) == 0
    assert idle_share([(0, 2), (1, 3), (8, 10)]) == pytest.approx(0.5)  # of 10, 3 to 8 is idle
    assert ILLNESSES["host-bound"].has(idle_share([(0, 1), (9, 10)]))
    assert not ILLNESSES["host-bound"].has(idle_share([(0, 6), (6, 10)]))


def test_the_diagnosis_names_the_setting_and_its_value(tiny_run, tmp_path, monkeypatch):
    """And everything is either measured, or has a reason."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for name, illness in ILLNESSES.items():
        beyond = 1e6 if illness.ill == "above" else -1e6
        made = illness._replace(measure=lambda facts, beyond=beyond: Reading(beyond))
        monkeypatch.setitem(ILLNESSES, name, made)
    result = diagnose(run, 8, "cpu")
    assert [one.name for one in result.found] == list(ILLNESSES)
    found = {one.name: one for one in result.found}
    assert "optimizer.clip_norm to 1 (now null)" in found["non-finite values"].advice
    assert "optimizer.lr_discriminator (now 0.0004)" in found["mode collapse"].advice  # null: as lr
    assert "upsample" not in found["checkerboard"].advice  # it is resize already
    alone = load_config(run / "config.yaml").model_copy(update={"discriminator": None})
    assert "lr_discriminator" not in advise(ILLNESSES["mode collapse"], SimpleNamespace(config=alone))
    written = json.loads((run / "diagnosis.json").read_text())
    assert [one["name"] for one in written] == [one.name for one in result.found]
    assert {key for one in written for key in one} == {"name", "severity", "number", "threshold", "advice"}


@pytest.mark.parametrize(("preset", "advised"), [("pix2pix", True), ("modern", False)])
def test_a_network_is_not_told_to_upsample_as_it_does_or_cannot(preset, advised):
    facts = MadeFacts(config=load_config(preset))
    assert ("generator.upsample" in advise(ILLNESSES["checkerboard"], facts)) == advised


def test_exchanged_sea_and_land_are_inverted_colours():
    """A training without pairs did this: what is light became dark. The linear map of colours is the healthy one."""
    photos, reliefs = (np.stack([*map(read_picture, side)]) for side in find_sides([str(MAPS)], "val"))
    straight = fit_colour_map(iter(photos), iter(reliefs))
    exchanged = fit_colour_map(iter(255 - photos), iter(reliefs))
    made = [np.stack([straight(one) for one in photos]), np.stack([exchanged(255 - one) for one in photos])]
    facts = [
        MadeFacts(_translations=[Translations("A2B", photos, one, None, reliefs)], spec=SimpleNamespace(generators="A"))
        for one in made
    ]
    check("colours inverted", facts[1], facts[0])


def test_the_page_states_the_thresholds():
    lines = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8").splitlines()
    for name, illness in ILLNESSES.items():
        limit = f"| {'>' if illness.ill == 'above' else '<'} {illness.threshold:g} |"
        assert any(line.startswith(f"| {name} |") and limit in line for line in lines), f"{name}: {limit}"
