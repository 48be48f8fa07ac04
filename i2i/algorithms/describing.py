"""What there is to set, with the settings of the algorithms: a preset that explains itself, and the JSON schema."""

import json
from itertools import takewhile

from i2i.algorithms import ALGORITHMS, resolve
from i2i.config import find_config, load_config, parse
from i2i.config.commented import commented, editor_schema
from i2i.config.yamlfile import EDITOR_LINES


def settings_file(preset: str) -> str:
    """Return all settings of a preset as YAML, under what its file says first; raises ConfigError."""
    config = resolve(load_config(preset))
    loss = parse(ALGORITHMS[config.algorithm].Settings, config.loss, preset, "loss.")
    head = f"{EDITOR_LINES}#\n"
    lines = find_config(preset).read_text(encoding="utf-8").removeprefix(head).splitlines(keepends=True)
    return "".join([head, *takewhile(lambda line: line.startswith("#"), lines), commented(config, loss)])


def settings_schema() -> str:
    """Return the JSON schema of settings files, for editors."""
    losses = {name: algorithm.Settings for name, algorithm in ALGORITHMS.items()}
    return json.dumps(editor_schema(losses), indent=1, ensure_ascii=False) + "\n"
