"""Train from Python."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from i2i.api.results import Trained
from i2i.arguments import as_path, as_paths
from i2i.config import load_config
from i2i.config.plugins import LOADED
from i2i.config.settings import Config
from i2i.errors import speaks_python
from i2i.files import read_json_lines
from i2i.report.record import ROW_KEYS, WARNING

if TYPE_CHECKING:
    from i2i.training.callbacks import Listener


@overload
def train(config: Config, out: str | Path, resume: bool = False, allow_config_change: bool = False) -> Path: ...
@overload
def train(
    config: str | Path,
    out: str | Path | None = None,
    resume: bool = False,
    allow_config_change: bool = False,
    *,
    data: str | Path | Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    callbacks: "Sequence[Listener]" = (),
) -> Trained: ...
@speaks_python
def train(
    config: Config | str | Path,
    out: str | Path | None = None,
    resume: bool = False,
    allow_config_change: bool = False,
    *,
    data: str | Path | Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    callbacks: "Sequence[Listener]" = (),
) -> Path | Trained:
    """Train with a preset, a YAML file or a Config into the run folder `out`, by default runs/PRESET.

    data: one folder, or A's and B's. settings: what differs, by name, as {"train.batch": 4}. callbacks: get every row
    of metrics and every sheet of samples. A Config, from `load_config`, holds all settings, and gives the model file.
    Raises what `i2i.training.start.train` raises.
    """
    from i2i.training import start

    if isinstance(config, Config):
        assert out is not None
        return start.train(config, out, resume, allow_config_change, callbacks)
    config, folders = str(as_path(config, "config")), as_paths(data, "data")
    plugins = {"plugins": [str(one) for one in LOADED]} if LOADED else {}
    given = {**({"data.path": folders} if folders else {}), **plugins, **(settings or {})}
    overrides = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    written = {**dict.fromkeys(given, "settings"), **({"data.path": "data"} if folders else {})}
    folder = Path(out) if out is not None else Path("runs") / Path(config).stem
    model = start.train(load_config(config, overrides, written), folder, resume, allow_config_change, callbacks)
    rows = [row for row in read_json_lines(folder / "metrics.jsonl") if row.get("split") != WARNING]
    metrics = {f"{row['split']}/{name}": row[name] for row in rows for name in row if name not in ROW_KEYS}
    return Trained(folder, model, metrics, rows[-1]["images"] if rows else 0)
