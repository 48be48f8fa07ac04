"""Counts and lists of names in messages."""

import pytest

from i2i.words import and_more, name_some, show_count


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((0, "picture"), "0 pictures"),
        ((1, "picture"), "1 picture"),
        ((3000, "picture"), "3,000 pictures"),
        ((1, "hidden file or folder", "hidden files and folders"), "1 hidden file or folder"),
        ((2, "hidden file or folder", "hidden files and folders"), "2 hidden files and folders"),
    ],
)
def test_nouns_agree_with_their_number(words, shown):
    assert show_count(*words) == shown


def test_lists_of_names_are_cut_and_keep_their_lines():
    names = ["a\nb", *"cdefgh"]
    assert and_more(names[:2]) == r"a\nb, c"
    assert and_more(names, 2) == r"a\nb, c and 5 more"
    assert name_some("Left out:", names) == r"Left out: a\nb, c, d, e, f and 2 more."
    assert name_some("Left out:", names, lines=True).splitlines()[-2:] == ["  f", "  and 2 more"]
