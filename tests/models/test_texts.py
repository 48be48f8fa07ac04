"""Texts as hashed bags of words."""

import numpy as np
import pytest

from i2i.data.labels import decode_text, encode_text
from i2i.models.spec import LatentBlock
from i2i.models.texts import hash_text

RED = [-1, 1, -1, -1, 1, -1, -1, -1]  # 0x48, the first byte of SHAKE-256("red"), as signs
FISH = [-1, -1, 1, 1, 1, 1, -1, 1]  # 0x3d


def test_a_text_is_the_scaled_sum_of_its_words_signs():
    """Model files hold no words, so the vectors must never change."""
    np.testing.assert_array_equal(hash_text("red", 8), RED)
    np.testing.assert_allclose(hash_text("fish, RED!", 8), np.add(RED, FISH) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_array_equal(hash_text("red", 5), RED[:5])
    assert not hash_text("?!", 8).any()


def test_a_long_text_is_the_one_that_training_saw():
    long = "a red fish ü " * 30
    assert decode_text(encode_text(long)) != long
    np.testing.assert_array_equal(hash_text(long, 8), hash_text(decode_text(encode_text(long)), 8))
    assert not np.array_equal(hash_text(long, 8), hash_text("a red fish ü", 8))


def test_words_are_nearly_orthogonal():
    words = np.stack([hash_text(word, 512) for word in ("red", "reds", "blue", "fish", "魚")])
    products = words @ words.T / 512
    np.testing.assert_array_equal(np.diag(products), 1)
    assert np.abs(products - np.eye(5)).max() < 0.2  # 4.5 standard deviations


@pytest.mark.parametrize("change", [{"texts": ()}, {"prior": "normal"}, {"texts": ("a\nb",)}, {"texts": ("\x1b[2J",)}])
def test_a_text_block_names_printable_texts_and_no_other_block_does(change):
    whole = {"name": "text", "size": 4, "prior": "text", "texts": ("red fish",)}
    LatentBlock(**whole)
    with pytest.raises(ValueError, match="text"):
        LatentBlock(**whole | change)
