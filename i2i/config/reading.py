"""Reading the settings of a run from YAML, with clear errors.

A preset in `configs/` or the user's own file is read with those that it lies on, overrides (`--set a.b=c`) are
applied, and the result is validated as a whole: an unknown key is an error that names the nearest one.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from i2i.config.layers import Layers, override, read_layers
from i2i.config.plugins import load_installed, load_named
from i2i.config.presets import find_config
from i2i.config.problems import explain
from i2i.config.settings import Config
from i2i.config.yamlfile import EDITOR_LINES
from i2i.errors import ConfigError

S = TypeVar("S", bound=BaseModel)


def load_config(source: str | Path, overrides: Iterable[str] = (), written: Mapping[str, str] | None = None) -> Config:
    """Read a preset by name or a YAML file by path, apply `a.b=c` overrides, and validate it.

    A file lies on another with `base: pix2pix`. What names another network, as `generator.name=resnet`, drops the
    settings of the network below it; another algorithm drops those of the loss.
    written: what errors call an override that does not come from --set, by the setting's name, as --data.
    Raises ConfigError, which names the setting and where it was written: in which file, or by which option.
    """
    layers = override(read_layers(find_config(source)), overrides, written or {})
    values = layers.merged()
    load_installed()
    named = values.get("plugins")
    if isinstance(named, list):
        load_named([one for one in named if isinstance(one, str)], layers.origin("plugins"))
    return parse(Config, values, layers).read_from(layers)


def to_yaml(config: Config) -> str:
    """Return all settings of `config` as YAML, from which `load_config` reads an equal config."""
    return EDITOR_LINES + yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse(model: type[S], values: object, source: str | Layers, prefix: str = "") -> S:
    """Validate `values` against `model`; raises ConfigError with dotted names under `prefix`.

    source: where the values come from, in words or setting by setting.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = list(explain(error, model, values, prefix).items())[:3]
        lines = [f"{_origin(source, name, reason)}: {name}{reason}" for name, reason in problems]
        raise ConfigError("\n".join(lines)) from None


def _origin(source: str | Layers, name: str, reason: str) -> str:
    return source if isinstance(source, str) else source.origin(name, reason)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, old value, new value) for every setting that differs between two dumps."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}", before, after
