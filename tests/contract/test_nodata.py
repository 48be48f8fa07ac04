"""Pixels without data count in no loss of any algorithm: two trainings that differ only there stay equal."""

import shutil

import numpy as np
import pytest
import rasterio
import torch

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.priors import draw
from i2i.data.sets import make_set
from i2i.images import read_image
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import SMALLEST, make_algorithm, save_first_stage, smallest_config

HIDDEN = np.s_[16:28, 40:104]
"""Of an A|B file of 64 px pictures: without data on both sides."""


def write_masked(path, image, hidden):
    """Write a TIFF whose mask, a page as GDAL writes it, leaves out HIDDEN, where `hidden` is stored."""
    image, mask = image.copy(), np.full(image.shape[:2], 255, np.uint8)
    image[HIDDEN], mask[HIDDEN] = hidden, 0
    sides = {"width": image.shape[1], "height": image.shape[0], "count": image.shape[2], "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", driver="GTiff", **sides) as file:
        file.write(image.transpose(2, 0, 1))
        file.write_mask(mask)


@pytest.fixture(scope="module")
def fields(tmp_path_factory, few_pairs):
    """Folders by what differs in them: nothing but what the masks hide, or a pixel that they do not."""
    found = {}
    for name in ("plain", "hidden", "seen"):
        root = found[name] = tmp_path_factory.mktemp("masked") / "data"  # of one name, as it is part of nothing
        shutil.copytree(few_pairs, root, ignore=shutil.ignore_patterns("*.png"))
        table = (root / "labels.csv").read_text(encoding="utf-8")
        (root / "labels.csv").write_text(table.replace(".png", ".tif"), encoding="utf-8")
        save_first_stage(root / "first.safetensors")
        random = np.random.default_rng(len(name))
        for path in few_pairs.rglob("*.png"):
            image = read_image(path)[:, :, :3]
            image = np.repeat(image, 3 // image.shape[2], axis=2)
            hidden = 90 if name == "plain" else random.integers(0, 256, image[HIDDEN].shape)
            if name == "seen":
                hidden, image[30:40, 20:110] = 90, 255 - image[30:40, 20:110]
            write_masked(root / path.parent.name / f"{path.stem}.tif", image, hidden)
    return found


def make(kind, field, *changes):
    """Return an engine and the first batch of its training."""
    torch.manual_seed(0)
    config = smallest_config(kind, field, *changes)
    algorithm = make_algorithm(config)
    return Engine(make_fabric(algorithm.config), algorithm), make_set(algorithm.data, config).load(range(4)).batch


def train(kind, field):
    """Return the terms of two steps, and all weights after them."""
    engine, batch = make(kind, field)
    terms = [{name: float(term) for name, term in engine.train_step(batch).items()} for _ in range(2)]
    states = {name: network.state_dict() for name, network in engine.algorithm.networks.items()}
    return terms, {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}


PICTURES = [kind for kind in SMALLEST if not smallest_config(kind, ".").data.toy]


def test_every_algorithm_says_that_it_leaves_them_out():
    assert all(algorithm.leaves_out_nodata for algorithm in ALGORITHMS.values())
    assert {smallest_config(kind, ".").algorithm for kind in PICTURES} == set(ALGORITHMS)


@pytest.mark.parametrize("kind", PICTURES)
def test_what_masks_hide_changes_no_loss_and_no_weight(fields, kind):
    terms, weights = train(kind, fields["plain"])
    others, same = train(kind, fields["hidden"])
    assert terms == others
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    others, differ = train(kind, fields["seen"])  # the control
    assert terms != others
    assert not all(torch.equal(weights[name], differ[name]) for name in weights)


def masked(batch, is_masked=True):
    """Return a batch whose images all have no data in one place, or everywhere some; and where, (H, W) bool."""
    height, width = next(one for one in batch.values() if one.ndim == 4).shape[2:]
    hidden = torch.zeros(height, width, dtype=torch.bool)
    hidden[height // 4 : height // 2, width // 4 : -(width // 4)] = True  # the same mirrored
    known = {name: torch.zeros_like(one).masked_fill(~hidden, 1) for name, one in batch.items() if "valid" in name}
    return {name: known.get(name, one) for name, one in batch.items() if is_masked or name not in known}, hidden


def cut_loose(algorithm):
    """Let the generators return leaves, whose gradients are those of losses alone; return the list of these."""
    leaves = []

    def loosen(module, args, output):
        if not isinstance(output, torch.Tensor):  # features of what was made
            return output
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    for name in {"generator", "G_A2B", "G_B2A"} & {*algorithm.networks}:
        algorithm.networks[name].register_forward_hook(loosen)
    return leaves


@pytest.mark.parametrize("kind", PICTURES)
def test_no_gradient_comes_from_pixels_without_data(fields, kind):
    """Neither to what generators make nor, in what discriminators learn, to reals without conditions."""
    for is_masked in (True, False):  # with a control
        engine, batch = make(kind, fields["plain"])
        algorithm = engine.algorithm
        assert any("valid" in name for name in batch)
        batch, hidden = masked(batch, is_masked)
        algorithm.begin(100, 100)
        leaves = cut_loose(algorithm)
        outputs, weights = algorithm.forward(batch), algorithm.weights()
        for phase in (one for one in algorithm.phases if one.role == "generator" and one.name != "path"):
            terms = algorithm.losses(phase.name, batch, outputs)
            total = sum(weights[name] * term for name, term in terms.items() if name in weights)
            for gradient in torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True):
                if gradient is not None:
                    assert bool((gradient[:, :, hidden] == 0).all()) == is_masked
                    assert gradient[:, :, ~hidden].abs().sum() > 0
        if algorithm.data == "paired" or "classifier" in algorithm.networks:
            continue
        reals = {name: one.requires_grad_(name in ("a", "b", "image")) for name, one in batch.items()}
        for phase in (one for one in algorithm.phases if one.role == "discriminator" and one.name != "penalty"):
            terms = algorithm.losses(phase.name, reals, outputs)
            total = sum(weights[name] * term for name, term in terms.items() if name in weights)
            wanted = [one for one in reals.values() if one.requires_grad]
            for gradient in filter(lambda one: one is not None, torch.autograd.grad(total, wanted, allow_unused=True)):
                assert bool((gradient[:, :, hidden] == 0).all()) == is_masked
                assert gradient[:, :, ~hidden].abs().sum() > 0


def striped(seed):
    """Yield batches of stripes, each image without data in a square of a quarter of it, where it is grey."""
    random, at = torch.Generator().manual_seed(seed), torch.arange(32.0)
    while True:
        phase, frequency = torch.rand(2, 16, 1, 1, 1, generator=random)
        valid = torch.ones(16, 1, 32, 32)
        for one in valid:
            top, left = torch.randint(0, 17, (2,), generator=random).tolist()
            one[:, top : top + 16, left : left + 16] = 0
        yield {
            "image": valid * ((0.8 + 0.8 * frequency) * at + 6.283 * phase).sin().expand(16, 3, 32, 32),
            "valid": valid,
        }


def flat_share(few_pairs, is_masked, steps=1500):
    """Train a GAN on stripes, and return the share of flat 8 px squares in what it makes."""
    torch.manual_seed(0)
    size = ("generator.width=16", "discriminator.width=16", "train.batch=16", "train.device=cpu", "data.crop_px=32")
    data = (f"data.path={few_pairs}", "data.side=B", "data.channels=3")
    algorithm = make_algorithm(i2i.load_config("dcgan_emoji", [*data, *size]))
    engine = Engine(make_fabric(algorithm.config), algorithm)
    for step, batch in zip(range(steps), striped(0), strict=False):
        algorithm.begin(16 * step, 16 * steps)
        engine.train_step(batch if is_masked else {"image": batch["image"]})
    network = algorithm.networks["generator"].eval()
    with torch.no_grad():
        made = network(draw(algorithm.blocks, torch.zeros(256, 3, 32, 32), {}, algorithm.places))
    squares = torch.nn.functional.unfold(made.mean(dim=1, keepdim=True), 8, stride=4)
    return float((squares.std(dim=1) < 0.15).float().mean())


@pytest.mark.slow
def test_a_gan_does_not_make_what_fills_pixels_without_data(few_pairs):
    """Stripes are nowhere flat; what fills their holes is."""
    found = {is_masked: flat_share(few_pairs, is_masked) for is_masked in (True, False)}
    print(f"flat squares: {found[True]:.1%} with masks, {found[False]:.1%} without")
    assert found[True] < 0.005
    assert found[False] > 0.03
