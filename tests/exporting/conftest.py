"""Pages that run a model, in a real browser."""

import base64
import shutil
import subprocess
import sys

import pytest

from i2i.exporting import page
from i2i.images import read_image, write_image
from tests.conftest import ROOT
from tests.exporting.browser import Browser
from tests.report.test_browser import BROWSER

PIXELS = """
async function pixels(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}
function file(base64, name) {
  return new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name);
}
"""


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    """The runtime for browsers: that of the checkout, or from npm; skips where it cannot be had."""
    if page.RUNTIME.is_dir():
        return page.RUNTIME
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("web")
    words = [sys.executable, str(ROOT / "tools" / "web_runtime.py"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if "npm could not fetch" in done.stderr:
        pytest.skip("npm does not answer")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def with_runtime(runtime, monkeypatch):
    monkeypatch.setattr(page, "RUNTIME", runtime)


@pytest.fixture(scope="session")
def browse(tmp_path_factory):
    """A function that opens a page, awaits `act` once the model runs, and returns `found` and what the page says.

    The page is given by its content, or by its address.
    """
    folder = tmp_path_factory.mktemp("browser")
    browser = Browser(BROWSER, folder / "profile")

    def browse(content, act):
        address = content if content.startswith("http://") else folder / "page.html"
        if address is not content:
            address.write_text(content, encoding="utf-8")
        said = "for (const id of ['state', 'trouble']) found[id] = document.getElementById(id).textContent;"
        return browser.run(address, f"{PIXELS} await i2i.started; const found = {{}}; {act} {said} return found;")

    yield browse
    browser.close()


def base64_png(array, path):
    write_image(path, array)
    return base64.b64encode(path.read_bytes()).decode()


def image_of(text, path):
    path.write_bytes(base64.b64decode(text))
    return read_image(path)
