"""What is wrong with settings, in our words: what was received, and what to give instead.

What a setting allows is read from its section's JSON schema, so that no message can differ from the check.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from i2i.config.aliases import SAME, SEVERAL
from i2i.config.derive import DERIVE_SETTINGS
from i2i.config.names import did_you_mean, setting_names
from i2i.config.networks import NETWORK_SETTINGS
from i2i.config.optimizers import OPTIMIZER_SETTINGS
from i2i.config.section import Section
from i2i.errors import one_line

CHOICES: dict[str, Mapping[str, type[Section]]] = {
    **NETWORK_SETTINGS,
    "optimizer": OPTIMIZER_SETTINGS,
    "data.derive": DERIVE_SETTINGS,
}
"""The sections whose `name` chooses their other settings."""
_LONGEST = 80
"""Characters of a received value that a message shows."""
_Schema = Mapping[str, Any]


def explain(error: ValidationError, model: type[BaseModel], values: object, prefix: str) -> dict[str, str]:
    """Return for the dotted name of each wrong setting, under `prefix`, what a message says after the name."""
    schema, known = model.model_json_schema(), [f"{prefix}{name}" for name in setting_names(model)]
    found: dict[str, str] = {}
    for problem in error.errors():
        parts, node, choice = _walk(schema, problem["loc"])
        name = (prefix + ".".join(parts)).rstrip(".")
        match problem["type"]:
            case "extra_forbidden":
                name = (prefix + ".".join([*parts, str(problem["loc"][-1])])).rstrip(".")
                found.setdefault(name, _unknown(name, choice, node, known))
            case "union_tag_not_found" | "union_tag_invalid":
                tags, given = CHOICES[name], problem["input"].get("name")
                said = _missing_or(given, "name" in problem["input"])
                found.setdefault(f"{name}.name", said + _choose(given, tags, f"{name}.name"))
            case "value_error":  # from a validator of ours
                given = "" if isinstance(problem["input"], dict | BaseModel) else f" is {show_value(problem['input'])}"
                found.setdefault(name, f"{given}: {problem['ctx']['error']}.")
            case kind:
                given, is_there = _at(values, parts)
                found.setdefault(name, _missing_or(given, is_there) + _give(given, node, schema, name, kind))
    return found


def show_value(value: object) -> str:
    """Return a value as YAML writes it, in one line."""
    try:
        text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**20)
    except yaml.YAMLError:  # an object of Python's
        text = repr(value)
    text = one_line(text.removesuffix("\n").removesuffix("\n..."))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def what_it_takes(schema: _Schema, name: str, prefix: str) -> str:
    """Return in words what a setting allows; schema: of its section, whose dotted name with a dot is the prefix."""
    node = schema["properties"][name]
    shown = f"{prefix}{name}"
    words = dict.fromkeys(word for option in _options(node, schema) for word in _allowed(option, schema, shown))
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _walk(schema: _Schema, place: Sequence[int | str]) -> tuple[list[str], _Schema, str]:
    """Return the names of the setting at `place`, its schema, and the choice, as `unet`, of the section it is in.

    The place also holds the tags of unions, which are no names, and places in lists, of which messages show the whole.
    """
    parts, node, choice = list[str](), schema, ""
    for part in map(str, place):
        for option in _options(node, schema):
            mapping = option.get("discriminator", {}).get("mapping", {})
            rest = option.get("additionalProperties")
            if part in mapping:
                node, choice = _follow({"$ref": mapping[part]}, schema), part
                break
            if part in option.get("properties", {}) or isinstance(rest, Mapping):
                node = option.get("properties", {}).get(part, rest)
                parts.append(part)
                break
    return parts, node, choice


def _options(node: _Schema, schema: _Schema) -> Iterator[_Schema]:
    """Yield a schema or, for a union, its members; a section that a name chooses is one."""
    node = _follow(node, schema)
    members = node.get("anyOf", node.get("oneOf"))
    if members is None or "discriminator" in node:
        yield node
    else:
        for member in members:
            yield from _options(member, schema)


def _follow(node: _Schema, schema: _Schema) -> _Schema:
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _at(values: object, parts: Sequence[str]) -> tuple[object, bool]:
    """Return the value of a setting, and whether there is one."""
    for part in parts:
        if not isinstance(values, Mapping) or part not in values:
            return None, False
        values = values[part]
    return values, True


def _missing_or(given: object, is_there: bool) -> str:
    return f" is {show_value(given)}." if is_there else " is missing."


def _unknown(name: str, choice: str, node: _Schema, known: Sequence[str]) -> str:
    """Say what an unknown setting may have meant, or which settings stand beside it. choice: of its section."""
    section = name.rpartition(".")[0]
    if choice:
        known = [f"{section}.{one}" for one in node["properties"]]
    beside = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == section]
    listed = f" {f'Settings of {section}' if section else 'Sections'}: {', '.join(beside)}." if beside else ""
    return f" is not a setting{f' of {choice}' if choice else ''}.{did_you_mean(name, known) or listed}"


def _choose(given: object, words: Sequence[str] | Mapping[str, object], setting: str) -> str:
    """Say which of some words can be given for a setting; a mistyped word may be nearest to another project's."""
    known = [*words, *SAME.get(setting, ()), *SEVERAL.get(setting, ())]
    return f"{did_you_mean(given if isinstance(given, str) else '', known)} Choose one of {', '.join(words)}."


def _give(given: object, node: _Schema, schema: _Schema, name: str, kind: str) -> str:
    """Say what can be given. kind: pydantic's name of the problem."""
    allowed = [word for option in _options(node, schema) for word in _allowed(option, schema, name)]
    if len(allowed) > 2 and not any(" " in word for word in allowed):
        return _choose(given, allowed, name)
    if kind == "finite_number":
        allowed = [word.replace("a number", "a finite number") for word in allowed]
    comma = "," if any(" " in word for word in allowed) else ""
    return f" Give {f'{comma} or '.join(allowed)}."


def _allowed(node: _Schema, schema: _Schema, name: str) -> list[str]:
    """Return in words what one member of a union allows."""
    node = _follow(node, schema)
    if "enum" in node or "const" in node:
        return [str(word) for word in node.get("enum", [node.get("const")])]
    match node.get("type"):
        case "boolean":
            return ["true", "false"]
        case "null":
            return ["null"]
        case "string":
            return ["text"]
        case "integer":
            return [f"a whole number{_bounds(node)}"]
        case "number":
            return [f"a number{_bounds(node)}"]
        case "array":
            items = node.get("prefixItems", [node.get("items", {})])
            count = f" of {len(items)}, each" if "prefixItems" in node else " of"
            return [f"a list{count} {' or '.join(_allowed(items[0], schema, name))}"]
    names = list(node.get("properties", {"name": {}} if "discriminator" in node else {}))
    if needed := node.get("required"):  # as in a ramp
        return [f"{{{', '.join(f'{one}: ...' for one in needed)}}}"]
    return [f"settings, such as {name}.{names[0]}" if names else "a mapping"]


def _bounds(node: _Schema) -> str:
    """Return the range of a number in words."""
    if "minimum" in node and "maximum" in node:
        return f" from {node['minimum']:,} to {node['maximum']:,}"
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"}
    said = [f"{word} {node[name]:,}" for name, word in words.items() if name in node]
    return f" {' and '.join(said)}" if said else ""
