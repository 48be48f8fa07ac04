"""The table of illnesses: how each is measured, from which number on it is one, and which settings to turn.

docs/diagnose.md has the numbers of made illnesses and of healthy runs from which the thresholds come.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from i2i.diagnosis import course, networks, outputs, speed
from i2i.diagnosis.facts import RunFacts
from i2i.diagnosis.reading import Reading


class Illness(NamedTuple):
    """measure: raises NotMeasured where a run cannot have it. ill: whether numbers above the threshold are, or below.

    turn: settings with what to do, of which a run's own are named. advice: what else to do.
    """

    measure: Callable[[RunFacts], Reading]
    threshold: float
    ill: Literal["above", "below"]
    severity: Literal["error", "warning"]
    turn: Mapping[str, str]
    advice: str = ""

    def has(self, number: float) -> bool:
        """Whether a number is that of the illness."""
        return number > self.threshold if self.ill == "above" else number < self.threshold


ILLNESSES: dict[str, Illness] = {
    "discriminator has won": Illness(
        course.discriminator_won,
        0.3,
        "above",
        "error",
        {
            "optimizer.lr_discriminator": "lower {}",
            "discriminator.width": "lower {}",
            "loss.penalty": "set {} to r1 or gradient",
        },
    ),
    "oscillation": Illness(
        course.oscillation,
        0.55,
        "above",
        "warning",
        {
            "optimizer.lr": "lower {}",
            "optimizer.betas": "lower the first of {}",
            "schedule.decay_images": "raise {}",
            "loss.penalty": "set {} to r1 or gradient",
            "train.ema_half_life_images": "set {}",
        },
    ),
    "mode collapse": Illness(
        outputs.mode_collapse,
        0.5,
        "below",
        "error",
        {
            "optimizer.lr_discriminator": "lower {}",
            "train.batch": "raise {}",
            "loss.adversarial": "set {} to wasserstein with loss.penalty=gradient",
        },
    ),
    "dropped modes": Illness(
        outputs.dropped_modes,
        0.3,
        "above",
        "warning",
        {
            "loss.adversarial": "set {} to wasserstein with loss.penalty=gradient",
            "generator.width": "raise {}",
            "train.batch": "raise {}",
        },
    ),
    "output ignores input": Illness(
        outputs.ignores_input,
        0.25,
        "below",
        "error",
        {"loss.l1": "raise {}", "loss.nce": "raise {}", "loss.cycle_a": "raise {}", "loss.cycle_b": "raise {}"},
        "Look for shuffled pairs with `i2i doctor DATA`.",
    ),
    "identity copied": Illness(
        outputs.identity_copied,
        0.3,
        "below",
        "error",
        {
            "loss.identity": "lower {}",
            "loss.cycle_a": "lower {}",
            "loss.cycle_b": "lower {}",
            "loss.nce": "lower {}",
            "discriminator.width": "raise {}",
        },
    ),
    "colours inverted": Illness(
        outputs.colours_inverted,
        -0.2,
        "below",
        "warning",
        {"loss.identity": "raise {}", "loss.l1": "raise {}", "train.seed": "try another {}"},
        "Without pairs this is right where A and B are opposites, as drawings in black on white and in white on black. "
        "Where it is wrong, the preset modern_cut keeps colours better.",
    ),
    "hues exchanged": Illness(
        outputs.hues_exchanged,
        -0.4,
        "below",
        "warning",
        {"generator.recolour": "try another {}", "loss.l1": "raise {}", "train.seed": "try another {}"},
        "Without pairs this is right where the task is to change colours. A few pairs in val settle it: the training "
        "then compares with the truth.",
    ),
    "checkerboard": Illness(
        outputs.checkerboard,
        3.0,
        "above",
        "warning",
        {"generator.upsample": "set {} to resize or nearest or bilinear as the network allows"},
        "Train longer: young models show it most.",
    ),
    "steganography": Illness(
        networks.steganography,
        1.0,
        "above",
        "warning",
        {"loss.cycle_a": "lower {}", "loss.cycle_b": "lower {}", "train.precision": "set {} to bf16"},
    ),
    "memorised pictures": Illness(
        outputs.memorised,
        0.3,
        "below",
        "warning",
        {"data.flip": "set {} to true", "generator.width": "lower {}", "schedule.images": "lower {}"},
        "Train on more pictures.",
    ),
    "discriminator overfits": Illness(
        networks.discriminator_overfits,
        0.4,
        "above",
        "warning",
        {
            "data.flip": "set {} to true",
            "discriminator.width": "lower {}",
            "loss.penalty": "set {} to r1",
            "discriminator.spectral_norm": "set {} to true",
        },
        "Train on more pictures, or stop earlier.",
    ),
    "non-finite values": Illness(
        networks.non_finite,
        0.0,
        "above",
        "error",
        {"optimizer.lr": "lower {}", "optimizer.clip_norm": "set {} to 1", "train.precision": "set {} to fp32"},
    ),
    "data-bound": Illness(
        speed.data_bound,
        1.0,
        "above",
        "warning",
        {"data.workers": "raise {}", "data.cache": "set {} to ram or disk"},
    ),
    "host-bound": Illness(
        speed.host_bound,
        0.5,
        "above",
        "warning",
        {"train.batch": "raise {}", "train.compile": "set {} to true"},
    ),
    "norm statistics differ": Illness(
        networks.norm_statistics_differ,
        0.2,
        "above",
        "error",
        {"train.norm_statistics": "change {}", "train.batch": "raise {}", "generator.norm": "set {} to instance"},
    ),
}
