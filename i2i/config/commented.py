"""Settings as a YAML file that explains itself, and as a JSON schema for editors."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from i2i.config.aliases import SAME
from i2i.config.layers import BASE
from i2i.config.problems import CHOICES, what_it_takes
from i2i.config.section import Ramp
from i2i.config.settings import Config

_WIDTH = 110
_LISTS = ("path", "loggers", "diffaugment")
"""Settings that also take one text in place of a list."""


def commented(config: Config, loss: BaseModel) -> str:
    """Return all settings as YAML, each below what it means, what it takes and its default.

    loss: the settings under `loss`, which are the algorithm's own.
    """
    return "\n".join(_lines(config, {"loss": loss}, "")) + "\n"


def _lines(section: BaseModel, replaced: Mapping[str, BaseModel], prefix: str) -> Iterator[str]:
    """Yield the lines of a section; prefix: its dotted name with a dot, empty for the whole."""
    indent, schema = "  " * prefix.count("."), type(section).model_json_schema()
    for own, field in type(section).model_fields.items():
        name, value = field.alias or own, replaced.get(own, getattr(section, own))
        is_section = isinstance(value, BaseModel) and not isinstance(value, Ramp)
        if not prefix:
            yield ""
        about = [" ".join((field.description or "").split())]
        if not is_section:
            about.append(f"[{_range(schema, name, prefix)}{_default(field)}]")
        for text in about:
            for line in textwrap.wrap(text, _WIDTH - len(indent) - 2):
                yield f"{indent}# {line}"
        if is_section:
            yield f"{indent}{name}:"
            yield from _lines(value, {}, f"{prefix}{name}.")
        else:
            yield f"{indent}{name}: {in_one_line(value)}"


def _range(schema: Mapping[str, Any], name: str, prefix: str) -> str:
    """Say what a setting takes; of the name of a network, all that there are."""
    chosen = CHOICES.get(prefix.rstrip(".")) if name == "name" else None
    return ", ".join(chosen) if chosen else what_it_takes(schema, name, prefix)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else f"; default {in_one_line(value)}"


def in_one_line(value: Any) -> str:
    """Return a value as a person would write it in YAML, in one line."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    plain = list(plain) if isinstance(plain, tuple) else plain
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=2**20, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def editor_schema(losses: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return the JSON schema of a settings file, which may hold only what differs from its base.

    losses: the settings under `loss` of each algorithm, by its name.
    """
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    schema["properties"]["algorithm"]["enum"] = list(losses)
    schema["properties"][BASE] = {"type": "string", "description": "A preset, or a YAML file, that this file lies on."}
    rules = []
    for name, model in losses.items():
        own = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        definitions |= {f"{name}.{inner}": one for inner, one in own.pop("$defs", {}).items()}
        definitions[f"{name}.loss"] = own
        condition = {"properties": {"algorithm": {"enum": [name]}}, "required": ["algorithm"]}
        rules.append({"if": condition, "then": {"properties": {"loss": {"$ref": f"#/$defs/{name}.loss"}}}})
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_loosened(schema), "allOf": rules}
    _add_aliases(whole)
    return whole


def _add_aliases(node: Any) -> None:
    """Let settings of a schema take, in place, what other projects call their values."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for one in inner:
        _add_aliases(one)
    properties = node.get("properties", {}) if isinstance(node, dict) else {}
    for name, setting in properties.items():
        same = [those for one, those in SAME.items() if one.rpartition(".")[2] == name]
        for values in (setting, *setting.get("anyOf", ())):
            known = [values.pop("const")] if isinstance(values.get("const"), str) else values.get("enum", [])
            if known:
                aliases = [theirs for those in same for theirs, ours in those.items() if ours in known]
                values["enum"] = [*known, *aliases]


def _loosened(node: Any) -> Any:
    """Return a schema in which nothing is required, since a base may hold it, and a section needs no name."""
    if isinstance(node, list):
        return [_loosened(one) for one in node]
    if not isinstance(node, dict):
        return node
    new = {}
    for name, one in node.items():
        if (name == "discriminator" and "propertyName" in one) or name == "required":
            continue
        new["anyOf" if name == "oneOf" else name] = _loosened(one)
    for name in _LISTS:
        if name in (inside := new.get("properties", {})) and inside[name].get("type") == "array":
            array = inside[name]
            inside[name] = {"anyOf": [array, array["items"]], "description": array.get("description", "")}
    return new
