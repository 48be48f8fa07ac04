"""Running plugins: Python files of the user's, and installed packages, that add algorithms, networks and losses.

A plugin is code. A file runs because the user names it, with --plugin or `load_plugin`, and is known from then on: runs
whose settings name it load it again. Settings that name any other file load nothing, and model files never do.
"""

import functools
import importlib.util
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from i2i.errors import ConfigError, I2IError, UsageError
from i2i.files import write_json

GROUP = "i2i.plugins"
"""Entry points of installed packages: modules, imported before settings are read."""
LOADED: list[Path] = []
"""Files that have run in this process."""
_imported: set[str] = set()


def load_plugin(path: str | Path) -> None:
    """Run a plugin, and know it from now on; raises UsageError for one that is missing or fails."""
    path = Path(path).absolute()
    if not path.is_file():
        raise UsageError(f"The plugin {path} does not exist. Give a Python file.")
    _run(path)
    known = _known()
    if str(path) not in known:
        write_json(_known_file(), [*known, str(path)])


def load_named(paths: Sequence[str], source: str) -> None:
    """Run the plugins that settings name, if they are known; one that has run from another folder will do.

    source: of the settings. Raises ConfigError for others.
    """
    for path in map(Path, paths):
        if any(path.name == one.name for one in LOADED):
            continue
        if not path.is_file():
            raise ConfigError(f"{source}: the plugin {path} is not there. Say where it is with --plugin FILE.")
        if str(path) not in _known():
            raise ConfigError(
                f"{source}: {path} is a plugin, and was never used on this machine. It is code that would run: "
                f"read it, then add --plugin {path}"
            )
        _run(path)


def load_for_run(folder: Path) -> None:
    """Run the plugins of the run in a folder, if it is one. Raises ConfigError."""
    from i2i.config.yamlfile import read_yaml

    settings = folder / "config.yaml"
    named = read_yaml(settings).get("plugins") if settings.is_file() else None
    if isinstance(named, list):
        load_named([one for one in named if isinstance(one, str)], str(settings))


def load_installed() -> None:
    """Import the plugins of installed packages, once; raises UsageError for one that fails."""
    for entry in _installed():
        if entry.name not in _imported:
            _imported.add(entry.name)
            try:
                entry.load()
            except Exception as error:
                raise UsageError(f"The installed plugin {entry.name} ({entry.value}) fails: {error!r}.") from error


@functools.cache
def _installed() -> tuple[EntryPoint, ...]:
    """Return the entry points; looking for them takes longer than reading a preset."""
    return tuple(entry_points(group=GROUP))


def _run(path: Path) -> None:
    if path in LOADED:
        return
    name = f"i2i_plugin_{re.sub(r'[^a-zA-Z0-9_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"The plugin {path} is not Python. Give a file that ends in .py.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" in line {lines[-1]}" if lines else ""
        what = str(error) if isinstance(error, I2IError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"The plugin {path} fails{where}: {what}") from error
    LOADED.append(path)


def _known_file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "i2i" / "plugins.json"


def _known() -> list[str]:
    """Return the files that --plugin has named on this machine."""
    try:
        known = json.loads(_known_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in known if isinstance(one, str)] if isinstance(known, list) else []
