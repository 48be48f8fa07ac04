"""The settings of a run, and reading them.

The names below are loaded when first used: models need a small part of this, and starting with all of it takes longer
than translating a picture.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.config.names import did_you_mean as did_you_mean
    from i2i.config.names import setting_names as setting_names
    from i2i.config.presets import find_config as find_config
    from i2i.config.presets import preset_names as preset_names
    from i2i.config.presets import presets_folder as presets_folder
    from i2i.config.reading import differences as differences
    from i2i.config.reading import load_config as load_config
    from i2i.config.reading import parse as parse
    from i2i.config.reading import to_yaml as to_yaml
    from i2i.config.yamlfile import read_yaml as read_yaml

_HOME = {
    **dict.fromkeys(("did_you_mean", "setting_names"), "names"),
    **dict.fromkeys(("find_config", "preset_names", "presets_folder"), "presets"),
    **dict.fromkeys(("differences", "load_config", "parse", "to_yaml"), "reading"),
    "read_yaml": "yamlfile",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'i2i.config' has no attribute {name!r}")
    return getattr(importlib.import_module(f"i2i.config.{_HOME[name]}"), name)
