"""YAML: files that hold settings, and single values."""

import contextlib
from pathlib import Path
from typing import Any

import yaml

from i2i.config.presets import preset_names
from i2i.errors import ConfigError

SCHEMA_NAME = "i2i.schema.json"
"""The JSON schema of settings, beside the files that name it."""
EDITOR_LINES = f"""\
# yaml-language-server: $schema={SCHEMA_NAME}
# Editors check and complete this file with that schema, beside it; `i2i init --schema -o {SCHEMA_NAME}` writes it.
"""
"""What every file of settings that i2i writes begins with."""
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, which not every PyYAML was built with


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raises ConfigError."""
    try:
        values = read_value(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings. Start from a preset: {', '.join(preset_names())}.")
    return values


def read_value(text: str) -> Any:
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
