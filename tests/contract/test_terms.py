"""Every further term in every algorithm that translates, with the same values however a step is made."""

import math

import pytest
import torch
from safetensors.torch import load_file

import i2i
from i2i import weights
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.terms import FEATURE_TERMS, FROZEN, IMAGE_TERMS, TermsSettings, TranslationSettings, as_rgb
from i2i.config import load_config
from i2i.data.sets import make_set
from i2i.errors import ConfigError, ModelError
from i2i.metrics import perceptual
from i2i.training.checkpoint import load_checkpoint
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import SMALLEST, make_algorithm, picture, smallest_config

TERMS = list(TermsSettings.model_fields)
KINDS = [
    kind
    for kind, preset in SMALLEST.items()
    if issubclass(ALGORITHMS[load_config(preset).algorithm].Settings, TranslationSettings)
]
LARGER = ["data.crop_px=32", "data.resize_px=36"]


def has_pairs(kind):
    return ALGORITHMS[load_config(SMALLEST[kind]).algorithm].data == "paired"


def make_engine(config):
    torch.manual_seed(0)
    algorithm = make_algorithm(config)
    return Engine(make_fabric(algorithm.config), algorithm)


def step(config):
    engine = make_engine(config)
    batch = make_set(engine.algorithm.data, config).load(range(4)).batch
    torch.manual_seed(1)
    return {name: float(term) for name, term in engine.train_step(batch).items()}


def test_the_settings_know_every_entry_of_the_tables():
    assert set(TERMS) == {"feature_matching", *IMAGE_TERMS, *FEATURE_TERMS}
    assert {term.network for term in FEATURE_TERMS.values()} == set(FROZEN)
    assert {"pix2pix", "cyclegan", "cut", "paired_cut", "context_encoder"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TERMS)
def test_every_term_trains_every_algorithm(few_pairs, small_weights, kind, name):
    config = smallest_config(kind, few_pairs, f"loss.terms.{name}=2", *LARGER)
    if name == "feature_matching" and not has_pairs(kind):
        with pytest.raises(ConfigError, match=r"loss\.terms\.feature_matching"):
            make_algorithm(config)
        return
    terms = step(config)
    added = [term for term in terms if term.endswith(f"_{name}")]
    assert added == (["G_cycle_A_" + name, "G_cycle_B_" + name] if config.algorithm == "cyclegan" else ["G_" + name])
    assert all(math.isfinite(value) for value in terms.values())
    assert all(terms[term] > 0 for term in added)
    generator = "grad.G_A2B" if config.algorithm == "cyclegan" else "grad.generator"
    assert terms[generator] != step(smallest_config(kind, few_pairs, *LARGER))[generator]  # a control without the term


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (["train.activation_checkpointing=true"], 0.0),
        (["train.batch=2", "train.accumulate=2"], 1e-4),
        (["train.precision=bf16"], 0.1),
    ],
    ids=["checkpointing", "accumulate", "bf16"],
)
@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_the_same_however_a_step_is_made(few_pairs, small_weights, name, change, tolerance):
    """Its value, and the gradient of the generator that it is part of."""
    settings = ["generator.dropout=0", "generator.norm=instance", "discriminator.norm=none"]
    settings += [f"loss.terms.{name}=2", *LARGER]
    plain, other = (step(smallest_config("pix2pix", few_pairs, *settings, *more)) for more in ([], change))
    for term in (f"G_{name}", "grad.generator"):
        assert other[term] == pytest.approx(plain[term], rel=tolerance, abs=0)


def test_the_weight_of_a_term_follows_its_ramp(few_pairs, small_weights):
    ramp = "loss.terms.lpips={from: 4, to: 0, over_images: 100}"
    algorithm = make_algorithm(smallest_config("pix2pix", few_pairs, ramp, *LARGER))
    seen = []
    for images in (0, 50, 200):
        algorithm.begin(images, 1000)
        seen.append(algorithm.weights()["G_lpips"])
    assert seen == [4, 2, 0]


def test_frozen_networks_stay_as_they_are_and_are_not_saved(few_pairs, small_weights, tmp_path):
    settings = ["loss.terms.lpips=1", "loss.terms.vgg=1", "loss.terms.random_features=1", *LARGER]
    engine = make_engine(smallest_config("pix2pix", few_pairs, *settings))
    frozen = engine.algorithm.terms.networks
    assert set(frozen) == {"alexnet", "vgg16", "random"}
    before = {name: [one.clone() for one in network.parameters()] for name, network in frozen.items()}
    batch = make_set("paired", engine.algorithm.config).load(range(4)).batch
    engine.train_step(batch)
    for name, network in frozen.items():
        assert all(torch.equal(one, other) for one, other in zip(network.parameters(), before[name], strict=True))
        assert all(one.grad is None for one in network.parameters())
    i2i.train(smallest_config("pix2pix", few_pairs, *settings), tmp_path / "with")
    i2i.train(smallest_config("pix2pix", few_pairs, *LARGER), tmp_path / "without")
    models = [load_file(tmp_path / run / "model.safetensors") for run in ("with", "without")]
    assert models[0].keys() == models[1].keys()
    assert any(not torch.equal(models[0][key], models[1][key]) for key in models[0])
    states = [load_checkpoint(tmp_path / run / "checkpoints" / "000000016.pt") for run in ("with", "without")]
    assert states[0]["stepper"]["networks"].keys() == states[1]["stepper"]["networks"].keys()


def test_missing_weights_are_refused_before_training(few_pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path / "none"))
    for name in ("lpips", "lpips_vgg", "vgg"):
        with pytest.raises(ModelError, match=rf"loss\.terms\.{name}.*\n.*i2i weights get (alexnet|vgg16)"):
            i2i.train(smallest_config("pix2pix", few_pairs, f"loss.terms.{name}=1", *LARGER), tmp_path / "run")
        assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize(("name", "least"), [("lpips", weights.KNOWN["alexnet"].least_px), ("ssim", 11)])
def test_a_crop_that_is_too_small_is_refused_by_name(few_pairs, name, least):
    sizes = ["data.crop_px=8", "data.resize_px=9"]
    with pytest.raises(ConfigError, match=rf"data\.crop_px is 8.*loss\.terms\.{name} needs {least}"):
        make_algorithm(smallest_config("paired_cut", few_pairs, *sizes, f"loss.terms.{name}=1"))


@pytest.mark.parametrize(("name", "network"), [("lpips", "alexnet"), ("lpips_vgg", "vgg16")])
def test_lpips_is_the_metric(few_pairs, small_weights, name, network):
    """The term of an image is the score of the same picture."""
    terms = make_algorithm(smallest_config("pix2pix", few_pairs, f"loss.terms.{name}=1", *LARGER)).terms
    terms.load()
    pictures = [picture(40, 48, seed=seed) for seed in (0, 1)]
    one, other = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1 for image in pictures)
    perceptual.trunk.cache_clear()
    score = perceptual.lpips(*pictures, network)
    perceptual.trunk.cache_clear()
    assert terms.compare(one, other)[f"G_{name}"].item() == pytest.approx(score, rel=1e-4)


def test_images_of_other_channels_are_compared_as_rgb():
    """Grey three times, RGB as it is, alpha on white: a quarter of red and three quarters of white."""
    grey = torch.tensor([[[[-1.0, 0.5]]]])
    assert torch.equal(as_rgb(grey), torch.tensor([0.0, 0.75]).expand(1, 3, 1, 2))
    red = torch.tensor([1.0, -1.0, -1.0, -0.5]).view(1, 4, 1, 1)
    assert as_rgb(red).flatten().tolist() == pytest.approx([1.0, 0.75, 0.75])
    assert torch.equal(as_rgb(red[:, :3]), (red[:, :3] + 1) / 2)
