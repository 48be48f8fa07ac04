"""Claims about whole trainings, each beside a control that must fail."""

import csv
import functools

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import i2i
from i2i.images import write_image
from tests.conftest import LINEART, ROOT, load_script

pytestmark = pytest.mark.slow


def test_a_conditional_gan_makes_what_it_is_asked_for(tmp_path):
    """A separate classifier agrees; if the labels are withheld from the discriminator, only by chance.

    The label is then only more noise to the generator, which may lead to one of three classes or to none. Two fifths of
    the length in docs/benchmarks.md, with seed 1, since seed 0 is near the bound.
    """
    bench = load_script(ROOT / "tools" / "bench" / "conditional.py")
    case = bench.emoji(LINEART, tmp_path)
    network = bench.train_classifier(*case.training, len(case.classes))
    assert float(bench.right(network, *case.test).float().mean()) > 0.8
    shares = bench.run(case, network, tmp_path, seed=1, images=8000)
    assert np.mean(shares["projection"]) >= 0.85
    assert abs(np.mean(shares["none"]) - 1 / len(case.classes)) < 0.1


def test_a_label_decides_between_two_targets(tmp_path):
    """Black ink or white: with the label, pix2pix draws what it is asked for; without, it does no better than grey."""
    bench = load_script(ROOT / "tools" / "bench" / "labelled_pairs.py")
    means = bench.run(LINEART, tmp_path, images=2000, seed=0)
    assert means["labelled"] < 0.6 * means["grey"]
    assert means["withheld"] > 0.9 * means["grey"]


def test_a_gradient_penalty_keeps_all_modes(tmp_path):
    """All modes of the ring; without the penalty, most runs collapse, so at least one of two."""
    bench = load_script(ROOT / "tools" / "bench" / "toy_modes.py")
    kept, unbounded = (
        [bench.find_modes("ring", tmp_path / f"{case} {seed}", seed, case) for seed in seeds]
        for case, seeds in (("WGAN-GP", [0]), ("unbounded", [0, 2]))
    )
    assert kept[0][0] == 8
    assert kept[0][1] > 0.2
    assert min(modes for modes, _ in unbounded) < 4


class TestStackGAN:
    """At three eighths of the presets' length, with seed 1 as in docs/gan.md."""

    @pytest.fixture(scope="class")
    @classmethod
    def score(cls, tmp_path_factory):
        """A function that trains a case and scores captions that training never showed."""
        folder = tmp_path_factory.mktemp("stackgan")
        load_script(ROOT / "datasets" / "emoji_hues.py").convert(LINEART, folder / "hues")
        bench = load_script(ROOT / "tools" / "bench" / "stackgan.py")

        @functools.cache
        def score(case, images=9000):
            lengths = (f"schedule.images={images}", f"schedule.decay_images={images // 3}", "train.seed=1")
            return bench.run(folder / "hues", folder / "runs", case, *lengths)

        return score

    def test_words_are_heeded_and_its_two_ideas_matter(self, score):
        """Without the wrong text the hues are worse, without the divergence the pictures are less varied."""
        assert score("whole").hue_right >= 0.8
        assert score("no wrong text").hue_right < score("whole").hue_right - 0.15
        assert score("no divergence").spread < 0.9 * score("whole").spread

    def test_the_second_stage_keeps_to_the_words(self, score):
        assert score("whole").hue_right >= 0.8
        assert score("second stage", images=4000).hue_right >= 0.8


def print_digit(digit, random):
    """Return a digit in Pillow's font, of a random size and at a random place, (32, 32, 1) uint8."""
    font, page = ImageFont.load_default(), Image.new("L", (32, 32))
    left, top, right, bottom = font.getbbox(str(digit))
    ink = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(ink).text((-left, -top), str(digit), fill=255, font=font)
    size, place = (
        tuple(random.integers((low, high), (low + 3, high + 3)).tolist()) for low, high in ((13, 21), (8, 4))
    )
    page.paste(ink.resize(size), place)
    return np.asarray(page)[:, :, None]


def test_few_labels_make_a_generator_obey(tmp_path, monkeypatch):
    """K+1 with five labels of each digit: a separate classifier agrees; without the term of labels, by chance.

    Some 125 steps of what docs/gan.md shows on handwritten digits, which are not in the repository.
    """
    monkeypatch.syspath_prepend(ROOT / "tools" / "bench")
    few, random = load_script(ROOT / "tools" / "bench" / "few_labels.py"), np.random.default_rng(0)
    truth = [number % 10 for number in range(600)]
    names = [f"{number:05}.png" for number in range(600)]
    for name, digit in zip(names, truth, strict=True):
        write_image(tmp_path / "digits" / "train" / name, print_digit(digit, random))
    with (tmp_path / "digits" / "train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *zip(names, truth, strict=True)])
    known = [*truth[:50], *[""] * 550]
    with (tmp_path / "few.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *zip(names, known, strict=True)])
    _, images, digits = few.read(tmp_path / "digits", "train")
    judge = few.train_classifier(images, digits, 10, steps=40, flips=False)
    settings = [f"data.path={tmp_path / 'digits'}", f"data.labels={tmp_path / 'few.csv'}", "train.device=cpu"]
    settings += ["schedule.images=2000", "train.batch=16", "train.ema_half_life_images=500"]
    settings += ["log.samples_every_images=2000", "log.checkpoint_every_images=2000"]
    settings += ["generator.width=16", "discriminator.width=8"]
    found = {}
    for weight in (1, 0):
        config = i2i.load_config("semi_supervised_digits", [*settings, f"loss.classification={weight}"])
        i2i.train(config, tmp_path / str(weight))
        found[weight] = np.mean(few.agreement(judge, tmp_path / str(weight), few.DIGITS))
    assert found[1] > 0.6
    assert found[0] < 0.25
