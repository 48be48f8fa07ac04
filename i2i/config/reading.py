"""Reading the settings of a run from YAML, with clear errors.

A preset in `configs/` or the user's own file is read, overrides (`--set a.b=c`) are applied, and the result
is validated as a whole: an unknown key is an error that names the nearest one.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from i2i.config.optimizers import DEFAULT_OPTIMIZER
from i2i.config.presets import find_config, preset_names
from i2i.config.problems import CHOICES, explain
from i2i.config.settings import Config
from i2i.errors import ConfigError

S = TypeVar("S", bound=BaseModel)
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, which not every PyYAML was built with


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a preset by name or a YAML file by path, apply `a.b=c` overrides, and validate it.

    An override that names another network, as `generator.name=resnet`, drops the settings of the file's network.
    Raises ConfigError, which names the setting and where it was set: in the file or by an override.
    """
    path = find_config(source)
    values = read_yaml(path)
    given = [_split(override) for override in overrides]
    for name, text in sorted(given, key=lambda one: not _names_choice(one[0])):  # it drops the section's others
        _apply(values, name, text)
    return parse(Config, values, str(path), overridden=[name for name, _ in given])


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raises ConfigError."""
    try:
        values = _load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings. Start from a preset: {', '.join(preset_names())}.")
    return values


def _load(text: str) -> Any:
    """Read YAML; raises yaml.YAMLError.

    libyaml needs a tenth of the time. What it refuses is read again by Python, which knows more (half a surrogate pair
    in a path, say) and says better what is wrong.
    """
    with contextlib.suppress(yaml.YAMLError, UnicodeEncodeError):
        return _SafeLoader(text).get_single_data()
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None


def to_yaml(config: Config) -> str:
    """Return all settings of `config` as YAML, from which `load_config` reads an equal config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse(model: type[S], values: object, source: str, prefix: str = "", overridden: Sequence[str] = ()) -> S:
    """Validate `values` against `model`; raises ConfigError with dotted names under `prefix`.

    overridden: names of settings that came from --set instead of `source`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = list(explain(error, model, values, prefix).items())[:3]
        lines = [f"{_origin(name, source, overridden)}: {name}{reason}" for name, reason in problems]
        raise ConfigError("\n".join(lines)) from None


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, old value, new value) for every setting that differs between two dumps."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}", before, after


def _split(override: str) -> tuple[str, str]:
    """Return the name and the text of the value in `a.b=c`; raises ConfigError."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {override} is not of the form section.name=value.")
    return name, text


def _names_choice(name: str) -> bool:
    section, _, leaf = name.rpartition(".")
    return leaf == "name" and section in CHOICES


def _apply(values: dict[str, Any], name: str, text: str) -> None:
    """Apply one override to nested settings; `text` is read as YAML."""
    try:
        value = _load(text)
    except yaml.reader.ReaderError:  # characters that YAML does not allow, as in names that are not UTF-8
        value = text
    except yaml.YAMLError:
        raise ConfigError(f"--set {name}={text}: the value is not valid YAML.") from None
    *sections, leaf = name.split(".")
    for section in sections:
        if values.get(section) is None:  # missing, or an empty section of a YAML file
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(f"--set {name}={text}: {section} is a value and has no settings of its own.")
    default = DEFAULT_OPTIMIZER if sections == ["optimizer"] else None
    if _names_choice(name) and value != values.get("name", default):
        values.clear()
    values[leaf] = value


def _origin(name: str, source: str, overridden: Sequence[str]) -> str:
    """Return where a setting or section was set."""
    if any(f"{name}.".startswith(f"{one}.") for one in overridden):
        return "--set"
    return f"{source} with --set" if any(one.startswith(f"{name}.") for one in overridden) else source
