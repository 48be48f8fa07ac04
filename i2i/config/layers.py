"""Settings in layers: a file on its bases, and overrides on both.

A file with `base: pix2pix` holds only what differs from that preset, or from another file. Mappings are merged;
lists, numbers and null replace what they lie on. A choice, as of a network by its name, drops the settings of
the one below it.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from i2i.config.aliases import with_our_names
from i2i.config.optimizers import DEFAULT_OPTIMIZER
from i2i.config.presets import find_config
from i2i.config.problems import CHOICES, show_value
from i2i.config.yamlfile import read_value, read_yaml
from i2i.errors import ConfigError

Values = dict[str, Any]
BASE = "base"
"""What a file calls the preset or file that it lies on."""
SET = "--set"
"""Where overrides come from, unless they say otherwise."""
_PAIRS = (("epochs", "images"), ("decay_epochs", "decay_images"))
_UNITS = (*_PAIRS, *(pair[::-1] for pair in _PAIRS))
"""Settings of the schedule that say the same in two units: the higher layer's counts."""


@dataclass(frozen=True)
class Layers:
    """Settings from the lowest layer up, each with where it was written; layers are of no matter to equality."""

    layers: tuple[tuple[str, Values], ...] = field(default=(), compare=False)
    file: str = field(default="", compare=False)

    def merged(self) -> Values:
        """Return the settings as the highest layer sees them."""
        values: Values = {}
        for _, layer in self.layers:
            _merge(values, layer)
        return values

    def origin(self, name: str, problem: str = "") -> str:
        """Return where a setting was written; for one that is missing, where the section above it was, or the file.

        problem: what is wrong; of a section, only the settings that it mentions matter.
        """
        while name:
            given = [(source, value) for source, layer in self.layers for value in _find(layer, name)]
            if given and not isinstance(given[-1][1], dict):
                return given[-1][0]
            if given:
                top = {part: source for source, value in given if isinstance(value, dict) for part in value}
                mentioned = [top[word] for word in re.findall(r"\w+", problem) if word in top]
                sources = [source for source, _ in given if source in (mentioned or top.values())]
                return " with ".join(dict.fromkeys(sources))
            name = name.rpartition(".")[0]
        return self.file


def read_layers(path: Path) -> Layers:
    """Return the settings of a YAML file and of those that it lies on; raises ConfigError."""
    found: list[tuple[Path, Values]] = []
    following: Path | None = path
    while following:
        if any(following.samefile(one) for one, _ in found):
            circle = " → ".join(str(one) for one in (*(one for one, _ in found), following))
            raise ConfigError(f"{found[-1][0]}: {BASE} leads back to {following}: {circle}. Remove one of them.")
        values = with_our_names(read_yaml(following), str(following))
        found.append((following, values))
        following = _find_base(following, values.pop(BASE, None))
    return Layers(tuple((str(one), values) for one, values in reversed(found)), str(path))


def override(layers: Layers, overrides: Iterable[str], written: Mapping[str, str]) -> Layers:
    """Return layers under overrides, `a.b=c`; raises ConfigError.

    written: for overrides that do not come from --set, what to call them, by their name.
    """
    given = [_split(one) for one in overrides]
    given.sort(key=lambda one: not _chooses(one[0]))  # a choice drops what lies below it, but nothing of the overrides
    added = list[tuple[str, Values]]()
    for name, text in given:
        source = written.get(name, SET)
        added.append((source, with_our_names(_nest(name, _read(name, text)), source)))
    return Layers((*layers.layers, *added), layers.file)


def _find_base(path: Path, base: object) -> Path | None:
    """Return the file that the file at `path` lies on: a preset by name, or a path from its folder."""
    if base is None:
        return None
    if not isinstance(base, str):
        raise ConfigError(f"{path}: {BASE} is {show_value(base)}. Give the name of a preset, or a YAML file.")
    try:
        return find_config(path.parent / base if base.endswith((".yaml", ".yml")) else base)
    except ConfigError as error:
        raise ConfigError(f"{path}: {BASE} is {show_value(base)}. {error}") from None


def _merge(values: Values, layer: Values, section: str = "") -> None:
    """Lay settings over those in `values`, which belong to `section`; a layer stays as it is."""
    if not section and layer.get("algorithm", values.get("algorithm")) != values.get("algorithm"):
        values.pop("loss", None)  # which are the algorithm's own
    default = DEFAULT_OPTIMIZER if section == "optimizer" else None
    if section in CHOICES and "name" in layer and layer["name"] != values.get("name", default):
        values.clear()
    for unit, other in _UNITS if section == "schedule" else ():
        if layer.get(unit) is not None and other not in layer:
            values.pop(other, None)
    for name, value in layer.items():
        below = values.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            _merge(below, value, f"{section}.{name}".lstrip("."))
        else:
            values[name] = copy.deepcopy(value)


def _find(values: object, name: str) -> Iterator[object]:
    """Yield the value of a dotted name, if settings hold it."""
    for part in name.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return
        values = values[part]
    yield values


def _split(override: str) -> tuple[str, str]:
    """Return the name and the text of the value in `a.b=c`; raises ConfigError."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"{SET} {override} is not of the form section.name=value.")
    return name, text


def _chooses(name: str) -> bool:
    """Whether a setting decides which others there are."""
    section, _, leaf = name.rpartition(".")
    return name == "algorithm" or (leaf == "name" and section in CHOICES)


def _read(name: str, text: str) -> Any:
    """Return the value of an override, which is read as YAML."""
    if text.startswith("{name}"):  # a pattern of files, which looks like a mapping
        return text
    try:
        return read_value(text)
    except yaml.reader.ReaderError:  # characters that YAML does not allow, as in names that are not UTF-8
        return text
    except yaml.YAMLError:
        raise ConfigError(f"{SET} {name}={text}: the value is not valid YAML.") from None


def _nest(name: str, value: Any) -> Values:
    """Return a.b=c as {a: {b: c}}."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return value
