"""What `--json` prints: one envelope for all commands, which docs/json.md describes field by field."""

import json
import math
from collections.abc import Mapping
from typing import Any

import click

from i2i.version import __version__

SCHEMA = 1
"""Rises when a field goes or changes its meaning; new fields do not raise it."""
flag = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else, on stdout.")


def print_json(command: str, result: Mapping[str, object]) -> None:
    """Print the result of a command in the envelope, on stdout."""
    envelope = {"schema": SCHEMA, "command": command, "version": __version__, "result": _plain(result)}
    click.echo(json.dumps(envelope, indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """Return a value with null for what JSON does not hold: NaN and infinity."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
