"""A run as a repository of the Hugging Face Hub: its model, its settings, a preview, and a card written from them."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from i2i import status
from i2i.errors import DownloadError, UsageError
from i2i.files import check_folder, write_text
from i2i.models.hub import SCHEME, refuse_missing_library
from i2i.models.modelfile import MODEL_NAME
from i2i.report.card import Naming, model_card
from i2i.report.record import RunRecord, read_run, refuse_no_run

_ONNX, _CARD, _PREVIEW = "model.onnx", "README.md", "preview.png"
_FOLDERS = ("path", "cache_path")


class PushOptions(NamedTuple):
    """What a run cannot know."""

    name: str | None = None
    """Heading of the card; by default the repository's name."""
    licence: str | None = None
    author: str | None = None
    private: bool = False
    """Whether a new repository is seen by its owner alone."""


_USUAL = PushOptions()


def push(run: Path, repository: str, options: PushOptions = _USUAL) -> str:
    """Upload a run's model to NAMESPACE/NAME, which is made if there is none; return its address on the web.

    Raises UsageError for a run without a model and for a missing library, DownloadError for what the hub refuses.
    """
    refuse_missing_library()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    with tempfile.TemporaryDirectory() as folder:
        stage(run, repository, Path(folder), options)
        api = HfApi()
        try:
            with status.doing(f"Uploading to {repository}"):
                address = api.create_repo(repository, private=options.private, exist_ok=True)
                api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a model by i2i")
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DownloadError(
                f"{repository} could not be written: {reason}\nLog in with `hf auth login`, and check the name."
            ) from error
    return str(address)


def stage(run: Path, repository: str, folder: Path, options: PushOptions = _USUAL) -> list[Path]:
    """Write what `push` would upload into `folder`, which must be new or empty; return the files.

    The paths of the training's pictures are left out of the settings. Raises UsageError.
    """
    namespace, slash, name = repository.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"{repository} is not a repository: NAMESPACE/NAME, as in anna/lineart.")
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty. Give a new folder.")
    refuse_no_run(run)
    record = read_run(run)
    preview = _newest_samples(record)
    naming = Naming(
        options.name or name, SCHEME + repository, options.licence, options.author, _PREVIEW if preview else None
    )
    card = model_card(record, naming)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _CARD, card)
    write_text(folder / "config.yaml", yaml.safe_dump(_public(record.settings), sort_keys=False, allow_unicode=True))
    for file in (run / MODEL_NAME, run / _ONNX):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    if preview:
        shutil.copyfile(preview, folder / _PREVIEW)
    return sorted(folder.iterdir())


def _newest_samples(record: RunRecord) -> Path | None:
    newest = [sheets[-1] for sheets in record.samples.values() if sheets]
    return max(newest)[1] if newest else None


def _public(value: Any) -> Any:
    """Return settings without folders of pictures, and other paths as bare names: they tell of a machine."""
    if isinstance(value, dict):
        return {name: _public(one) for name, one in value.items() if name not in _FOLDERS}
    if isinstance(value, list):
        return [_public(one) for one in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
