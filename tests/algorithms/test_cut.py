"""CUT against a plain implementation, its draws, and what each of its settings does."""

import pytest
import torch
from lightning_fabric import Fabric

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.cut import CUT, draw_places, mirror
from i2i.algorithms.nodata import valid_places
from i2i.errors import ConfigError
from i2i.networks.patch_heads import PatchHeads, take
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import ROOT, load_script, smallest_config

LAYERS = "loss.layers=[input,down.0,down.1,blocks.0]"
SMALL = ("data.resize_px=null", "data.crop_px=32", "generator.width=2", "discriminator.width=2")


def cut(*overrides, preset="cut"):
    torch.manual_seed(0)
    config = i2i.load_config(preset, [*SMALL, *overrides])
    return ALGORITHMS[config.algorithm](config)


def random_batch(images=2, px=32):
    draw = torch.Generator().manual_seed(3)
    return {side: torch.rand(images, 3, px, px, generator=draw) * 2 - 1 for side in "ab"}


@pytest.mark.parametrize("preset", ["cut", "fastcut"])
def test_four_training_steps_equal_a_plain_implementation_in_float64(preset, float64):
    """On the layers and patches of the paper, of which 32 px pictures have fewer in the inner layers."""
    plain_step = load_script(ROOT / "tools" / "bench" / "plain_step.py")
    changes = ("generator.blocks=5", "generator.width=4", "discriminator.layers=2", "train.batch=3")
    plain = plain_step.STEPS[preset](cut(*changes, preset=preset).networks)
    algorithm = cut(*changes, preset=preset)
    engine = Engine(Fabric(accelerator="cpu", precision="64-true"), algorithm)
    batch = {name: image.double() for name, image in random_batch(3).items()}
    for number in range(4):
        torch.manual_seed(number)
        theirs = {name: float(term.detach()) for name, term in plain(batch).items()}
        torch.manual_seed(number)
        terms = engine.train_step(batch)
        ours = {name: float(terms[name]) for name in theirs}
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_the_weights_are_those_of_the_paper():
    weights = cut("generator.blocks=5").weights()
    assert (weights["G_GAN"], weights["G_NCE"], weights["G_NCE_identity"]) == (1, 1, 1)
    assert (weights["D_real"], weights["D_fake"]) == (0.5, 0.5)
    assert cut("generator.blocks=5", preset="fastcut").weights()["G_NCE"] == 10


def test_places_are_drawn_for_each_picture_and_none_twice():
    torch.manual_seed(0)
    places = draw_places(torch.zeros(3, 5, 20, 30), 256)
    assert places.shape == (3, 256)
    assert all(len(set(row.tolist())) == 256 and min(row) >= 0 and max(row) < 600 for row in places)
    assert len({tuple(sorted(row.tolist())) for row in places}) == 3
    assert sorted(draw_places(torch.zeros(1, 5, 4, 3), 256)[0].tolist()) == list(range(12))
    counts = torch.stack([draw_places(torch.zeros(1, 1, 2, 5), 3)[0] for _ in range(2000)]).flatten().bincount()
    assert counts.min() > 500  # 600 each on average
    assert counts.max() < 700


def test_places_without_data_are_drawn_last():
    valid = torch.ones(2, 1, 16, 24)
    valid[0, :, :5, 3:9] = 0
    known = valid_places(valid, torch.zeros(2, 7, 4, 6))
    assert known.shape == (2, 1, 4, 6)
    assert [int(one.sum()) for one in known] == [24 - 2 * 3, 24]  # of 4 x 4 px each
    for count in (10, 18, 24):
        places = draw_places(torch.zeros(2, 7, 4, 6), count, known)
        drawn = known.flatten(1).gather(1, places).sum(dim=1).tolist()
        assert drawn == [min(count, 18), count]
        assert all(len(set(row.tolist())) == count for row in places)


@pytest.mark.parametrize("negatives", ["picture", "batch"])
@pytest.mark.parametrize("preset", ["cut", "fastcut"])
def test_masks_of_all_or_nothing(preset, negatives):
    """Data everywhere gives the losses without a mask; data nowhere, finite gradients."""

    def terms(batch):
        algorithm = cut("generator.blocks=5", f"loss.negatives={negatives}", preset=preset)
        torch.manual_seed(1)
        found = algorithm.losses("generator", batch, algorithm.forward(batch))
        sum(found.values()).backward()
        return {name: float(one.detach()) for name, one in found.items()}, algorithm.networks

    batch = random_batch()
    every = {f"valid_{side}": torch.ones(2, 1, 32, 32) for side in "ab"}
    plain, _ = terms(batch)
    if preset == "cut":  # where all places are drawn, not in another order
        assert terms(batch | every)[0]["G_GAN"] == plain["G_GAN"]
    assert terms(batch | every)[0] == pytest.approx(plain, rel=1e-5)
    found, networks = terms(batch | {name: 0 * one for name, one in every.items()})
    assert found["G_NCE"] == 0
    gradients = [one.grad for network in networks.values() for one in network.parameters() if one.grad is not None]
    assert all(one.isfinite().all() for one in gradients)


def test_features_are_taken_at_the_places():
    features = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5).float()
    taken = take(features, torch.tensor([[0, 7], [19, 5]]))
    assert torch.equal(taken[0, 1], features[0, :, 1, 2])
    assert torch.equal(taken[1, 0], features[1, :, 3, 4])
    last = features.contiguous(memory_format=torch.channels_last)
    assert torch.equal(take(last, torch.tensor([[0, 7], [19, 5]])), taken)


def test_heads_give_vectors_of_length_one():
    heads = PatchHeads([3, 8], width=16)
    features = [torch.randn(2, 3, 6, 6), torch.randn(2, 8, 3, 3)]
    for vectors in heads(features, [torch.tensor([[0, 35], [4, 5]]), torch.tensor([[0], [8]])]):
        assert vectors.shape[2] == 16
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(vectors.shape[:2]))


def test_no_gradient_goes_through_the_keys_and_none_into_the_input():
    """Eq. 3 compares the output with its input; the input is what the output should be like, not the other way."""
    algorithm = cut("generator.blocks=1", LAYERS, "loss.identity=0")
    seen = []
    algorithm.networks["heads"].register_forward_hook(lambda *parts: seen.append(parts[2]))
    batch = random_batch()
    algorithm.losses("generator", batch, algorithm.forward(batch))
    keys, queries = seen
    assert not any(one.requires_grad for one in keys)
    assert all(one.requires_grad for one in queries)


def test_keys_are_the_features_that_the_translation_passed():
    """Which were computed with the same weights; a mirrored input has others."""
    for preset, noted in (("cut", True), ("fastcut", False)):
        algorithm, passes = cut("generator.blocks=5", preset=preset), []
        batch = random_batch()
        sources = (batch["a"], batch["b"]) if preset == "cut" else (batch["a"],)
        outputs = algorithm.forward(batch)
        assert any(name.startswith("keys.") for name in outputs) == noted
        torch.testing.assert_close(algorithm._keys(sources, outputs), algorithm._keys(sources, {}), rtol=0, atol=0)
        algorithm.networks["generator"].stem.register_forward_hook(lambda *called, seen=passes: seen.append(called))
        algorithm.losses("generator", batch, outputs)
        assert len(passes) == (1 if noted else 2)  # of the queries, and of the keys where they are not known


def test_features_of_mirrored_inputs_are_mirrored_back():
    """A generator of one pixel's sight is equivariant: with mirrored features its own term is the same."""
    algorithm = cut("generator.blocks=1", "loss.layers=[input]", "loss.patches=1024", preset="fastcut")
    batch = random_batch(4)
    outputs = algorithm.forward(batch)
    mirrored = outputs["mirrored"]
    assert 0 < int(mirrored.sum()) < 4
    made = mirror(batch["a"], outputs)
    assert torch.equal(made[mirrored], batch["a"][mirrored].flip(3))
    assert torch.equal(made[~mirrored], batch["a"][~mirrored])

    def nce(fake, **more):
        return float(algorithm.losses("generator", batch, {"fake": fake, **more})["G_NCE"].detach())

    straight = nce(batch["a"])
    assert nce(made, mirrored=mirrored) == pytest.approx(straight, rel=1e-4)
    assert nce(made) > 1.5 * straight  # as if the features were not mirrored back


def test_negatives_can_come_from_the_whole_batch():
    picture, batch = (cut("generator.blocks=1", LAYERS, f"loss.negatives={one}") for one in ("picture", "batch"))
    terms = []
    for algorithm in (picture, batch):
        torch.manual_seed(1)
        pictures = random_batch(3)
        terms.append(float(algorithm.losses("generator", pictures, algorithm.forward(pictures))["G_NCE"].detach()))
    assert terms[1] > terms[0] + 0.5  # about log P and log 3P


def test_only_cut_runs_the_generator_on_the_target_domain():
    for preset, times in (("cut", 2), ("fastcut", 1)):
        algorithm, seen = cut("generator.blocks=5", preset=preset), []
        algorithm.networks["generator"].register_forward_hook(lambda *called, seen=seen: seen.append(len(called[2])))
        batch = random_batch()
        algorithm.forward(batch)
        assert sum(seen) == times * len(batch["a"])


def test_b2a_translates_the_other_way():
    algorithm = cut("generator.blocks=1", LAYERS, "data.direction=B2A")
    assert list(algorithm.parts()) == ["B2A"]
    batch = random_batch()
    expected = algorithm.networks["generator"](batch["b"])
    assert torch.equal(algorithm.forward(batch)["fake"], expected)


def test_pairs_add_l1():
    algorithm = cut("generator.blocks=5", "algorithm=paired_cut", "loss.flip_equivariance=true", "loss.l1=30")
    assert algorithm.data == "paired"
    assert algorithm.weights()["G_L1"] == 30
    batch = random_batch(4)
    outputs = algorithm.forward(batch)
    target = mirror(batch["b"], outputs)
    terms = algorithm.losses("generator", batch, {**outputs, "fake": target})
    assert float(terms["G_L1"].detach()) == 0
    assert "G_L1" not in algorithm.losses("discriminator", batch, outputs)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("loss.layers=[input,blocks.7]", "blocks.7"),
        ("data.channels_a=1", "data.channels_a"),
        ("loss.layers=[]", "loss.layers"),
    ],
)
def test_impossible_settings_are_refused_by_name(change, name):
    with pytest.raises(ConfigError, match=name):
        cut("generator.blocks=5", change)


def test_a_unet_works_with_its_own_layers():
    changes = ["generator.name=unet", "generator.depth=4", "loss.layers=[input,down.0,down.2]"]
    algorithm = cut(*changes, "train.batch=4", "data.crop_px=16", "discriminator.layers=1")
    engine = Engine(Fabric(accelerator="cpu"), algorithm)
    terms = engine.train_step(random_batch(4, 16))
    assert float(terms["grad.heads"]) > 0


def test_features_are_computed_in_the_precision_of_training(few_pairs):
    """In bf16 the stages see bf16, as in a forward pass; with checkpointing the terms are the same bit for bit."""
    seen, terms = {}, {}
    for setting in ("train.precision=fp32", "train.precision=bf16", "train.activation_checkpointing=true"):
        torch.manual_seed(0)
        algorithm = CUT(smallest_config("cut", few_pairs, "loss.patches=256", setting))
        engine = Engine(make_fabric(algorithm.config), algorithm)
        inner = algorithm.networks["generator"].get_submodule("blocks.0.body.1")
        inner.register_forward_hook(lambda *parts, key=setting: seen.setdefault(key, set()).add(parts[2].dtype))
        torch.manual_seed(1)
        terms[setting] = {name: float(term) for name, term in engine.train_step(random_batch(4, 16)).items()}
    assert seen["train.precision=fp32"] == {torch.float32}
    assert seen["train.precision=bf16"] == {torch.bfloat16}
    plain, half, light = terms.values()
    assert light == plain
    assert half["G_NCE"] == pytest.approx(plain["G_NCE"], rel=0.02)
