"""The small trained models that ship with i2i: `models/NAME.safetensors`, each with its card and a picture.

A card (`NAME.yaml`) says what a model does, what it was trained on, by which command, and how it scored.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from i2i.config.names import did_you_mean
from i2i.errors import UsageError

SHEET = ("input", "output", "truth")
"""Titles of the columns of a translating model's picture, which shows test pictures."""


class Card(BaseModel):
    """What a person should know of a shipped model; `tools/train_models.py` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    title: str
    """What it does, in a few words."""
    data: str
    """The pictures that it was trained on."""
    licence: str
    """Licence of the model."""
    rights: str
    """Licence and owner of the pictures."""
    limits: str
    """What it does badly."""
    command: str
    """The command that trained it."""
    trained: str
    """Device, images and time of the training."""
    scores: dict[str, float]
    """On the test split; L1 in 0 to 255, KID times 1000."""
    use: str
    """A command to try it."""


def shipped_folder() -> Path:
    """Return the folder of the shipped models: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "shipped_models"
    return installed if installed.is_dir() else package.parent / "models"


def shipped_names() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(path.stem for path in shipped_folder().glob("*.safetensors"))


def find_shipped(name: str) -> Path | None:
    """Return the file of the shipped model `name`, or None if none has that name."""
    return shipped_folder() / f"{name}.safetensors" if name in shipped_names() else None


def card_of(path: Path) -> Card | None:
    """Return the card of a model file that ships with i2i; None for any other file."""
    return read_card(path.stem) if path.parent == shipped_folder() else None


def read_card(name: str) -> Card:
    """Return the card of a shipped model; raises UsageError for an unknown name."""
    import yaml

    if name not in shipped_names():
        raise UsageError(
            f"Unknown model {name}.{did_you_mean(name, shipped_names())} Shipped: {', '.join(shipped_names())}.\n"
            "For a model file or a run of your own, use `i2i info`."
        )
    return Card.model_validate(yaml.safe_load((shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8")))
