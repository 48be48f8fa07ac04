"""What the networks themselves show: hidden information, overfitting, norm statistics, and non-finite values."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from i2i.algorithms.base import Algorithm, Batch
from i2i.config.settings import by_direction
from i2i.diagnosis.facts import LEAST_PICTURES, NotMeasured, RunFacts
from i2i.diagnosis.reading import Reading, worst
from i2i.errors import I2IError
from i2i.images import Array
from i2i.networks.layers import BatchNorm, has_batch_norm

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
    readings = []
    for direction in directions:
        x = by_direction(direction, batch["a"].numpy(), batch["b"].numpy())[0]
        between, back = facts.run(networks[direction], x), networks[direction[::-1]]
        error = np.abs(facts.run(back, between) - x).mean()
        for changed in (_rounded(between), _noised(between)):
            growth = np.abs(facts.run(back, changed) - x).mean() - error
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
        raise NotMeasured("there is no val split")
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
        _train_losses(algorithm, part, roles=("discriminator",))
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
    """Return how far outputs at inference are from those with the statistics of training pictures.

    The statistics of all pictures together, or of each alone where training had batches of one. The mean absolute
    difference, as a share of the standard deviation of the outputs; dropout is off in both.
    """
    readings = []
    for part in facts.spec.parts:
        network = facts.network(part)
        if not has_batch_norm(network):
            continue
        values = facts.inputs(part, facts.data)
        usual = facts.run(network, values)
        for module in network.modules():
            module.training = isinstance(module, BatchNorm)
        trained = facts.run(network, values, at_once=1 if facts.config.train.batch == 1 else len(values))
        readings.append(Reading(float(np.abs(usual - trained).mean() / max(trained.std(), 1e-9)), part))
    if not readings:
        raise NotMeasured("the generator has no batch norm")
    return worst(readings)


def non_finite(facts: RunFacts) -> Reading:
    """Return in how many places values are not finite; the first is the source.

    Weights of the checkpoint; layers, in the order of a training step on some pictures; rows of the log.
    """
    found: list[str] = []
    reasons: list[Exception] = []
    for look in (_broken_weights, _broken_layers, _broken_rows):
        try:
            found += look(facts)
        except (NotMeasured, I2IError) as reason:
            reasons.append(reason)
    if len(reasons) == 3:
        raise reasons[0]
    return Reading(len(found), found[0] if found else "")


def _broken_weights(facts: RunFacts) -> list[str]:
    networks = facts.state["stepper"]["networks"]
    return [
        f"weights {name}.{key}"
        for name, tensors in networks.items()
        for key, tensor in tensors.items()
        if not tensor.isfinite().all()
    ]


def _broken_layers(facts: RunFacts) -> list[str]:
    """Return the layers that turn a training batch into values that are not finite, in order."""
    algorithm, found = facts.algorithm, dict[str, None]()

    def listen(name: str, output: object) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            found[f"output of {name}"] = None

    for network, modules in algorithm.networks.items():
        for name, module in modules.named_modules():
            if not any(True for _ in module.children()):
                place = f"{network}.{name}"
                module.register_forward_hook(lambda _, inputs, output, place=place: listen(place, output))
    batch = facts.batch(facts.data, max(LEAST_PICTURES, facts.config.train.batch))
    _train_losses(algorithm, {name: tensor.to(facts.device) for name, tensor in batch.items()})
    return [*found]


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


def _train_losses(algorithm: Algorithm, batch: Batch, roles: Sequence[str] = ("generator", "discriminator")) -> None:
    """Run what a training step computes up to the losses of its phases, but for penalties."""
    for adversary in algorithm.adversaries.values():
        adversary.is_lazy = True  # its penalty, which needs gradients, has a phase of its own
    with torch.no_grad():
        outputs = algorithm.forward(batch)
        for phase in algorithm.phases:
            if phase.role in roles and not phase.optimizer:
                algorithm.losses(phase.name, batch, outputs)
