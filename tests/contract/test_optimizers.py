"""Every optimizer trains, computes what its paper says, resumes exactly and moves no weight by a broken gradient."""

import math
import shutil
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

import i2i
from i2i.config.optimizers import OPTIMIZER_SETTINGS, OptimizerSettings
from i2i.data.sets import make_set
from i2i.errors import ConfigError, NonFiniteError
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from i2i.training.graphs import records_steps
from i2i.training.optim import OPTIMIZERS, load_optimizer, make_optimizer, set_decay, set_rate
from tests.conftest import SMALLEST, make_algorithm, smallest_config
from tests.training.test_engine import assert_equal_trees, growth, learning

GRADIENTS = (2.0, -1.0, 0.5, 3.0)


def by_hand(name, settings):
    """A weight of 1 after GRADIENTS, in floats."""
    weight = 1.0
    rate, mean, square = settings.lr, 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS, 1):
        if name == "adam":  # Kingma and Ba 2015, algorithm 1
            one, two = settings.betas
            mean, square = one * mean + (1 - one) * gradient, two * square + (1 - two) * gradient**2
            weight -= rate * (mean / (1 - one**step)) / (math.sqrt(square / (1 - two**step)) + 1e-8)
        elif name == "rmsprop":
            square = settings.alpha * square + (1 - settings.alpha) * gradient**2
            weight -= rate * gradient / (math.sqrt(square) + 1e-8)
        else:
            mean = settings.momentum * mean + gradient
            weight -= rate * mean
    return weight


def small(name):
    """An optimizer of one small network, and the network."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    settings = OPTIMIZER_SETTINGS[name](lr=0.1)
    return make_optimizer([network], settings), network, settings


def step(optimizer, network, gradient):
    network.weight.grad = torch.full((1, 1), gradient)
    optimizer.step()
    return float(network.weight.detach())


def test_the_settings_know_every_entry_of_the_table():
    union = get_args(get_args(OptimizerSettings)[0])
    assert {one.model_fields["name"].default: one for one in union} == OPTIMIZER_SETTINGS
    assert set(OPTIMIZERS) == set(OPTIMIZER_SETTINGS)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_steps_are_those_of_its_paper(name):
    optimizer, network, settings = small(name)
    for gradient in GRADIENTS:
        found = step(optimizer, network, gradient)
    assert found == pytest.approx(by_hand(name, settings), rel=1e-5)
    others = [by_hand(other, OPTIMIZER_SETTINGS[other](lr=0.1)) for other in OPTIMIZERS if other != name]
    assert all(abs(found - other) > 0.01 for other in others)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_rate_can_be_set(name):
    optimizer, network, _ = small(name)
    set_rate(optimizer, 0.0)
    assert step(optimizer, network, 1.0) == 1.0


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_broken_step_moves_no_weight(name):
    optimizer, network, _ = small(name)
    before = step(optimizer, network, 1.0)
    optimizer.found_inf = torch.ones(())
    assert step(optimizer, network, math.nan) == before
    optimizer.found_inf = torch.zeros(())
    after = step(optimizer, network, 1.0)
    assert math.isfinite(after)
    assert after != before


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_broken_loss_moves_no_weight_of_a_training(few_pairs, name):
    config = smallest_config("gan", few_pairs, f"optimizer.name={name}")
    engine = Engine(make_fabric(config), make_algorithm(config))
    engine.train_step({"image": torch.rand(4, 3, 32, 32)})
    before = {key: value.clone() for key, value in engine.networks["generator"].named_parameters()}
    with pytest.raises(NonFiniteError):
        engine.train_step({"image": torch.full((4, 3, 32, 32), math.nan)})
    for key, value in engine.networks["generator"].named_parameters():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_state_of_other_shapes_or_another_optimizer_is_refused(name):
    optimizer, network, _ = small(name)
    step(optimizer, network, 1.0)
    state = optimizer.state_dict()
    load_optimizer(small(name)[0], state, name)
    for other in sorted(OPTIMIZERS.keys() - {name}):
        with pytest.raises(ValueError, match=other):
            load_optimizer(small(other)[0], state, other)
    wide = make_optimizer([torch.nn.Linear(3, 1, bias=False)], OPTIMIZER_SETTINGS[name]())
    with pytest.raises(ValueError, match="optimizer states"):
        load_optimizer(wide, state, name)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_moments_follow_the_memory_format_of_their_weights(name):
    """Channels-last moments loaded for weights that are not: the next step is that of the weights that stayed."""
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = torch.nn.Conv2d(3, 4, 3, bias=False)
        one = network.weight.data.clone()
        network.weight.data = one.contiguous(memory_format=layout)
        settings = OPTIMIZER_SETTINGS[name](lr=0.1)
        first = make_optimizer([network], settings)
        network.weight.grad = torch.arange(108.0).view(4, 3, 3, 3).contiguous(memory_format=layout)
        first.step()
        other = torch.nn.Conv2d(3, 4, 3, bias=False)
        other.weight.data = network.weight.data.contiguous()
        second = make_optimizer([other], settings)
        load_optimizer(second, first.state_dict(), name)
        other.weight.grad = torch.arange(108.0).flip(0).view(4, 3, 3, 3).contiguous()
        second.step()
        results.append(other.weight.detach())
    assert torch.allclose(*results, atol=1e-6)


@pytest.mark.parametrize("kind", list(SMALLEST))
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "adam"])
def test_every_optimizer_trains_every_algorithm(few_pairs, kind, name):
    torch.manual_seed(0)  # with another, a network this narrow may be dead from the start
    config = smallest_config(kind, few_pairs, f"optimizer.name={name}")
    algorithm = make_algorithm(config)
    engine = Engine(make_fabric(algorithm.config), algorithm)
    before = {one: [p.clone() for p in learning(network)] for one, network in engine.networks.items()}
    batch = make_set(algorithm.data, algorithm.config).load(range(8)).batch
    for images in growth():
        algorithm.begin(images, 16)
        terms = engine.train_step(batch)
        assert all(math.isfinite(value) for value in terms.values())
    for one, network in engine.networks.items():
        moved = [not torch.equal(p, q) for p, q in zip(before[one], learning(network), strict=True)]
        assert sum(moved) >= len(moved) - 1, one  # a bias before a normalisation may not move


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("rmsprop", ["loss.penalty=r1", "loss.penalty_every_steps=2"]),
        ("sgd", []),
        ("sgd", ["optimizer.momentum=0"]),
    ],
)
def test_resuming_is_exact(tmp_path, name, changes):
    """16 images straight, and 8 + 8, give the same bits."""
    config = smallest_config("ring", ".", f"optimizer.name={name}", *changes)
    i2i.train(config, tmp_path / "straight")
    shutil.copytree(tmp_path / "straight", tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").unlink()
    list_checkpoints(tmp_path / "cut" / "checkpoints")[-1].unlink()
    i2i.train(config, tmp_path / "cut", resume=True)
    straight, cut = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "cut"))
    assert all(torch.equal(straight[key], cut[key]) for key in straight)
    states = [load_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1]) for run in ("straight", "cut")]
    assert_equal_trees(*(state["stepper"] for state in states))
    kept = states[0]["stepper"]["optimizers"]["generator"]["state"]
    assert bool(kept) == (changes != ["optimizer.momentum=0"])


def test_another_optimizer_is_another_run(tmp_path):
    i2i.train(smallest_config("ring", "."), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"optimizer\.name"):
        i2i.train(smallest_config("ring", ".", "optimizer.name=sgd"), tmp_path / "run", resume=True)
    longer = smallest_config("ring", ".", "optimizer.name=sgd", "schedule.images=32")
    with pytest.raises(ConfigError, match="optimizer states"):
        i2i.train(longer, tmp_path / "run", resume=True, allow_config_change=True)


def test_a_section_without_a_name_is_adam():
    """As in run folders from before there was a choice; naming it changes nothing."""
    unnamed = i2i.load_config("ring").optimizer
    assert (unnamed.name, unnamed.lr) == ("adam", 5e-4)
    assert i2i.load_config("ring", ["optimizer.name=adam"]).optimizer == unnamed
    assert i2i.load_config("ring", ["optimizer.name=rmsprop"]).optimizer.lr == 5e-5  # its own default


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_only_what_a_graph_can_hold_is_recorded(few_pairs, name):
    algorithm = make_algorithm(smallest_config("gan", few_pairs, f"optimizer.name={name}"))
    assert records_steps(algorithm, torch.device("cuda")) == OPTIMIZERS[name].capturable


def test_a_recording_that_would_repeat_a_rate_is_refused(few_pairs):
    config = smallest_config("gan", few_pairs, "optimizer.name=sgd", "train.cuda_graphs=true")
    with pytest.raises(ConfigError, match=r"train\.cuda_graphs .*optimizer\.name"):
        records_steps(make_algorithm(config), torch.device("cuda"))


def test_the_decay_rate_of_squares_follows_its_ramp(few_pairs):
    """From 0.9 to 0.99 over 8 images, in steps of 4: 0.9, 0.945, 0.99 and then no more. Without it, it stays."""
    ramp = "optimizer.beta2_ramp={from: 0.9, to: 0.99, over_images: 8}"
    for changes, wanted in (([ramp], [0.9, 0.945, 0.99, 0.99]), ([], [0.75] * 4)):
        config = smallest_config("gan", few_pairs, "optimizer.betas=[0.0, 0.75]", *changes)
        algorithm = make_algorithm(config)
        engine, found = Engine(make_fabric(config), algorithm), []
        data = make_set(algorithm.data, config)
        for step in range(4):
            algorithm.begin(4 * step, 16)
            engine.train_step(data.load(range(4)).batch)
            found += [one.param_groups[0]["betas"] for one in engine.optimizers.values()]
        assert [one for one, _ in found] == [0.0] * 8
        assert [two for _, two in found[::2]] == pytest.approx(wanted)
        assert found[::2] == found[1::2]


def test_squares_with_a_decay_that_changes_by_hand():
    """Gradients 2 and 1, beta2 1/2 and 3/4: v is 2, then 7/4; over 1/2 and 1 - 9/16, and the steps are rate x 1 and
    rate x 1 / 2, since the root of 4 is 2."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    ramp = {"from": 0.5, "to": 0.75, "over_images": 1}
    settings = OPTIMIZER_SETTINGS["adam"](lr=0.1, betas=(0.0, 0.999), beta2_ramp=ramp)
    optimizer = make_optimizer([network], settings)
    set_decay(optimizer, settings, 0)
    assert step(optimizer, network, 2.0) == pytest.approx(0.9)
    set_decay(optimizer, settings, 1)
    assert step(optimizer, network, 1.0) == pytest.approx(0.85)


def test_a_decay_rate_of_one_is_refused():
    with pytest.raises(ConfigError, match="beta2_ramp"):
        i2i.load_config("lineart", ["optimizer.beta2_ramp={from: 0.9, to: 1, over_images: 8}"])
