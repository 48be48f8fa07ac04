"""The presets: the YAML files in `configs/`, by name."""

import shlex
from pathlib import Path

from i2i.config.names import did_you_mean
from i2i.errors import ConfigError


def find_config(source: str | Path) -> Path:
    """Return the YAML file of a preset name or path; raises ConfigError, which names the nearest preset."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ConfigError(f"{path} does not exist. Give a YAML file, or a preset: {', '.join(preset_names())}.")
    preset = presets_folder() / f"{source}.yaml"
    if preset.parent == presets_folder() and preset.is_file():
        return preset
    if is_run(path):
        again = shlex.join(["i2i", "train", "--resume", str(path)])
        raise ConfigError(f"{path} is a run, not a preset. To go on with it: {again}")
    raise ConfigError(
        f"Unknown preset {source}.{did_you_mean(str(source), preset_names())} Presets: {', '.join(preset_names())}."
    )


def is_run(folder: str | Path) -> bool:
    """Whether a folder holds a run: the settings of a training."""
    return (Path(folder) / "config.yaml").is_file()


def presets_folder() -> Path:
    """Return the folder of the presets: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in presets_folder().glob("*.yaml"))
