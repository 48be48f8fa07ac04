"""The GAN on noise: two passes through the discriminator, and the steps of a critic."""

import pytest
import torch
import yaml
from torch.nn import functional as F

import i2i
from i2i.algorithms.gan import GAN
from i2i.algorithms.pix2pix import Pix2Pix
from i2i.errors import ConfigError
from i2i.networks import DiscriminatorOutput
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import smallest_config


def gan(*overrides):
    return GAN(smallest_config("gan", ".", *overrides))


def test_reals_and_fakes_never_share_a_batch_statistic():
    """With other fakes, D(real) stays the same bit for bit in training mode."""
    algorithm = gan()
    judge = algorithm.networks["discriminator"].train()
    real = torch.rand(4, 3, 32, 32)
    scores = []
    judge.register_forward_hook(lambda _, inputs, output: scores.append((inputs[0], output.logits.clone())))
    for scale in (0.1, 5.0):
        terms = algorithm.losses("discriminator", {"image": real}, {"fake": scale * torch.rand(4, 3, 32, 32)})
    assert [len(shown) for shown, _ in scores] == [4] * 4
    of_reals = [score for shown, score in scores if shown is real]
    assert len(of_reals) == 2
    assert torch.equal(*of_reals)
    assert float(terms["D_real"].detach()) == pytest.approx(float(F.softplus(-of_reals[1].detach()).mean()), rel=1e-5)


def test_the_critic_steps_more_often():
    algorithm = gan("loss.n_critic=3")
    engine = Engine(make_fabric(algorithm.config), algorithm)
    trained = [set(engine.train_step({"image": torch.rand(4, 3, 32, 32)})) for _ in range(6)]
    assert ["G_GAN" in terms for terms in trained] == [False, False, True] * 2
    assert all("D_real" in terms for terms in trained)


def generator_steps(algorithm, steps):
    """The steps, from 1, in which the generator trains."""
    (phase,) = (one for one in algorithm.phases if one.name == "generator")
    return [step for step in range(1, steps + 1) if phase.is_due(step)]


def test_long_turns_are_those_of_the_authors_of_wgan():
    """Counted as their code does; without long turns, a control, it comes out otherwise."""
    algorithm = gan("loss.n_critic=5", "loss.n_critic_long={}")
    expected, step = [], 0
    for turn in range(1600):
        step += 100 if turn < 25 or turn % 500 == 0 else 5
        expected.append(step)
    assert generator_steps(algorithm, step) == expected
    assert generator_steps(gan("loss.n_critic=5"), step) != expected


def test_a_training_takes_long_turns():
    algorithm = gan("loss.n_critic=2", "loss.n_critic_long={steps: 3, first: 1, every: 2}")
    engine = Engine(make_fabric(algorithm.config), algorithm)
    trained = ["G_GAN" in engine.train_step({"image": torch.rand(4, 3, 32, 32)}) for _ in range(10)]
    assert [step for step, due in enumerate(trained, 1) if due] == [3, 5, 8, 10]


def test_more_first_turns_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"loss\.n_critic_long.* 600.* 500"):
        gan("loss.n_critic_long.first=600")


def test_long_turns_that_are_no_longer_are_refused():
    with pytest.raises(ConfigError, match=r"n_critic_long\.steps.* 5.*n_critic"):
        gan("loss.n_critic=5", "loss.n_critic_long.steps=5")


def test_accuracy_is_the_share_on_the_right_side():
    algorithm = gan()
    logits = iter([torch.tensor([2.0, -1.0, 3.0, 0.5]), torch.tensor([-2.0, 1.0, 1.0, 1.0])])

    class Judge(torch.nn.Module):
        def forward(self, image):
            return DiscriminatorOutput(next(logits))

    algorithm.networks["discriminator"] = Judge()
    terms = algorithm.losses("discriminator", {"image": torch.zeros(4)}, {"fake": torch.zeros(4)})
    assert (float(terms["D_real_accuracy"]), float(terms["D_fake_accuracy"])) == (0.75, 0.25)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["data.crop_px=16", "data.resize_px=16"], "32, 64 or 128"),
        (["data.toy=ring"], "data.toy.*mlp"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        gan(*changes)


def test_a_translator_cannot_be_trained_on_noise_networks(tmp_path):
    values = smallest_config("gan", ".").model_dump(mode="json") | {"algorithm": "pix2pix", "loss": {}}
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"dcgan.*pix2pix"):
        Pix2Pix(i2i.load_config(tmp_path / "mix.yaml"))
