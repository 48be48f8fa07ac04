"""tools/demo.py: a page for each shipped model, with pictures to try, and their index."""

import base64
import gzip
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from i2i.images import read_image
from i2i.models.shipped import read_card
from tests.cli.test_cli import stub_web_runtime
from tests.conftest import MAPS, ROOT, load_script

demo = load_script(ROOT / "tools" / "demo.py")


def test_examples_are_the_side_that_goes_in(tmp_path):
    demo.write_examples(MAPS, tmp_path)
    sides = {direction: sorted((tmp_path / direction).iterdir()) for direction in ("A2B", "B2A")}
    assert len(sides["A2B"]) == len(sides["B2A"]) == demo.EXAMPLES
    for a, b in zip(*sides.values(), strict=True):
        both = np.concatenate([read_image(a), read_image(b)], axis=1)
        assert np.array_equal(both, read_image(MAPS / "test" / f"{a.stem}.jpg"))


@pytest.mark.slow
def test_pages_and_index(tmp_path, monkeypatch):
    """Both directions on one page, each with its own pictures; the page names what the model does badly."""
    (tmp_path / "web").mkdir()
    stub_web_runtime(tmp_path / "web", monkeypatch)
    monkeypatch.setattr(demo, "shipped_names", lambda: ["relief_unpaired"])
    (page,) = demo.write_demo(tmp_path / "demo")
    content, card = page.read_text("utf-8"), read_card("relief_unpaired")
    models = json.loads(re.search(r'id="models">(.*?)</script>', content)[1])
    demo.write_examples(MAPS, tmp_path / "examples")
    for name in models:
        packed = re.search(rf'id="model-{name}">(.*?)</script>', content)[1]
        model = gzip.decompress(base64.b64decode(packed))
        assert b'"source":"test"' in model
        assert str(ROOT).encode() not in model  # the same bytes on any machine
    for direction, model in models.items():
        for example in model["examples"]:
            shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(example["data"].partition(",")[2]))))
            assert np.array_equal(shown, read_image(tmp_path / "examples" / direction / example["name"]))
        assert len(model["examples"]) == demo.EXAMPLES
    assert card.limits in content
    index = (tmp_path / "demo" / "index.html").read_text("utf-8")
    for link in re.findall(r'(?:href|src)="([^"]+)"', index):
        assert (tmp_path / "demo" / link).is_file()
    assert card.limits in index
    assert not re.search(r"\{\w+\}", index)
