"""CycleGAN: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Networks", 2017.

In the paper's terms: a and b are images of the two domains (x and y), G_A2B and G_B2A the generators
(G and F), D_A and D_B the discriminators (D_X and D_Y). Where both domains have labels, a generator takes the label
that its output is to have, by feature-wise scaling (Perez et al. 2018, "FiLM"): that of an image of the other domain,
or on the way back that of the image where the cycle began.
"""

import functools
from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from i2i import losses
from i2i.algorithms.adversary_settings import AdversarialName
from i2i.algorithms.base import Algorithm, Batch, Outputs, Shown
from i2i.algorithms.building import build_generator
from i2i.algorithms.labels import LabelSettings
from i2i.algorithms.nodata import covered, greyed, over_valid
from i2i.algorithms.phases import Phase
from i2i.algorithms.terms import TranslationSettings
from i2i.config.section import Weight, is_ever_on
from i2i.config.settings import Config
from i2i.networks.batches import together
from i2i.networks.parallel import can_be_parallel, run

_HALVES = (
    ("G_A2B", "G_cycle_A", "G_identity_B", "G_repelling_B", "D_A"),
    ("G_B2A", "G_cycle_B", "G_identity_A", "G_repelling_A", "D_B"),
)
"""The terms of each cycle, and of each discriminator, have nothing but weights in common."""
Images = tuple[Tensor, ...]


class CycleGANSettings(LabelSettings, TranslationSettings):
    """The objective of CycleGAN."""

    adversarial: AdversarialName = "least_squares"
    """Adversarial loss; least squares as in section 4."""
    history: Annotated[int, Field(ge=0)] = 50
    """Size of the image pool: past fakes that the discriminators also learn from (section 4); 0 is none."""
    cycle_a: Weight = 10.0
    """Weight of the cycle from A to B and back, the paper's lambda."""
    cycle_b: Weight = 10.0
    """Weight of the cycle from B to A and back."""
    identity: Weight = 0.5
    """Weight of the identity term, relative to the cycle weight; it preserves colours (section 5.2)."""


class CycleGAN(Algorithm):
    """Two generators against two discriminators, tied together by cycle consistency."""

    Settings = CycleGANSettings
    recordable = leaves_out_nodata = True
    data = "unpaired"
    reads_labels = True
    term_prefixes = ("G_cycle_A_", "G_cycle_B_")

    def __init__(self, config: Config):
        super().__init__(config)
        a, b = config.data.side_channels
        self.identity = is_ever_on(self.settings.identity)
        if self.identity and a != b:
            self.identity = False
            self.notes.append(f"loss.identity is off: it needs equal channels in A and B, which have {a} and {b}.")
        self.generators = {"A2B": "G_A2B", "B2A": "G_B2A"}
        self.networks |= {name: build_generator(config, direction) for direction, name in self.generators.items()}
        for side, channels in (("A", a), ("B", b)):
            self.add_discriminator(f"D_{side}", channels, side=side, share=0.5)  # section 7.1: D's objective is halved
        self.phases = (Phase("generators", ("G_A2B", "G_B2A")), *self.discriminator_phases("discriminators"))
        self.reseed(0)
        if config.train.is_plain and not self.settings.draws and can_be_parallel(self.networks.values()):
            self.halves = _HALVES

    def forward(self, batch: Batch) -> Outputs:
        """Both translations, both cycles, and what each generator makes of its own target domain."""
        a, b = batch["a"], batch["b"]
        of_a, of_b = self.labels.of(batch, "a"), self.labels.of(batch, "b")
        a2b = functools.partial(together, self.networks["G_A2B"], condition=of_b)
        b2a = functools.partial(together, self.networks["G_B2A"], condition=of_a)
        of_a2b, of_b2a = ((a, b), (b, a)) if self.identity else ((a,), (b,))
        cycles = functools.partial(_cycle, a2b, b2a, of_a2b), functools.partial(_cycle, b2a, a2b, of_b2a)
        (fake_b, back_a, *same_b), (fake_a, back_b, *same_a) = run(cycles, at_once=bool(self.halves))
        outputs = {"fake_a": fake_a, "fake_b": fake_b, "back_a": back_a, "back_b": back_b}
        if self.identity:
            outputs |= {"same_a": same_a[0], "same_b": same_b[0]}
        for name in [name for name in outputs if not name.startswith("fake")]:
            side = name[-1]
            outputs[name] = covered(outputs[name], batch[side], batch.get(f"valid_{side}"))
        return outputs

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """The images of each domain and the translations into it, eq. 1; grey at nodata pixels."""
        known_a, known_b = batch.get("valid_a"), batch.get("valid_b")
        real_a, fake_a = greyed(batch["a"], known_a), greyed(outputs["fake_a"], known_b)
        real_b, fake_b = greyed(batch["b"], known_b), greyed(outputs["fake_b"], known_a)
        return {
            "A": Shown(real_a, fake_a, self.labels.seen(batch, "a")),
            "B": Shown(real_b, fake_b, self.labels.seen(batch, "b")),
        }

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 3, the generators' part."""
        a, b, shown = batch["a"], batch["b"], self.shown(batch, outputs)
        known_a, known_b = batch.get("valid_a"), batch.get("valid_b")
        fools = [functools.partial(self.adversaries[side].fool, *shown[side]) for side in "BA"]
        fool_b, fool_a = run(fools, at_once=bool(self.halves))
        terms = {
            "G_A2B_GAN": fool_b,  # eq. 1, section 4
            "G_B2A_GAN": fool_a,
            "G_cycle_A": over_valid(losses.l1(outputs["back_a"], a), known_a),  # eq. 2
            "G_cycle_B": over_valid(losses.l1(outputs["back_b"], b), known_b),
            **self.terms.compare(outputs["back_a"], a, "G_cycle_A_", known_a),
            **self.terms.compare(outputs["back_b"], b, "G_cycle_B_", known_b),
        }
        if self.identity:  # section 5.2
            terms |= {
                "G_identity_A": over_valid(losses.l1(outputs["same_a"], a), known_a),
                "G_identity_B": over_valid(losses.l1(outputs["same_b"], b), known_b),
            }
        return terms

    def generator_weights(self) -> dict[str, float]:
        """Eq. 3 and section 5.2."""
        a, b, identity = self.weight("cycle_a"), self.weight("cycle_b"), self.weight("identity")
        cycle = {"G_A2B_GAN": 1.0, "G_B2A_GAN": 1.0, "G_cycle_A": a, "G_cycle_B": b}
        return {**cycle, "G_identity_A": a * identity, "G_identity_B": b * identity}


def _cycle(there: Callable[..., Images], back: Callable[..., Images], real: Images) -> Images:
    """Return the translation of the first batch, its way back, and the translations of others."""
    fake, *others = there(*real)
    return fake, *back(fake), *others
