"""What goes wrong while a picture is read, in words."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from i2i.errors import I2IError, ImageError, one_line
from i2i.images.pixels import reason_of

PILLOW_KINDS = ["AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]


@contextlib.contextmanager
def explained(path: Path, max_pixels: int = 0) -> Iterator[None]:
    """Let a failure in the body, which reads a picture, become an ImageError that names the file.

    max_pixels: the limit that a message names.
    """
    name = one_line(path)
    try:
        yield
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), name)) from error.__cause__
    except I2IError:  # raised by the body, about something else
        raise
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except PermissionError:
        raise ImageError(f"{name} cannot be read: permission denied.") from None
    except UnidentifiedImageError:
        kinds = ", ".join([*PILLOW_KINDS, "NPY", "NPZ"])
        raise ImageError(f"{name} is not a picture in a format that i2i reads ({kinds}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} is over the limit of {max_pixels:,} pixels.") from None
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it.") from error
    except Exception as error:  # decoders raise whatever they like on broken files
        if isinstance(error, OSError) and error.strerror:  # from the system: a loop of links, a failing disk
            raise ImageError(f"{name} cannot be read: {error.strerror}.") from error
        raise ImageError(f"{name} is damaged: {reason_of(error)}.") from error
