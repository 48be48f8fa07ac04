"""The file in which GDAL writes the mask of a TIFF that does not hold it: x.tif.msk is that of x.tif."""

# ruff: noqa: PTH116

import os
from pathlib import Path

_TIFF = (".tif", ".tiff")


def mask_beside(path: Path) -> Path:
    """Return the name of the file, whether it is there or not."""
    return path.with_name(f"{path.name}.msk")


def mask_changed_ns(path: Path) -> int:
    """Return when the file beside a picture was written; 0 without one, and beside other pictures than TIFFs."""
    if path.suffix.lower() not in _TIFF:
        return 0
    try:
        return os.stat(f"{path}.msk").st_mtime_ns
    except OSError:
        return 0
