"""Texts as vectors: hashed bags of words, which training and runtime compute alike, without any learned encoder."""

import functools
import hashlib
import re

import numpy as np

from i2i.images import Array

TEXT_BYTES = 256
"""Texts are cut to this many bytes of UTF-8."""


def cut_text(text: str) -> str:
    """Return the beginning of a text, of up to TEXT_BYTES of UTF-8."""
    return text.encode(errors="ignore")[:TEXT_BYTES].decode(errors="ignore")


@functools.lru_cache(maxsize=4096)
def hash_text(text: str, size: int) -> Array:
    """Return a text, cut, as `size` numbers, (size,) float32, read-only; zeros for a text without words.

    Each word, whatever its case, stands for `size` signs, the bits of its SHAKE-256; a text is the sum of its words'
    signs, divided by the root of how many words it has. This is a random projection of the bag of words (Weinberger
    et al. 2009, "Feature hashing"): two words are nearly orthogonal, and the order of words is lost.
    """
    words = re.findall(r"\w+", cut_text(text).casefold())
    total = np.zeros(size, np.float32)
    for word in words:
        digest = hashlib.shake_256(word.encode()).digest(-(-size // 8))
        total += 2.0 * np.unpackbits(np.frombuffer(digest, np.uint8), count=size) - 1
    vector = (total / max(len(words), 1) ** 0.5).astype(np.float32)
    vector.flags.writeable = False  # it is shared
    return vector
