"""Cloud-optimised GeoTIFF: the same file in tiles and with overviews, in the order that reads over a network need.

GDAL writes it, through rasterio.
"""

from pathlib import Path

from i2i.errors import UsageError
from i2i.version import DISTRIBUTION


def refuse_missing_gdal() -> None:
    """Raise UsageError where rasterio is not installed."""
    try:
        import rasterio  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(f"--cog needs rasterio, which is not here. Run: pip install '{DISTRIBUTION}[cog]'") from error


def copy_as_cog(source: Path, target: Path, nearest: bool) -> None:
    """Write a TIFF of any size as a cloud-optimised one; nearest: overviews mix no pixels, as of classes."""
    import rasterio.shutil

    rasterio.shutil.copy(source, target, **_options(nearest))


def to_cog(content: bytes, nearest: bool) -> bytes:
    """Return a TIFF as a cloud-optimised one, with deflate; nearest: overviews mix no pixels, as of classes."""
    import rasterio.shutil
    from rasterio.io import MemoryFile

    with MemoryFile(content) as source, MemoryFile() as target:
        rasterio.shutil.copy(source.name, target.name, **_options(nearest))
        return bytes(target.getbuffer())


def _options(nearest: bool) -> dict[str, str]:
    return {
        "driver": "COG",
        "compress": "DEFLATE",
        "predictor": "YES",
        "bigtiff": "IF_SAFER",
        "overview_resampling": "NEAREST" if nearest else "AVERAGE",
    }
