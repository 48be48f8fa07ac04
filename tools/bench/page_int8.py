"""Compare pages of one model in fp32, fp16 and int8, in a real browser: size, start, time and pixels.

    PYTHONPATH=. python tools/bench/page_int8.py MODEL PICTURES [--side PX] [--rounds N]

PICTURES: a folder that the exports are proved on; of wide files, the half that is an input of A|B pairs with --half.
Each page is opened in turn and then again, as often as --rounds says, and the least time counts, since other programs
take theirs. Pixels are compared with those of ONNX Runtime here, on the file that the page holds. The page of static
int8 is what `i2i export --page` does not write: the control. Needs Chromium, and tools/web_runtime.py before.
"""

import argparse
import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from i2i.exporting import ExportOptions, export_model
from i2i.exporting.options import Precision
from i2i.exporting.page import RUNTIME_FILES, _read_runtime, page_of
from i2i.exporting.page_models import try_model
from i2i.images import Array, read_image, write_image
from i2i.runtime.translator import Translator
from tests.exporting.browser import Browser
from tests.exporting.conftest import PIXELS, image_of
from tests.report.test_browser import BROWSER

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8_weights", "int8")
ACT = """
await i2i.started;
const found = { ready: performance.now(), said: document.getElementById("trouble").textContent, made: [], times: [] };
for (const one of %s) {
  const bitmap = await createImageBitmap(file(one, "one.png"));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  canvas.drawImage(bitmap, 0, 0);
  const input = canvas.getImageData(0, 0, bitmap.width, bitmap.height), begun = performance.now();
  const output = await i2i.translate(input);
  found.times.push(performance.now() - begun);
  found.made.push(await pixels(output));
}
return found;
"""


def write_page(model: str, pictures: Path, precision: Precision, folder: Path) -> tuple[Path, Path]:
    """Write a page, and the ONNX file in it."""
    onnx, html = folder / f"{precision}.onnx", folder / f"{precision}.html"
    options = ExportOptions(onnx, io="image", precision=precision, verify=pictures)
    ((_, spec),) = export_model(model, options).items()
    (part,) = spec.generators
    html.write_text(page_of({part: try_model(onnx, spec)}, _read_runtime(RUNTIME_FILES)), encoding="utf-8")
    return html, onnx


def inputs_of(folder: Path, half: str | None, side: int | None, count: int = 8) -> list[Array]:
    """Return pictures (H, W, 3) uint8, cut to squares of `side` px, or repeated up to them."""
    found = []
    for path in sorted(folder.glob("*.png"))[:count]:
        array = read_image(path)
        middle = array.shape[1] // 2
        array = {"left": array[:, :middle], "right": array[:, middle:], None: array}[half]
        if side:
            times = [-(-side // length) for length in array.shape[:2]]
            array = np.tile(array, (*times, 1))[:side, :side]
        found.append(np.ascontiguousarray(array))
    return found


def main() -> None:
    """Print a row for each precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--half", choices=["left", "right"])
    parser.add_argument("--side", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    inputs = inputs_of(words.pictures, words.half, words.side)
    assert BROWSER is not None, "no Chromium"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = {one: write_page(words.model, words.pictures, one, folder) for one in PRECISIONS}
        encoded = []
        for array in inputs:
            write_image(folder / "in.png", array)
            encoded.append(base64.b64encode((folder / "in.png").read_bytes()).decode())
        act = PIXELS + ACT % json.dumps(encoded)
        browser = Browser(BROWSER, folder / "profile")
        rounds = [{one: browser.run(html, act) for one, (html, _) in pages.items()} for _ in range(words.rounds)]
        browser.close()
        whole = [Translator.open(pages["fp32"][1], device="cpu").translate(array) for array in inputs]
        for one, (html, onnx) in pages.items():
            print(row(one, html, onnx, [found[one] for found in rounds], inputs, whole))


def row(
    precision: str, html: Path, onnx: Path, found: list[dict[str, Any]], inputs: list[Array], whole: list[Array]
) -> str:
    """Return what to say of a page. found: by round. whole: outputs in fp32."""
    model = Translator.open(onnx, device="cpu")
    made = [image_of(one, html.with_suffix(".png"))[:, :, :3].astype(float) for one in found[0]["made"]]
    here = [model.translate(array).astype(float) for array in inputs]
    off = [np.abs(one - other) for one, other in zip(made, here, strict=True)]
    db = [10 * np.log10(255**2 / max(np.square(a - b).mean(), 1e-9)) for a, b in zip(here, whole, strict=True)]
    ready = min(one["ready"] for one in found) / 1000
    time = np.mean(np.min([one["times"] for one in found], axis=0))
    size, said = html.stat().st_size / 1e6, found[0]["said"].replace("\n", " ")
    worst, share = max(one.max() for one in off), np.mean([(one > 1).mean() for one in off])
    return (
        f"{precision}: {size:.2f} MB, ready in {ready:.2f} s, {time:.0f} ms a picture; {np.mean(db):.1f} dB from fp32; "
        f"browser up to {worst:.0f} levels off, {share:.2%} of values by more than one; {said or 'the page runs'}"
    )


if __name__ == "__main__":
    main()
