"""What a newcomer should be told while a GAN trains: that the discriminator has won, or that modes collapsed.

A discriminator that is nearly always right is not ill by itself: healthy conditional GANs and GANs
on few pictures live there. It has won when, over many steps, it is right at next to no loss and
nothing else that the generator learns from gets better.
"""

from typing import Any

from i2i.config.settings import AlarmSettings, Config


class Watch:
    """Follows the log rows and samples of a run and returns warnings, each once until its cause has passed."""

    def __init__(self, config: Config, draws_noise: bool):
        self.settings: AlarmSettings = config.alarms
        self.lr = config.optimizer.lr
        self.lr_discriminator = config.optimizer.lr_discriminator or self.lr
        self.draws_noise = draws_noise
        self.won: dict[str, dict[str, Any]] = {}  # by discriminator: the step since when, G's other terms then, said
        self.alike: dict[str, Any] = {}  # the same of samples without diversity
        self.others: dict[str, float] = {}  # G's other terms as last seen: not every row must have them

    def losses(self, steps: int, terms: dict[str, float]) -> list[str]:
        """Look at the mean terms of one log row, `steps` training steps into the run."""
        warnings = []
        others = self.others = self.others | {
            name: value for name, value in terms.items() if name.startswith("G_") and not name.endswith("_GAN")
        }
        for name in (key.removesuffix("_real_accuracy") for key in terms if key.endswith("_real_accuracy")):
            accuracy = (terms[f"{name}_real_accuracy"] + terms[f"{name}_fake_accuracy"]) / 2
            loss = (terms[f"{name}_real"] + terms[f"{name}_fake"]) / 2
            if accuracy <= self.settings.d_accuracy or loss >= self.settings.d_loss:
                self.won.pop(name, None)
                continue
            since = self.won.setdefault(name, {"steps": steps, "others": others, "said": False})
            if any(others[key] < (1 - self.settings.g_fall) * value for key, value in since["others"].items()):
                self.won[name] = {"steps": steps, "others": others, "said": False}  # the generator still learns
            elif steps - since["steps"] >= self.settings.steps and not since["said"]:
                since["said"] = True
                warnings.append(self._won(name, accuracy, loss))
        return warnings

    def samples(self, steps: int, scores: dict[str, float]) -> list[str]:
        """Look at the diversity of samples, `steps` training steps into the run."""
        if not self.draws_noise or "diversity" not in scores:
            return []
        excess = scores["near_duplicates"] - scores["real_near_duplicates"]
        if scores["diversity"] >= self.settings.diversity and excess <= self.settings.near_duplicates:
            self.alike = {}
            return []
        self.alike = self.alike or {"steps": steps, "said": False}
        if steps - self.alike["steps"] < self.settings.alike_steps or self.alike["said"]:
            return []
        self.alike["said"] = True
        return [self._alike(scores)]

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far."""
        return {"won": self.won, "alike": self.alike, "others": self.others}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        self.won, self.alike, self.others = state["won"], state["alike"], state["others"]

    def _won(self, name: str, accuracy: float, loss: float) -> str:
        return (
            f"discriminator {name} has won: right about {accuracy:.1%} at a loss of {loss:.2g} for "
            f"{self.settings.steps:,} steps, and the generator got no better. In a new run, lower "
            f"optimizer.lr_discriminator (now {self.lr_discriminator:g}), say to "
            f"{min(self.lr_discriminator, self.lr) / 4:g}, or discriminator.width."
        )

    def _alike(self, scores: dict[str, float]) -> str:
        return (
            f"the samples are alike (mode collapse): they differ {scores['diversity']:.2f} times as much as the data, "
            f"{scores['near_duplicates']:.0%} are near duplicates, for {self.settings.alike_steps:,} steps. "
            f"In a new run, lower optimizer.lr_discriminator (now {self.lr_discriminator:g}) or "
            f"optimizer.lr ({self.lr:g}), or raise train.batch."
        )
