"""Diagnostics of a training under way: a discriminator that has won, mode collapse, colours inverted or
exchanged, slow steps.

A discriminator that is nearly always right is no problem by itself: healthy conditional GANs and GANs
on few pictures work that way. It has won when, over many steps, it is right at almost no loss and nothing
else that the generator learns from gets better.
"""

from typing import Any

from i2i.config.settings import AlarmSettings, Config

_WINDOW_S, _WINDOW_STEPS = 30.0, 5  # over which a speed is measured: both at least
_SLOW, _RECOVERED = 1 / 3, 1 / 2  # shares of the best speed: slow below the one twice in a row, until above the other


class Diagnostics:
    """Follows the log rows and samples of a run and returns warnings, each once until its cause has passed."""

    def __init__(self, config: Config, draws_noise: bool):
        self.settings: AlarmSettings = config.alarms
        self.lr = config.optimizer.lr
        self.lr_discriminator = config.optimizer.lr_discriminator or self.lr
        self.draws_noise = draws_noise
        self.won: dict[str, dict[str, Any]] = {}  # by discriminator: first step, G's other terms then, whether warned
        self.alike: dict[str, Any] = {}  # the same for samples without diversity
        self.inverted: dict[str, dict[str, Any]] = {}  # the same for wrong colours, by score
        self.others: dict[str, float] = {}  # G's other terms as last seen: a row may lack them

    def check_losses(self, steps: int, terms: dict[str, float]) -> list[str]:
        """Return warnings on the mean terms of one log row, `steps` train steps into the run."""
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
                warnings.append(self._won_warning(name, accuracy, loss))
        return warnings

    def check_samples(self, steps: int, scores: dict[str, float]) -> list[str]:
        """Return warnings on the scores of samples, `steps` train steps into the run."""
        return [*self._check_diversity(steps, scores), *self._check_colours(steps, scores)]

    def _check_diversity(self, steps: int, scores: dict[str, float]) -> list[str]:
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
        return [self._collapse_warning(scores)]

    def _check_colours(self, steps: int, scores: dict[str, float]) -> list[str]:
        warnings = []
        least = {"brightness": self.settings.brightness, "hue": self.settings.hue}
        for name in (key for key in scores if key.partition(".")[0] in least):
            kind, _, direction = name.partition(".")
            if scores[name] >= least[kind]:
                self.inverted.pop(name, None)
                continue
            since = self.inverted.setdefault(name, {"steps": steps, "said": False})
            if steps - since["steps"] >= self.settings.inverted_steps and not since["said"]:
                since["said"] = True
                warnings.append(self._colour_warning(kind, direction, scores[name]))
        return warnings

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far."""
        return {"won": self.won, "alike": self.alike, "inverted": self.inverted, "others": self.others}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.won, self.alike, self.others = state["won"], state["alike"], state["others"]
        self.inverted = state.get("inverted", {})

    def _won_warning(self, name: str, accuracy: float, loss: float) -> str:
        return (
            f"discriminator {name} has won: right about {accuracy:.1%} at a loss of {loss:.2g} for "
            f"{self.settings.steps:,} steps, and the generator got no better. In a new run, lower "
            f"optimizer.lr_discriminator (now {self.lr_discriminator:g}), say to "
            f"{min(self.lr_discriminator, self.lr) / 4:g}, or discriminator.width."
        )

    def _collapse_warning(self, scores: dict[str, float]) -> str:
        return (
            f"the samples are alike (mode collapse): they differ {scores['diversity']:.2f} times as much as the data, "
            f"{scores['near_duplicates']:.0%} are near duplicates, for {self.settings.alike_steps:,} steps. "
            f"In a new run, lower optimizer.lr_discriminator (now {self.lr_discriminator:g}) or "
            f"optimizer.lr ({self.lr:g}), or raise train.batch."
        )

    def _colour_warning(self, kind: str, direction: str, correlation: float) -> str:
        lasted = f"for {self.settings.inverted_steps:,} steps"
        if kind == "brightness":
            return (
                f"the colours of {direction} have come out inverted: {lasted}, light has been dark (correlation of "
                f"the brightness {correlation:.2f}). Where A and B are opposites, that is right. Otherwise start again "
                "with another train.seed, or raise loss.identity."
            )
        return (
            f"the hues of {direction} have come out exchanged: {lasted}, red has been green, or yellow blue "
            f"(correlation {correlation:.2f}). Where colours must change, that is right. Otherwise start again with "
            "another train.seed, or with the other generator.recolour, kept or changed."
        )


class SpeedCheck:
    """Notices when the steps of a training on a CPU take several times as long as before."""

    def __init__(self, threads: int):
        """threads: how many compute. One alone waits for no other and is never checked."""
        self.threads = threads
        self.best = 0.0  # images a second
        self.slow_windows = 0
        self.warned = False
        self.images, self.seconds, self.steps = 0, 0.0, 0  # of the current window

    def add(self, images: int, seconds: float) -> list[str]:
        """Count a step of so many images and seconds; return a warning, once until the speed is back."""
        self.images, self.seconds, self.steps = self.images + images, self.seconds + seconds, self.steps + 1
        if self.threads < 2 or self.seconds < _WINDOW_S or self.steps < _WINDOW_STEPS:
            return []
        speed = self.images / self.seconds
        self.images, self.seconds, self.steps = 0, 0.0, 0
        self.best = max(self.best, speed)
        self.slow_windows = self.slow_windows + 1 if speed < _SLOW * self.best else 0
        self.warned = self.warned and speed < _RECOVERED * self.best
        if self.slow_windows < 2 or self.warned:
            return []
        self.warned = True
        return [
            f"training has slowed to {speed:.2g} images a second, from {self.best:.2g}. Other programs seem to use the "
            f"processor, so that its {self.threads} threads wait for each other. Stop those programs; or press Ctrl-C "
            "and go on with --resume, with OMP_NUM_THREADS=1 in front of the command."
        ]
