"""What the networks themselves show: hidden information, overfitting, norm statistics, and non-finite values."""

import functools
import math

import numpy as np
from torch import Tensor, nn

from i2i.algorithms.base import Algorithm, Batch
from i2i.config.settings import by_direction
from i2i.diagnosis.facts import LEAST_PICTURES, NotMeasured, RunFacts
from i2i.diagnosis.reading import Reading, worst
from i2i.errors import I2IError
from i2i.images import Array
from i2i.networks.layers import BatchNorm
from i2i.training.finite_check import broken_layers, broken_weights, run_losses
from i2i.training.run import norm_statistics

_NOISE_LEVELS = 2.0


def steganography(facts: RunFacts) -> Reading:
    """Return by how many grey levels the cycle error grows for each grey level that the picture in between changes.

    The change is rounding to 8 bits, and noise with a deviation of 2 levels; the larger growth counts. A generator that
    hides its input in faint noise loses it then (Chu, Zhmoginov and Sandler 2017); a smooth one adds less than its
    change.
    """
    directions = facts.spec.generators
    if len(directions) < 2:
        raise NotMeasured("the model has no way back")
    batch = facts.batch(facts.held_out or facts.data)
    networks = {direction: facts.network(direction) for direction in directions}
    labels = {direction: facts.condition(direction, batch) for direction in directions}
    readings = []
    for direction in directions:
        x = by_direction(direction, batch["a"].numpy(), batch["b"].numpy())[0]
        between, way_back = facts.run(networks[direction], x, labels[direction]), direction[::-1]
        error = np.abs(facts.run(networks[way_back], between, labels[way_back]) - x).mean()
        for changed in (_rounded(between), _noised(between)):
            growth = np.abs(facts.run(networks[way_back], changed, labels[way_back]) - x).mean() - error
            readings.append(Reading(float(growth / max(np.abs(changed - between).mean(), 1e-9)), direction))
    return worst(readings)


def _rounded(values: Array) -> Array:
    return (np.rint((values + 1) * 127.5) / 127.5 - 1).astype(np.float32)


def _noised(values: Array) -> Array:
    noise = np.random.default_rng(0).standard_normal(values.shape) * (_NOISE_LEVELS / 127.5)
    return (values + noise).astype(np.float32)


def discriminator_overfits(facts: RunFacts) -> Reading:
    """Return how far a discriminator takes unseen real pictures for fakes: 0 not at all, 1 as much as fakes.

    (D(train) - D(val)) / (D(train) - D(fake)), means of logits (Karras et al. 2020, "Training generative adversarial
    networks with limited data", equation 1); twice its standard error is taken off the numerator.
    """
    if facts.held_out is None:
        raise NotMeasured(facts.without_val)
    algorithm = facts.algorithm
    if not algorithm.adversaries:
        raise NotMeasured("the algorithm has no discriminator")
    seen, unseen = (_verdicts(algorithm, facts, facts.batch(data)) for data in (facts.data, facts.held_out))
    readings = []
    for name, (real, fake) in seen.items():
        new, _ = unseen[name]
        lead, gap = real.mean() - fake.mean(), real.mean() - new.mean()
        error = np.sqrt(real.var() / len(real) + new.var() / len(new))
        readings.append(Reading(float(max(gap - 2 * error, 0) / lead) if lead > 1e-6 else 0.0, name))
    return worst(readings)


def _verdicts(algorithm: Algorithm, facts: RunFacts, batch: Batch) -> dict[str, tuple[Array, Array]]:
    """Return the mean logit of each real and of each fake, by discriminator, in batches as in training.

    A discriminator is first shown reals, then fakes; what it says is overheard, so that this holds for every algorithm.
    """
    size, count = facts.config.train.batch, len(next(iter(batch.values())))
    said: dict[str, list[list[Array]]] = {one.name: [] for one in algorithm.adversaries.values()}
    handles = [
        algorithm.networks[name].register_forward_hook(
            lambda module, inputs, output, heard=heard: heard[-1].append(_means(output.logits))
        )
        for name, heard in said.items()
    ]
    for first in range(0, max(count - count % size, 1), size):
        for heard in said.values():
            heard.append([])
        part = {name: tensor[first : first + size].to(facts.device) for name, tensor in batch.items()}
        run_losses(algorithm, part, roles=("discriminator",))
    for handle in handles:
        handle.remove()
    return {
        name: (np.concatenate([one[0] for one in heard]), np.concatenate([one[1] for one in heard]))
        for name, heard in said.items()
    }


def _means(logits: Tensor) -> Array:
    means: Array = logits.flatten(1).mean(dim=1).float().cpu().numpy()
    return means


def norm_statistics_differ(facts: RunFacts) -> Reading:
    """Return how far batch norm is from what it did in training: 0 not at all, 1 as far as its outputs are spread.

    Its outputs with the statistics of inference, against those with the statistics of training pictures: of all
    together, or of each alone where training had batches of one. The root mean square difference over the root mean
    square of the normalised values, on average over the layers, each on the same inputs; dropout is off.
    """
    auto = facts.config.train.model_copy(update={"norm_statistics": "auto"})
    alone = norm_statistics(facts.config.model_copy(update={"train": auto})) == "image"
    readings = []
    for part in facts.spec.parts:
        network = facts.network(part)
        if not (gaps := _norm_gaps(network)):
            continue
        values, condition = facts.inputs(part, facts.data)
        facts.run(network, values, condition, at_once=1 if alone else len(values))
        shares = [sum(one for one, _ in layer) / max(sum(other for _, other in layer), 1e-12) for layer in gaps]
        readings.append(Reading(float(np.sqrt(shares).mean()), part))
    if not readings:
        raise NotMeasured("the generator has no batch norm")
    return worst(readings)


def _norm_gaps(network: nn.Module) -> list[list[tuple[float, float]]]:
    """Let each batch norm use the statistics of its inputs, and note a pair of numbers at each call, by layer.

    The mean square of what the statistics of inference change, and that of the values before the bias. Layers that a
    training leaves as at inference, those of a frozen first stage, are none.
    """
    network.train()
    layers = [module for module in network.modules() if isinstance(module, BatchNorm) and module.training]
    network.eval()
    gaps: list[list[tuple[float, float]]] = [[] for _ in layers]

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, place: int) -> None:
        module.eval()
        change = module.forward(*inputs) - output
        module.train()
        values = output - module.get_parameter("bias")[:, None, None]
        gaps[place].append((float(change.square().mean()), float(values.square().mean())))

    for place, layer in enumerate(layers):
        layer.train()
        layer.momentum = 0.0  # the statistics of inference stay
        layer.register_forward_hook(functools.partial(note, place=place))
    return gaps


def non_finite(facts: RunFacts) -> Reading:
    """Return in how many places values are not finite; the first is the source.

    What the training found when it stopped for them; weights of the checkpoint; layers, in the order of a training
    step on some pictures; rows of the log.
    """
    found: list[str] = []
    reasons: list[Exception] = []
    looks = (_recorded, _broken_weights, _broken_layers, _broken_rows)
    for look in looks:
        try:
            found += look(facts)
        except (NotMeasured, I2IError) as reason:
            reasons.append(reason)
    if len(reasons) == len(looks):
        raise reasons[0]
    return Reading(len(found), found[0] if found else "")


def _recorded(facts: RunFacts) -> list[str]:
    """Return what a training found when it stopped for values that are not finite."""
    if not facts.rows:
        raise NotMeasured("metrics.jsonl has no rows")
    stops = (row for row in facts.rows if "non_finite" in row)
    return [f"{row['non_finite']} after {row['images'] - 1:,} images" for row in stops]


def _broken_weights(facts: RunFacts) -> list[str]:
    return broken_weights(facts.state["stepper"]["networks"])


def _broken_layers(facts: RunFacts) -> list[str]:
    batch = facts.batch(facts.data, max(LEAST_PICTURES, facts.config.train.batch))
    return broken_layers(facts.algorithm, {name: tensor.to(facts.device) for name, tensor in batch.items()})


def _broken_rows(facts: RunFacts) -> list[str]:
    if not facts.rows:
        raise NotMeasured("metrics.jsonl has no rows")
    found = []
    for row in facts.rows:
        found += [
            f"{name} after {row['images']:,} images"
            for name, value in row.items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
    return found
