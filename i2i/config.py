"""Reading the settings of a run from YAML, and saying clearly what is wrong with them.

A file in `configs/` (a preset, found by its name) or the user's own is read, `--set a.b=c` is laid
over it, and the result is checked as a whole: an unknown key is an error that names the nearest one.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from i2i.errors import ConfigError
from i2i.settings import NETWORK_SETTINGS, Config

# What other projects call our settings; a newcomer's first guesses.
KNOWN_ELSEWHERE = {
    "learning_rate": "optimizer.lr",
    "beta1": "optimizer.betas",
    "batch_size": "train.batch",
    "accumulate_grad_batches": "train.accumulate",
    "gradient_accumulation_steps": "train.accumulate",
    "gradient_clip_val": "optimizer.clip_norm",
    "max_grad_norm": "optimizer.clip_norm",
    "ema": "train.ema_half_life_images",
    "ema_decay": "train.ema_half_life_images",
    "n_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "n_epochs_decay": "schedule.decay_epochs",
    "load_size": "data.resize_px",
    "crop_size": "data.crop_px",
    "image_size": "data.crop_px",
    "num_workers": "data.workers",
    "num_threads": "data.workers",
    "lambda_l1": "loss.l1",
    "gan_mode": "loss.adversarial",
    "ngf": "generator.width",
    "ndf": "discriminator.width",
    "nz": "generator.latent",
    "latent_dim": "generator.latent",
    "lambda_a": "loss.cycle_a",
    "lambda_b": "loss.cycle_b",
    "lambda_identity": "loss.identity",
    "pool_size": "loss.history",
    "dataroot": "data.path",
}

S = TypeVar("S", bound=BaseModel)


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a preset by name or a YAML file by path, lay `a.b=c` overrides over it, and check it.

    Raises ConfigError naming the file and the setting.
    """
    path = find_config(source)
    values = read_yaml(path)
    for override in overrides:
        _apply(values, override)
    return parse(Config, values, str(path))


def find_config(source: str | Path) -> Path:
    """Return the file of a preset name or of a path; raises ConfigError with the nearest preset."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ConfigError(f"{path} does not exist. Give a YAML file, or a preset: {', '.join(preset_names())}.")
    preset = presets_folder() / f"{source}.yaml"
    if preset.parent == presets_folder() and preset.is_file():
        return preset
    raise ConfigError(
        f"{source} is no preset.{did_you_mean(str(source), preset_names())} Presets: {', '.join(preset_names())}."
    )


def presets_folder() -> Path:
    """Return the folder of the presets: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def preset_names() -> list[str]:
    """Names that `i2i train` takes, sorted."""
    return sorted(path.stem for path in presets_folder().glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings. Start from a preset: {', '.join(preset_names())}.")
    return values


def to_yaml(config: Config) -> str:
    """Return all settings of `config` as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse(model: type[S], values: object, source: str, prefix: str = "") -> S:
    """Check `values` against `model`; raises ConfigError that speaks of dotted names under `prefix`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        known = [f"{prefix}{name}" for name in setting_names(model)]
        lines = [_explain(dict(problem), known, prefix) for problem in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines[:3])) from None


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted name of every setting in `model`, sections themselves included."""
    for name, field in model.model_fields.items():
        yield name
        members = [field.annotation, *get_args(field.annotation)]
        for member in members:
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield from (f"{name}.{inner}" for inner in setting_names(member))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X?" for the nearest of `known`, or nothing."""
    known = list(known)
    leaf = name.rsplit(".", 1)[-1]
    elsewhere = KNOWN_ELSEWHERE.get(leaf.lower())
    if elsewhere in known:
        return f" Did you mean {elsewhere}?"
    by_leaf = {one.rsplit(".", 1)[-1]: one for one in known}
    if leaf in by_leaf:
        return f" Did you mean {by_leaf[leaf]}?"
    near = difflib.get_close_matches(name, known, 1, 0.75) or [
        by_leaf[one] for one in difflib.get_close_matches(leaf, by_leaf, 1, 0.6)
    ]
    return f" Did you mean {near[0]}?" if near else ""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, old value, new value) for every setting that differs between two dumps."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}", before, after


def _apply(values: dict[str, Any], override: str) -> None:
    """Lay one `a.b=c` over nested settings; c is read as YAML."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {override} is not of the form section.name=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.reader.ReaderError:  # characters that YAML does not have, as in names that are not UTF-8
        value = text
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML.") from None
    *sections, leaf = name.split(".")
    for section in sections:
        if values.get(section) is None:  # not there, or an empty section of a YAML file
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} is a value and has no settings of its own.")
    values[leaf] = value


def _explain(problem: dict[str, Any], known: Sequence[str], prefix: str) -> str:
    """Put one of pydantic's problems into our words."""
    parts = [str(part) for part in problem["loc"]]
    kind = ""
    choices = NETWORK_SETTINGS.get(parts[0], {})
    if len(parts) > 2 and parts[1] in choices:  # a union's tag stands in the location like a section
        tag = parts.pop(1)
        kind = f" of {tag}"
        known = [f"{parts[0]}.{field}" for field in choices[tag].model_fields]
    name = prefix + ".".join(parts)
    if problem["type"] == "extra_forbidden":
        return f"{name} is not a setting{kind}.{did_you_mean(name, known)}"
    if problem["type"] == "missing":
        return f"{name} is missing."
    message = str(problem["msg"]).removeprefix("Value error, ")
    received = problem["input"]
    shown = "" if isinstance(received, dict | BaseModel) else f" is {received!r}"
    return f"{name}{shown}: {message[0].lower()}{message[1:]}."
