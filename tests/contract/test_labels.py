"""Every algorithm that reads labels gives them to its generators, and to its discriminators as it is told."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.conditional_gan import TELLING
from i2i.algorithms.image_pool import ImagePool
from i2i.algorithms.labels import SeenBy, beside, exchange
from i2i.data.sets import make_set
from i2i.errors import ConfigError, UsageError
from i2i.images import read_image
from tests.conftest import SMALLEST, condition_strongly, make_algorithm, picture, smallest_config
from tests.contract.test_adversaries import step

PRESETS = {kind: i2i.load_config(preset) for kind, preset in SMALLEST.items()}
READERS = [
    kind for kind, one in PRESETS.items() if "condition" in ALGORITHMS[one.algorithm].Settings.model_fields
]  # those whose discriminators may see labels
TRANSLATORS = [kind for kind in READERS if ALGORITHMS[PRESETS[kind].algorithm].data != "images"]


def both_ways(kind):
    return ALGORITHMS[i2i.load_config(SMALLEST[kind]).algorithm].data == "unpaired"


def labelled(kind, data, *changes):
    both = ["data.disjoint=false"] if both_ways(kind) else []
    return smallest_config(kind, data, f"data.labels={data}/labels.csv", *both, *changes)


WAYS = [(kind, how) for kind in READERS for how in get_args(SeenBy)]
WAYS += [("conditional_gan", how) for how in TELLING]


@pytest.mark.parametrize(("kind", "how"), WAYS)
def test_every_way_to_see_labels_trains(few_pairs, kind, how):
    terms, networks = step(labelled(kind, few_pairs, f"loss.condition={how}"))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))
    films = [weight for one in networks.values() for name, weight in one.items() if "embedding" in name]
    assert bool(films) == (kind in TRANSLATORS or (how == "projection" and kind == "conditional_gan"))
    assert all(weight.any() for weight in films)


@pytest.mark.parametrize(("kind", "how"), WAYS)
def test_labels_reach_generators_always_and_discriminators_if_told(few_pairs, kind, how):
    """Other labels in the same batch change every fake, and the verdict on reals unless they are withheld.

    Where they are withheld from a generator from noise, its labels are drawn: those of reals would leak. So they are
    where not every real has one.
    """
    config = labelled(kind, few_pairs, f"loss.condition={how}")
    torch.manual_seed(0)
    algorithm = make_algorithm(config)
    for network in algorithm.networks.values():
        condition_strongly(network.eval())
    batch = make_set(algorithm.data, config).load(range(4)).batch
    others = {name: (value + 1) % 3 if name.startswith("label") else value for name, value in batch.items()}
    fakes, verdicts = [], []
    for one in (batch, others):
        torch.manual_seed(1)
        outputs = algorithm.forward(one)
        fakes.append([value for name, value in outputs.items() if name.startswith("fake")])
        shown = algorithm.shown(one, outputs)
        judges = [(algorithm.adversaries[name], each) for name, each in shown.items()]
        verdicts.append([judge.judge(each.real, each.condition).logits for judge, each in judges])
    assert fakes[0]
    for one, other in zip(*fakes, strict=True):
        assert torch.equal(one, other) == (how in ("none", "semi_supervised") and kind not in TRANSLATORS)
    for one, other in zip(*verdicts, strict=True):
        assert torch.equal(one, other) == (how in ("none", *TELLING))


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_a_translator_learns_labels_from_pictures_to_its_file(few_pairs, tmp_path, kind):
    """One training: previews show each class, the file needs a label, its pictures are exported as they are."""
    i2i.train(labelled(kind, few_pairs, "train.keep=best", "train.best_by=l1"), tmp_path / "run")
    sheets = sorted((tmp_path / "run" / "samples").glob("*.png"))
    plain = 4 if both_ways(kind) else 3  # input, output, the way back, truth
    widths = {read_image(sheet).shape[1] for sheet in sheets}
    assert len(widths) == 1
    assert widths.pop() > (plain + 3) * 60  # a column more for each of the three classes
    direction = "A2B" if both_ways(kind) else None
    with pytest.raises(UsageError, match="round"):
        i2i.load(tmp_path / "run", direction)
    ours = i2i.load(tmp_path / "run", direction, device="cpu", labels=["flat"])
    assert [block.name for block in ours.spec.generators[ours.direction].blocks] == ["shape"]
    spec = i2i.export(tmp_path / "run", tmp_path / "m.onnx", direction, labels=["flat"], size=(32, 32)).spec
    assert spec.proof.max_difference < 1e-4
    array = picture(32, 32, ours.generator.in_channels)
    assert np.abs(ours(array).astype(int) - i2i.load(tmp_path / "m.onnx")(array)).max() <= 1


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_a_way_to_see_labels_needs_labels(few_pairs, kind):
    with pytest.raises(ConfigError, match="condition"):
        make_algorithm(smallest_config(kind, few_pairs, "loss.condition=concatenation"))


def test_planes_are_constant():
    image, condition = torch.rand(2, 3, 4, 5), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    joined = beside(image, condition)
    assert torch.equal(joined[:, :3], image)
    assert torch.equal(joined[:, 3:].amin((2, 3)), condition)
    assert torch.equal(joined[:, 3:].amax((2, 3)), condition)
    assert beside(torch.zeros(2, 2), condition).shape == (2, 4)


@pytest.mark.parametrize("shape", [(3, 2, 2), (2,)], ids=["images", "points"])
def test_past_fakes_keep_their_labels(shape):
    """A fake of label k has the value k; whatever comes back from the pool, past or new, still agrees."""
    pool, past = ImagePool(3, seed=0), 0
    for number in range(40):
        fake, condition = torch.full((1, *shape), float(number)), torch.tensor([[float(number), 1.0]])
        shown, its = exchange(pool, fake, condition)
        assert shown.shape == fake.shape
        assert its.tolist() == [[float(shown.flatten()[0]), 1.0]]
        past += float(shown.flatten()[0]) != number
    assert past > 5
    fake = torch.ones(1, *shape)
    assert exchange(ImagePool(0, seed=0), fake, condition)[1] is condition


@pytest.mark.parametrize("kind", READERS)
def test_a_penalty_at_fakes_gives_them_their_own_labels(few_pairs, kind, monkeypatch):
    """The pool exchanges fakes for past ones of other labels; those of the reals belong to the new ones."""
    free = ["discriminator.norm=none", "discriminator.spectral_norm=false", "loss.penalty=r2", "loss.history=4"]
    algorithm = make_algorithm(labelled(kind, few_pairs, *free))
    for adversary in algorithm.adversaries.values():
        shape = (1, algorithm.networks[adversary.name].layers[0][0].in_channels, 32, 32)
        looks = []

        def judge(image, condition, adversary=adversary, looks=looks):
            looks.append((float(image.detach().mean()), int(condition.argmax())))
            return type(adversary).judge(adversary, image, condition)

        monkeypatch.setattr(adversary, "judge", judge)
        for number in range(24):
            label = number % 3
            real, fake = torch.full(shape, 0.5 + label), torch.full(shape, -0.5 - label)
            adversary.discriminate(real, fake, torch.eye(3)[None, label])
        at_fakes = [(image, label) for image, label in looks if image < 0]
        assert len(at_fakes) == 48  # one for the loss, and one for the penalty
        assert all(image == -0.5 - label for image, label in at_fakes)
        assert len({looks[place][0] == looks[place + 1][0] for place in range(1, 72, 3)}) == 2  # some were exchanged
