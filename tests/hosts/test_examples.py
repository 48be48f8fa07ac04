"""docs/hosts.md: its example for Gradio and its notebook."""

import ast
import json
import re
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i.images import to_pil
from tests.cli.test_cli import stub_web_runtime
from tests.cli.test_python import TINY as SMALLEST
from tests.conftest import ROOT, load_script, picture

TINY = SMALLEST | {"generator.depth": 3, "generator.width": 8}
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(params=["gradio", "a stand-in"])
def translate(request, tiny_run, monkeypatch):
    """What the app calls; with Gradio where it is installed, and always with a stand-in for it."""
    if request.param == "a stand-in":
        names = {"Error": type("Error", (Exception,), {}), "Image": lambda **options: options}
        names["Interface"] = lambda fn, *components, **options: SimpleNamespace(fn=fn)
        monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(**names))
    elif find_spec("gradio") is None:
        pytest.skip("gradio is not installed")
    return load_script(EXAMPLES / "gradio_app.py").make_app(str(tiny_run)).fn


@pytest.mark.parametrize("channels", [3, 4])
def test_gradio_shows_the_pixels_of_translate(translate, tiny_run, channels):
    photo = to_pil(picture(37, 50, channels))
    assert np.array_equal(np.asarray(translate(photo)), np.asarray(i2i.translate(photo, tiny_run)))


def test_gradio_shows_what_is_wrong(translate):
    import gradio

    for photo in (None, Image.new("F", (5, 5))):
        with pytest.raises(gradio.Error):
            translate(photo)


def test_the_page_shows_the_app_that_is_tested():
    shown = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "hosts.md").read_text("utf-8"), re.M | re.DOTALL)
    assert (EXAMPLES / "gradio_app.py").read_text("utf-8") in shown


def cells():
    """The code of the notebook, without the line that installs i2i."""
    notebook = json.loads((EXAMPLES / "first_model.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(cell, names):
    """Run a cell, and return the value of its last line, if it is an expression."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "a cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "a cell", "eval"), names) if last else None


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stub_web_runtime(tmp_path, monkeypatch)
    install, *rest = cells()
    assert re.fullmatch(r'%pip install -q "i2i-toolkit\[train\]"', install)
    names, shown = {}, []
    for cell in rest:
        if "settings=" in cell:
            cell = re.sub(r"settings=\{.*?\}", lambda _: f"settings={TINY}", cell, flags=re.DOTALL)
        shown.append(run(cell, names))
    assert all(hasattr(one, "_repr_html_") or hasattr(one, "_repr_png_") for one in shown)
    assert (tmp_path / "shapes.html").stat().st_size > (tmp_path / "shapes.onnx").stat().st_size / 2
    assert names["score"].rows
    assert names["score"].baselines["input_copied"]["l1"] > 0


def test_the_notebook_draws_pairs_that_can_be_learned():
    names = {}
    run(cells()[1].partition("for split")[0], names)
    outline, filled = (np.asarray(one) for one in names["draw_pair"](3))
    assert {tuple(pixel) for pixel in outline.reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}
    colours = {tuple(pixel) for pixel in filled.reshape(-1, 3)}
    assert len(colours) > 2
    assert np.array_equal(np.asarray(names["draw_pair"](3)[1]), filled)
    assert not np.array_equal(np.asarray(names["draw_pair"](4)[1]), filled)
