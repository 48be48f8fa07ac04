"""The index of headers: what is in it is not opened again, and what has changed is."""

import os
import time

import pytest

from i2i.data import headers
from i2i.data.checking import Seen, check_pairs, check_pictures
from i2i.data.items import Pair, Picture
from i2i.errors import DataError
from tests.conftest import save


@pytest.fixture
def opened(monkeypatch):
    """Which files were opened."""
    names, original = [], headers.read_facts

    def read(path, **more):
        names.append(path.name)
        return original(path, **more)

    monkeypatch.setattr(headers, "read_facts", read)
    monkeypatch.setattr(headers, "_LEAST", 3)
    return names


def test_a_second_start_opens_what_has_changed(tmp_path, opened, monkeypatch):
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path / "cache" / "weights"))
    paths = [save(tmp_path / "in" / f"{k}.png", 20 + k, 24, channels=(1, 3, 4)[k % 3]) for k in range(6)]
    pictures, first, second = [Picture(path.name, path) for path in paths], Seen(), Seen()
    sizes = check_pictures(pictures, seen=first)
    assert len(opened) == 6
    opened.clear()
    assert check_pictures(pictures, seen=second) == sizes
    assert (opened, vars(first)) == ([], vars(second))
    save(paths[2], 50, 24)
    os.utime(paths[2], (time.time() + 5,) * 2)
    assert check_pictures(pictures)[2].height == 50
    assert opened == ["2.png"]
    opened.clear()
    assert [size.width for size in check_pairs([Pair(path.name, path, None) for path in paths])] == [12] * 6
    assert opened == []
    paths[4].write_bytes(b"no picture")
    for _ in range(2):  # what is broken is not kept
        with pytest.raises(DataError, match=r"4\.png"):
            check_pictures(pictures)
    (index,) = (tmp_path / "cache" / "headers").iterdir()
    index.write_bytes(b"damaged")
    save(paths[4], 30, 24)
    opened.clear()
    check_pictures(pictures)
    assert len(opened) == 6
