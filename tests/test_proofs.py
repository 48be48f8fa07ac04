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

    The label is then only more noise to the generator, which may lead to one of three classes or to none. Half
    the length in docs/benchmarks.md, with seed 1, since seed 0 is near the bound.
    """
    bench = load_script(ROOT / "tools" / "bench" / "conditional.py")
    case = bench.emoji(LINEART, tmp_path)
    network = bench.train_classifier(*case.training, len(case.classes))
    assert float(bench.right(network, *case.test).float().mean()) > 0.8
    shares = bench.run(case, network, tmp_path, seed=1, images=10000)
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
    """At three eighths of the presets' length.

    Rounding moves the score of one training by .1 and more, so the wrong text is judged by the mean of two seeds, as in
    the second table of docs/gan.md; the other scores leave more room, with seed 1.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def score(cls, tmp_path_factory):
        """A function that trains a case and scores captions that training never showed."""
        folder = tmp_path_factory.mktemp("stackgan")
        load_script(ROOT / "datasets" / "emoji_hues.py").convert(LINEART, folder / "hues")
        bench = load_script(ROOT / "tools" / "bench" / "stackgan.py")

        @functools.cache
        def score(case, images=9000, seed=1, falls=True):
            decay = images // 3 if falls else 0
            settings = (f"schedule.images={images}", f"schedule.decay_images={decay}", f"train.seed={seed}")
            return bench.run(folder / "hues", folder / f"runs{seed}{falls}", case, *settings)

        return score

    def test_words_are_heeded_and_its_two_ideas_matter(self, score):
        """Without the wrong text the hues are worse, without the divergence the pictures are less varied."""
        whole, without = (
            np.mean([score(case, seed=seed, falls=False).hue_right for seed in (0, 1)])
            for case in ("whole", "no wrong text")
        )
        print(f"hue right: {whole:.3f}; without the wrong text: {without:.3f}")
        assert whole >= 0.8
        assert without < whole - 0.08
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
        tuple(random.integers((low, high), (low + 3, high + 3)).tolist()) for low, high in ((20, 25), (4, 2))
    )
    page.paste(ink.resize(size), place)
    return np.asarray(page)[:, :, None]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder like that of datasets/digits.py, whose pictures are not in the repository: printed digits instead."""
    folder, random = tmp_path_factory.mktemp("data") / "digits", np.random.default_rng(0)
    for split, count in (("train", 600), ("test", 200)):
        rows = [(f"{number:05}_{number % 10}.png", number % 10) for number in range(count)]
        for name, digit in rows:
            write_image(folder / split / name, print_digit(digit, random))
        write_labels(folder / f"{split}.csv", rows)
    return folder


def write_labels(path, rows):
    """Write a table of labels."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *rows])


@pytest.fixture(autouse=True)
def bench(monkeypatch):
    """A function that loads a script of tools/bench, with what it imports from beside it."""
    monkeypatch.syspath_prepend(ROOT / "tools" / "bench")
    return lambda name: load_script(ROOT / "tools" / "bench" / f"{name}.py")


def test_few_labels_make_a_generator_obey(tmp_path, bench, digits):
    """K+1 with five labels of each digit: a separate classifier agrees; without the term of labels, by chance.

    Some 125 steps of what docs/gan.md shows on handwritten digits.
    """
    few = bench("few_labels")
    names, images, truth = few.read(digits, "train")
    write_labels(tmp_path / "few.csv", zip(names, [*truth[:50].tolist(), *[""] * 550], strict=True))
    judge = few.train_classifier(images, truth, 10, steps=40, flips=False)
    settings = [f"data.path={digits}", f"data.labels={tmp_path / 'few.csv'}", "train.device=cpu"]
    settings += ["schedule.images=2000", "train.batch=16", "train.ema_half_life_images=500"]
    settings += ["log.samples_every_images=2000", "log.checkpoint_every_images=2000"]
    settings += ["generator.width=16", "discriminator.width=8"]
    found = {}
    for weight in (1, 0):
        config = i2i.load_config("semi_supervised_digits", [*settings, f"loss.classification={weight}"])
        i2i.train(config, tmp_path / str(weight))
        found[weight] = np.mean(few.agreement(judge, tmp_path / str(weight), few.DIGITS))
    print(f"as asked for: {found[1]:.3f}; without the term of labels: {found[0]:.3f}")
    assert found[1] > 0.6
    assert found[0] < 0.25


def test_two_label_sets_are_obeyed_at_once(tmp_path, bench, digits):
    """Digit and paper, and each exchanged without the other; labels withheld from the discriminator: chance, 0.05."""
    two = bench("two_labels")
    two.prepare(digits, tmp_path / "pictures")
    network = two.learn(tmp_path / "pictures", steps=100)
    short = ["train.batch=12", "train.ema_half_life_images=500"]
    obeys, withheld = (two.run(tmp_path, network, case, 10_000, short) for case in ("projection", "none"))
    assert obeys.both >= 0.85
    assert min(obeys.digit_alone, obeys.paper_alone) >= 0.75
    assert withheld.both < 0.15
    assert withheld.digit < 0.25


def test_shared_layers_make_pairs(tmp_path, bench, digits):
    """CoGAN's outlines are those of its plain pictures, more than of others; if nothing is shared, no more than those.

    Which digit an outline shows cannot be told after so short a training.
    """
    coupled = bench("coupled")
    coupled.write_domains(coupled.read(digits, "train")[0], tmp_path / "pictures")
    short = ["schedule.images=10000", "train.batch=16", "generator.width=16", "train.ema_half_life_images=500"]
    found = {case: coupled.correlate(*coupled.pairs(coupled.fit(tmp_path, case, short))) for case in coupled.CASES}
    for case, (own, shuffled) in found.items():
        print(f"{case}: pixels correlate by {own:.3f}, {shuffled:.3f} shuffled")
    shared, alone = (own - shuffled for own, shuffled in found.values())
    assert shared > 0.08
    assert abs(alone) < 0.03


def test_walks_towards_a_class_need_a_prior(tmp_path, bench, digits):
    """A classifier that had no part in the walk finds the digits; without a prior, it does not, unlike the model's."""
    towards = bench("towards")
    hard, free = (f"{name}, pulled 30 times as hard" for name in ("with the prior", "without"))
    settings = ["schedule.images=12000", "train.batch=16"]
    found = towards.run(digits, tmp_path / "run", settings, 40, ("with the prior", hard, free), learning_steps=100)
    assert min(found["with the prior"].other, found[hard].other) >= 0.9
    assert found[free].other < 0.7
    assert found["pixels, without"].own >= 0.9
    assert found["pixels, without"].other < 0.6


def test_styles_mix_and_are_truncated(tmp_path, bench, digits):
    """Mixes have the digit of the coarse parent and the hue of the fine one; each parent is the other's control.

    With skips and demodulation, the hue is the coarse parent's. Truncated pictures differ less and less.
    """
    styles = bench("styles")
    before = ["generator.skips=true", "generator.norm=demodulation"]
    (shares, spreads), (controls, _) = (
        styles.judge(*styles.fit(digits, tmp_path / str(len(changes)), ("0", "1", "7"), 10_000, changes))
        for changes in ([], before)
    )
    assert i2i.export(tmp_path / "0" / "run", tmp_path / "m.onnx").spec.proof.max_difference < 1e-4
    assert shares[32].coarse_kind > shares[32].fine_kind + 0.2
    assert shares[32].fine_hue > shares[32].coarse_hue + 0.5
    assert shares[32].both > shares[32].exchanged + 0.3
    assert controls[32].fine_hue < controls[32].coarse_hue
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[2] < 0.7 * spreads[0]
    assert spreads[3] > 1
    assert spreads[-1] < 0.1
