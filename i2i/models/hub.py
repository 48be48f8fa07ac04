"""Models on the Hugging Face Hub, wherever a model file is asked for: hf://NAMESPACE/NAME.

Only files are fetched; they are then checked as any stranger's (docs/security.md). The library keeps them in its cache.
"""

import functools
import importlib.util
import re
from pathlib import Path

from i2i import status
from i2i.errors import DownloadError, UsageError
from i2i.version import DISTRIBUTION

SCHEME = "hf://"
FILES = ("model.safetensors", "model.onnx")
"""The model of a repository, if its address names no file; the first that is there."""
_NAME = re.compile(r"[\w.-]+")


def is_hub_address(path: Path) -> bool:
    """Whether a path was written as hf://NAMESPACE/NAME; as a path it has lost a slash."""
    return path.parts[:1] == ("hf:",) and not path.exists()


@functools.lru_cache(maxsize=32)
def fetch(path: Path) -> Path:
    """Return the file of hf://NAMESPACE/NAME[@REVISION][/FILE], downloaded unless the cache has its newest state.

    Raises UsageError for another address or a missing library, and DownloadError.
    """
    address = SCHEME + "/".join(path.parts[1:])
    namespace, name, *file = path.parts[1:] if len(path.parts) > 2 else ("", "")
    name, _, revision = name.partition("@")
    if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
        raise UsageError(f"{address} is not an address of a model: hf://NAMESPACE/NAME, as in hf://anna/lineart.")
    refuse_missing_library()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    asked = ["/".join(file)] if file else [*FILES]
    missing: Exception | None = None
    away: Exception | None = None
    with status.doing(f"Fetching {address}"):
        for one in asked:
            try:
                return Path(hf_hub_download(f"{namespace}/{name}", one, revision=revision or None))
            except LocalEntryNotFoundError as error:  # the hub cannot be reached, and the cache has no such file
                away = missing = error
            except EntryNotFoundError as error:
                missing = error
            except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
                raise DownloadError(f"{address} cannot be fetched: {_reason(error)}") from error
    if away:
        raise DownloadError(f"{address} cannot be fetched: {_reason(away)}") from away
    raise DownloadError(f"{address} has no {' or '.join(asked)}.") from missing


def downloaded() -> dict[str, Path]:
    """Return the model files that were fetched, by address, newest first: of each repository its newest state."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return {}
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cached = scan_cache_dir(constants.HF_HUB_CACHE)
        repositories = [one for one in cached.repos if one.repo_type == "model" and one.revisions]
    except CacheNotFound:
        return {}
    found = {}
    for one in sorted(repositories, key=lambda one: one.last_modified, reverse=True):
        newest = max(one.revisions, key=lambda revision: revision.last_modified)
        for file in sorted(newest.files, key=lambda file: file.file_name):
            if file.file_path.suffix in (".safetensors", ".onnx"):
                inside = file.file_path.relative_to(newest.snapshot_path).as_posix()
                found[f"{SCHEME}{one.repo_id}" + (f"/{inside}" if inside not in FILES else "")] = file.file_path
    return found


def refuse_missing_library() -> None:
    """Raise UsageError where huggingface_hub is not installed."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UsageError(f"The Hugging Face Hub needs the library huggingface_hub: pip install '{DISTRIBUTION}[hub]'.")


def _reason(error: Exception) -> str:
    """Return the first line that says something of an error of the library."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
