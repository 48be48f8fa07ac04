"""What a shell completes: presets, settings after --set, and models."""

import click
from click.shell_completion import CompletionItem


def presets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the presets that begin so; files complete, too, since a preset's place takes a YAML file."""
    from i2i.config.presets import preset_names

    found = [CompletionItem(name) for name in preset_names() if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")]


def settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the settings that begin so, as `train.batch=`; sections end in a dot."""
    from i2i.config import setting_names
    from i2i.config.settings import Config

    known = dict.fromkeys(setting_names(Config))  # in order, and each once
    if incomplete.startswith("loss."):
        from i2i.algorithms import ALGORITHMS  # loads torch

        losses = [one.Settings for one in ALGORITHMS.values()]
        known = dict.fromkeys(f"loss.{name}" for one in losses for name in setting_names(one))
    sections = {above for name in known if f"{(above := name.rpartition('.')[0])}.over_images" not in known} | {"loss"}
    inside = incomplete.count(".")
    near = [name for name in known if name.startswith(incomplete) and name.count(".") == inside]
    return [CompletionItem(f"{name}." if name in sections else f"{name}=") for name in near]


def models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped models that begin so; files and folders complete, too."""
    from i2i.models.shipped import shipped_names

    found = [CompletionItem(name) for name in shipped_names() if name.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")]
