"""PPM and PGM of 16 bits, which Pillow does not write, and whose colours it reduces to 8 bits."""

import re

import numpy as np
from PIL import ImageFile

from i2i.images.png import Array

_TOP = 65535


def encode_deep_ppm(array: Array) -> bytes:
    """Encode (H, W, 1 or 3) uint16."""
    height, width, channels = array.shape
    return f"P{5 if channels == 1 else 6}\n{width} {height}\n{_TOP}\n".encode() + array.astype(">u2").tobytes()


def read_deep_ppm(image: ImageFile.ImageFile, content: bytes) -> Array:
    """Return the colours of a 16-bit PPM, (H, W, 3) uint16, whose header Pillow has read from `content`.

    Raises SyntaxError for a damaged file.
    """
    (tile,) = image.tile
    assert isinstance(tile.args, tuple), "the mode, and the largest value"
    top, count = int(tile.args[1]), 3 * image.width * image.height
    if tile.codec_name == "ppm_plain":
        text = re.sub(rb"#[^\r\n]*", b" ", content[tile.offset :]).decode("ascii", "replace")
        values = np.fromstring(text, np.int64, sep=" ")[:count]  # stops at the first word that is not a number
        if len(values) == count and not 0 <= values.min() <= values.max() <= top:
            raise SyntaxError(f"it holds values outside 0 to {top}, which its header allows")
    else:
        values = np.frombuffer(content, ">u2", min(count, (len(content) - tile.offset) // 2), tile.offset)
    if len(values) < count:
        raise SyntaxError("it ends before its pixels")
    scaled = np.rint(np.minimum(values, top) * (_TOP / top)).astype(np.uint16)
    return scaled.reshape(image.height, image.width, 3)
