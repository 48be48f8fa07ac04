"""StackGAN: conditioning augmentation, the wrong text, and pictures from words."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import i2i
from i2i.algorithms.stackgan import kl_from_standard, next_other
from i2i.data.labels import encode_text
from i2i.errors import ConfigError, ModelError, UsageError
from i2i.images import read_image
from i2i.models.modelfile import load_tensors
from i2i.models.texts import hash_text
from i2i.networks import StackGANGenerator, StackGANSecond
from i2i.networks.stackgan import ConditioningAugmentation
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from i2i.training.finetune import build_on
from tests.cli.test_cli import call
from tests.conftest import make_algorithm, smallest_config

USUAL = ["loss.adversarial=non_saturating", "discriminator.spectral_norm=false"]


def make_batch(*texts):
    torch.manual_seed(1)
    encoded = torch.from_numpy(np.stack([encode_text(text) for text in texts]))
    return {"image": torch.rand(len(texts), 3, 32, 32) * 2 - 1, "text": encoded}


def stackgan(data, *overrides):
    torch.manual_seed(0)
    return make_algorithm(smallest_config("stackgan", data, *USUAL, *overrides))


def test_the_divergence_by_hand():
    mu, log_sigma = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, float(np.log(2))]])
    # (1 + 1 - 1) / 2 - 0 and (0 + 4 - 1) / 2 - log 2
    assert kl_from_standard(mu, log_sigma).item() == pytest.approx((0.5 + 1.5 - np.log(2)) / 2)
    assert kl_from_standard(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0


def test_the_condition_is_drawn_around_the_text():
    torch.manual_seed(0)
    augmentation, text = ConditioningAugmentation(4, 3), torch.randn(1, 4)
    mu, log_sigma = augmentation.moments(text)
    drawn = augmentation(text.expand(4000, -1), torch.randn(4000, 3))
    torch.testing.assert_close(drawn.mean(0), mu[0], atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.std(0), log_sigma[0].exp(), atol=0.1, rtol=0)
    torch.testing.assert_close(augmentation(text, torch.zeros(1, 3)), mu)


def test_the_generator_reads_noise_then_augmentation_then_text():
    torch.manual_seed(0)
    network = StackGANGenerator(size=32, latent=9, text=4, augmentation=3, width=2).eval()
    latent = torch.randn(1, 9)
    condition = network.augmentation(latent[:, 5:], latent[:, 2:5])
    assert torch.equal(network(latent), network.body(torch.cat([latent[:, :2], condition], dim=1)))


def test_a_wrong_text_is_the_next_that_differs():
    rows = torch.tensor([[1], [1], [2], [1], [3]])
    assert next_other(rows).tolist() == [2, 2, 3, 4, 0]
    assert next_other(rows[:2]).tolist() == [-1, -1]


def test_d_rejects_reals_with_a_wrong_text(few_pairs):
    algorithm, batch = stackgan(few_pairs), make_batch("red fish", "blue fish", "red fish")
    outputs = algorithm.forward(batch)
    terms = algorithm.losses("discriminator", batch, outputs)
    texts = torch.from_numpy(np.stack([hash_text(one, algorithm.text_size) for one in ("blue fish", "red fish")]))
    logits = algorithm.adversaries["D"].judge(batch["image"], texts[[0, 1, 0]]).logits
    assert terms["D_wrong"].item() == pytest.approx(F.softplus(logits).mean().item(), rel=1e-5)
    weights = algorithm.weights()
    assert (weights["D_real"], weights["D_fake"], weights["D_wrong"]) == (1, 0.5, 0.5)
    assert not algorithm.losses("discriminator", make_batch("a", "a"), algorithm.forward(make_batch("a", "a")))[
        "D_wrong"
    ]


def test_a_relative_loss_compares_half_of_the_time_with_wrong_texts(few_pairs):
    """Each pair of a real with a fake has two equal terms; a pair of texts counts as much as those together."""
    algorithm, batch = stackgan(few_pairs, "loss.adversarial=relativistic"), make_batch("red fish", "blue fish")
    judge, image = algorithm.adversaries["D"].judge, batch["image"]
    outputs = algorithm.forward(batch)
    right, wrong = (judge(image, outputs["text"][order]).logits for order in ([0, 1], [1, 0]))
    term = algorithm.losses("discriminator", batch, outputs)["D_wrong"]
    assert term.item() == pytest.approx(F.softplus(wrong - right).mean().item(), rel=1e-5)
    weights = algorithm.weights()
    assert [weights[name] for name in ("D_real", "D_fake", "D_wrong")] == [0.5, 0.5, 0.5]


def test_without_the_wrong_text_fakes_have_the_whole_weight(few_pairs):
    algorithm, batch = stackgan(few_pairs, "loss.wrong_text=false"), make_batch("red fish", "blue fish")
    assert "D_wrong" not in algorithm.losses("discriminator", batch, algorithm.forward(batch))
    assert algorithm.weights()["D_fake"] == 1


def test_a_step_with_the_divergence_draws_the_condition_towards_normal(few_pairs):
    algorithm, batch = stackgan(few_pairs, "loss.kl=3"), make_batch("red fish", "blue fish")
    outputs = algorithm.forward(batch)
    terms = algorithm.losses("generator", batch, outputs)
    moments = algorithm.networks["generator"].augmentation.moments(outputs["text"])
    assert terms["G_KL"].item() == pytest.approx(kl_from_standard(*moments).item())
    assert algorithm.weights()["G_KL"] == 3


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (["data.text=null"], "data.text"),
        (["generator.name=dcgan"], "generator.name"),
    ],
)
def test_what_it_cannot_learn_from_is_refused(few_pairs, changes, word):
    with pytest.raises(ConfigError, match=word):
        stackgan(few_pairs, *changes)


def test_a_generator_from_text_is_refused_where_there_is_none(few_pairs):
    with pytest.raises(ConfigError, match=r"generator\.name is stackgan"):
        make_algorithm(smallest_config("gan", few_pairs, "generator.name=stackgan"))


def test_words_make_the_same_pictures_from_the_run_and_from_onnx(few_pairs, tmp_path, monkeypatch, noise_model):
    """And whether a training was interrupted or not."""
    monkeypatch.chdir(tmp_path)
    for images in (8, 16):
        short = smallest_config("stackgan", few_pairs, f"schedule.images={images}", "schedule.decay_images=0")
        i2i.train(short, "run", resume=images == 16)
    i2i.train(smallest_config("stackgan", few_pairs, "schedule.decay_images=0"), "whole")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
    i2i.export("run", "model.onnx")
    words = ("--text", "a flat one", "--text", "a tall one", "-n", "2", "--separate")
    for model, folder in (("run", "torch"), ("model.onnx", "onnx")):
        assert call("generate", "-m", model, *words, "-o", folder) == 0
    for name in ("000000.png", "000001.png"):
        torch.testing.assert_close(*(read_image(tmp_path / one / name) for one in ("torch", "onnx")), atol=1, rtol=0)
    generator = i2i.load("model.onnx")
    assert not np.array_equal(*(generator.draw([0], text=text) for text in ("a flat one", "a tall one")))
    assert np.array_equal(*(generator.draw([0], text=text) for text in ("a flat one", "one flat: A")))
    with pytest.raises(UsageError, match="--text"):
        i2i.load(noise_model).draw([0], text="a flat one")
    assert call("generate", "-m", "run", "--text", "a", "--text", "b", "-n", "3", "-o", "grid.png") == 2


SECOND = "stackgan_emoji_64"


def test_the_second_stage_redraws_the_first_from_the_same_latent():
    """Its own condition matters, and so does the first stage's image."""
    torch.manual_seed(0)
    small = {"text": 4, "augmentation": 3, "first_width": 2, "width": 4, "norm": "none"}
    network = StackGANSecond(size=64, latent=12, **small).eval()
    latent = torch.randn(1, 12)
    image = network(latent)
    assert image.shape == (1, 3, 64, 64)
    moved = latent.clone()
    moved[:, -3:] += 1
    assert torch.equal(network.first(moved[:, :-3]), network.first(latent[:, :-3]))
    assert not torch.equal(network(moved), image)
    seen = []
    network.encoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(latent)
    assert torch.equal(seen[0], network.first(latent[:, :-3]))
    for size in (64, 128):
        assert StackGANSecond(size=size, latent=12, **small)(latent).shape[2] == size
    with pytest.raises(ValueError, match="64 or 128"):
        StackGANSecond(size=96, latent=12, **small)


def test_the_first_stage_stays_as_it_was(few_pairs):
    """Bit for bit, running statistics too, while every network of the second learns."""
    config = smallest_config(SECOND, few_pairs, "optimizer.lr=0.01")
    torch.manual_seed(0)
    algorithm = make_algorithm(config)
    build_on(algorithm, config.train.after)
    engine = Engine(make_fabric(algorithm.config), algorithm)
    generator = algorithm.networks["generator"].train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    batch = make_batch("red fish", "blue fish", "a boat", "a flat one")
    batch["image"] = torch.rand(4, 3, 64, 64) * 2 - 1
    for _ in range(2):
        engine.train_step(batch)
    frozen = load_tensors(few_pairs / "first.safetensors", "generate")
    for name, value in generator.state_dict().items():
        if name.startswith("first."):
            assert torch.equal(value, frozen[name.removeprefix("first.")]), name
            assert torch.equal(value, before[name]), name
        elif name.endswith("weight"):
            assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    ("kind", "changes", "error", "word"),
    [
        (SECOND, ["train.after=null"], ConfigError, "--after"),
        (SECOND, ["train.after=nowhere"], ModelError, "nowhere"),
        (SECOND, ["generator.first_width=3"], ConfigError, r'Add settings=\{"generator\.first_width": 2\}\.$'),
        (SECOND, ["generator.text=8"], ConfigError, r'Add settings=\{"generator\.text": 128\}\.$'),
        (
            SECOND,
            ["generator.latent=3", "generator.augmentation=33"],
            ConfigError,
            r'\{"generator\.latent": 4, "generator\.augmentation": 32\}\.$',
        ),
        ("stackgan", ["train.after=nowhere"], ConfigError, "builds on no other run"),
        ("gan", ["train.after=nowhere"], ConfigError, "builds on no other run"),
    ],
)
def test_a_first_stage_that_does_not_fit_is_refused(few_pairs, tmp_path, kind, changes, error, word):
    with pytest.raises(error, match=word):
        i2i.train(smallest_config(kind, few_pairs, *changes), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_model_of_another_kind_is_no_first_stage(few_pairs, tmp_path, noise_model, tiny_run):
    for model in (noise_model, tiny_run):
        with pytest.raises(ConfigError, match=r"train\.after.*generator\.name stackgan"):
            i2i.train(smallest_config(SECOND, few_pairs, f"train.after={model}"), tmp_path / "run")


def test_the_second_stage_resumes_and_exports_without_the_first(few_pairs, tmp_path, monkeypatch):
    """Its model file holds both stages."""
    monkeypatch.chdir(tmp_path)
    for images in (8, 16):
        short = smallest_config(SECOND, few_pairs, f"schedule.images={images}", "schedule.decay_images=0")
        i2i.train(short, "run", resume=images == 16)
    i2i.train(smallest_config(SECOND, few_pairs, "schedule.decay_images=0"), "whole")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    i2i.export("run", "model.onnx")
    torch_one, onnx_one = (i2i.load(model) for model in ("run", "model.onnx"))
    latents = torch_one.draw([0, 1], text="a flat one")
    assert np.array_equal(latents, onnx_one.draw([0, 1], text="a flat one"))
    np.testing.assert_allclose(torch_one.generate(latents), onnx_one.generate(latents), atol=1e-4)
