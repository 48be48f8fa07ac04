"""Checks of folders and files that need no torch, so that errors come before it is loaded, which takes seconds."""

from pathlib import Path

from i2i.config.settings import Config
from i2i.data.folders import refuse_missing
from i2i.errors import RunExistsError, UsageError
from i2i.files import TEMP_PREFIX
from i2i.models.modelfile import find_model
from i2i.status import first_process

LOCK_NAME = ".i2i-lock"


def refuse_early(config: Config, out: Path | None, resume: bool) -> None:
    """Raise what a training raises for its folders and for missing weights to start from.

    out: None for a dry run, which writes nothing and needs no data. Of several processes only the first checks,
    before the others are started.
    """
    if not first_process():
        return
    if out is not None:
        refuse_foreign(out)
        if not resume:
            refuse_run(out)
    if out is not None or config.data.path:
        refuse_missing(config.data)
    for source in filter(None, (config.train.init_from, config.train.after)):
        find_model(Path(source))


def refuse_foreign(folder: Path) -> None:
    """Raise UsageError for a folder that holds something other than a run."""
    if not folder.exists() or (folder / "config.yaml").is_file():
        return
    # An empty folder, or one where a run was killed before its first file, is fine.
    if not folder.is_dir() or any(not path.name.startswith((TEMP_PREFIX, LOCK_NAME)) for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no run. Give another folder with --out.")


def refuse_run(folder: Path) -> None:
    """Raise RunExistsError for a folder that holds a run."""
    if (folder / "config.yaml").is_file():
        raise RunExistsError(f"{folder} holds a run. Add --resume to go on with it, or give another folder with --out.")
