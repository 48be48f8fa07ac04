"""CycleGAN: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Networks", 2017.

Beside the paper: a and b are pictures of the two domains (its x and y), G_A2B and G_B2A the generators
(its G and F), D_A and D_B the discriminators (its D_X and D_Y).
"""

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from i2i import losses
from i2i.algorithms.base import Algorithm, Batch, Outputs, Phase, accuracies, build_discriminator, build_generator
from i2i.algorithms.history import History
from i2i.config import parse
from i2i.data.sets import HISTORY, derive_seed
from i2i.settings import Config, Section


class CycleGANSettings(Section):
    """The objective of CycleGAN."""

    adversarial: Literal["non_saturating", "least_squares"] = "least_squares"
    """Adversarial loss: least squares as in section 4, or BCE on logits."""
    cycle_a: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the way from A to B and back, the paper's lambda."""
    cycle_b: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the way from B to A and back."""
    identity: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the identity term, as a part of the cycle weight; keeps colours (section 5.2)."""
    history: Annotated[int, Field(ge=0)] = 50
    """Past fakes from which the discriminators learn, too; 0 shows them only the newest."""


class CycleGAN(Algorithm):
    """Two generators against two discriminators, held together by the way back."""

    Settings = CycleGANSettings
    data = "unpaired"
    phases = (
        Phase("generators", ("G_A2B", "G_B2A")),
        Phase("discriminators", ("D_A", "D_B"), judges=True),
    )

    def __init__(self, config: Config):
        super().__init__(config)
        settings = parse(CycleGANSettings, config.loss, config.algorithm, "loss.")
        self.identity = settings.identity > 0
        if self.identity and config.data.channels_a != config.data.channels_b:
            self.identity = False
            self.notes.append(
                f"loss.identity is off: it needs A and B to have as many channels, and they have "
                f"{config.data.channels_a} and {config.data.channels_b}."
            )
        # Eq. 3 and section 5.2. Section 7.1: D's objective is halved.
        self.weights = {
            **dict.fromkeys(("G_A2B_GAN", "G_B2A_GAN"), 1.0),
            **{"G_cycle_A": settings.cycle_a, "G_cycle_B": settings.cycle_b},
            **{
                "G_identity_A": settings.cycle_a * settings.identity,
                "G_identity_B": settings.cycle_b * settings.identity,
            },
            "D_A_real": 0.5,
            "D_A_fake": 0.5,
            "D_B_real": 0.5,
            "D_B_fake": 0.5,
        }
        self.adversarial = losses.ADVERSARIAL[settings.adversarial]
        self.generators = {"A2B": "G_A2B", "B2A": "G_B2A"}
        self.networks = {
            "G_A2B": build_generator(config, "A2B"),
            "G_B2A": build_generator(config, "B2A"),
            "D_A": build_discriminator(config, config.data.channels_a),
            "D_B": build_discriminator(config, config.data.channels_b),
        }
        self.history_size = settings.history
        self.draw_as(0)

    def forward(self, batch: Batch) -> Outputs:
        """Both translations, both ways back, and what each generator makes of its own target domain."""
        a, b = batch
        a2b, b2a = self.networks["G_A2B"], self.networks["G_B2A"]
        fake_b, fake_a = a2b(a), b2a(b)
        outputs = {"fake_a": fake_a, "fake_b": fake_b, "back_a": b2a(fake_b), "back_b": a2b(fake_a)}
        if self.identity:
            outputs |= {"same_a": b2a(a), "same_b": a2b(b)}
        return outputs

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 3, split into its terms and its two players."""
        a, b = batch
        if phase == "discriminators":
            return self._judge("D_A", a, outputs["fake_a"]) | self._judge("D_B", b, outputs["fake_b"])
        terms = {
            "G_A2B_GAN": self.adversarial.g(None, self.networks["D_B"](outputs["fake_b"]).score),  # eq. 1, section 4
            "G_B2A_GAN": self.adversarial.g(None, self.networks["D_A"](outputs["fake_a"]).score),
            "G_cycle_A": losses.l1(outputs["back_a"], a),  # eq. 2
            "G_cycle_B": losses.l1(outputs["back_b"], b),
        }
        if self.identity:  # section 5.2
            terms |= {
                "G_identity_A": losses.l1(outputs["same_a"], a),
                "G_identity_B": losses.l1(outputs["same_b"], b),
            }
        return terms

    def _judge(self, name: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Eq. 1 for one discriminator, on fakes out of the history (section 4)."""
        judge = self.networks[name]
        shown = self.history[name.removeprefix("D_")].exchange(fake.detach())
        real_score, fake_score = judge(real).score, judge(shown).score
        real_term, fake_term = self.adversarial.d(real_score, fake_score)
        terms = {f"{name}_real": real_term, f"{name}_fake": fake_term}
        return terms | accuracies(name, self.adversarial, real_score, fake_score)

    def draw_as(self, rank: int) -> None:
        """Begin histories of this process's own fakes."""
        seeds = (derive_seed(self.config.train.seed, HISTORY, 2 * rank + side) for side in (0, 1))
        self.history = {side: History(self.history_size, seed) for side, seed in zip("AB", seeds, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """Return the histories."""
        return {side: history.state_dict() for side, history in self.history.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the histories, to where the networks are."""
        device = next(self.networks["D_A"].parameters()).device
        for side, history in self.history.items():
            history.load_state_dict(state[side], device)
