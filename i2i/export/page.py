"""One HTML page that runs a model in any browser: runtime, model and words in a single file.

It holds the 8-bit graphs of `--io image`, and ONNX Runtime for browsers, which tools/web_runtime.py gets. A page needs
no server and no network, and its content security policy denies it both. At its start it runs a picture of its own,
and refuses to go on unless the pixels are those that ONNX Runtime made here, within one grey level.
Script, style and frame are page.js, page.css and page.html.
"""

import base64
import gzip
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i.errors import UsageError
from i2i.export import export_model
from i2i.export.agreement import agreement
from i2i.export.options import ExportOptions
from i2i.files import check_output, show_size, write_text
from i2i.images import Array
from i2i.models.modelfile import find_model, find_weights, read_spec
from i2i.models.spec import ModelSpec
from i2i.report.markup import text
from i2i.runtime.plan import rounded_tile
from i2i.runtime.tiles import uses_own_statistics
from i2i.version import __version__

RUNTIME = Path(__file__).with_name("web")
"""Folder of the compressed runtime."""
RUNTIME_VERSION = "1.30.0"
RUNTIME_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package onnxruntime-web in base64, as npm states it."""
RUNTIME_FILES = {"script": "ort.wasm.bundle.min.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
_TILE_PX = 512
_CHECK_SIDES = (48, 80)
_LICENCE = """ONNX Runtime Web {version}, MIT License. Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""  # noqa: E501


class PageModel(NamedTuple):
    """A model of the page: its ONNX file, its description, and its own picture before and after, (H, W, C) uint8."""

    onnx: bytes
    spec: ModelSpec
    before: Array
    after: Array


def export_page(model: str | Path, options: ExportOptions) -> dict[str, ModelSpec]:
    """Write `options.page`, which translates with `model`, a run folder or .safetensors; return the specs by direction.

    With direction "both", both are on the page. Raises as `export_model` does, and
    UsageError for a model that makes pictures from noise, and where the runtime is missing.
    """
    page = Path(options.page or "")
    check_output(page, options.overwrite, ".html", ".htm")
    runtime = _read_runtime()
    if read_spec(find_weights(model)).task != "translate":
        raise UsageError(
            "A page shows models that translate pictures, and this one makes them from noise. Use `i2i generate`."
        )
    if any(part.in_bands or part.out_bands for part in read_spec(find_weights(model)).generators.values()):
        raise UsageError("A page shows pictures, and this model has bands, which browsers cannot show. Use --io image.")
    with tempfile.TemporaryDirectory() as folder:
        chosen = replace(options, output=Path(folder) / "m.onnx", page=None, io="image", overwrite=False)
        specs = export_model(model, chosen)
        models = {next(iter(spec.generators)): _try(path, spec) for path, spec in specs.items()}
    source = find_model(Path(model)).resolve()
    name = source.parent.name if source.stem == "model" else source.stem
    write_text(page, page_of(name, models, runtime))
    return {direction: one.spec for direction, one in models.items()}


def page_of(name: str, models: Mapping[str, PageModel], runtime: Mapping[str, bytes]) -> str:
    """Return the page. models: by direction. runtime: gzipped files by the keys of RUNTIME_FILES."""
    here = Path(__file__).parent
    described = {}
    binaries = {f"runtime-{key}": packed for key, packed in runtime.items()}
    for direction, one in models.items():
        described[direction] = _describe(direction, one)
        packed = {"model": one.onnx, "check-in": one.before.tobytes(), "check-out": one.after.tobytes()}
        for kind, content in packed.items():
            kind, _, side = kind.partition("-")
            binaries["-".join(filter(None, [kind, direction, side]))] = gzip.compress(content, 9, mtime=0)
    first = next(iter(models.values())).spec
    values = {
        "title": text(name),
        "lead": text(f"{first.algorithm}, trained on {first.images_seen:,} images. It runs in this browser."),
        "style": (here / "page.css").read_text("utf-8"),
        "facts": _facts(models),
        "licence": text(_LICENCE.format(version=RUNTIME_VERSION)),
        "version": text(__version__),
        "models": json.dumps(described).replace("<", "\\u003c"),
        "binaries": "\n".join(
            f'<script type="application/gzip" id="{id_}">{base64.b64encode(content).decode()}</script>'
            for id_, content in binaries.items()
        ),
        "script": (here / "page.js").read_text("utf-8"),
    }
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], (here / "page.html").read_text("utf-8"))


def _describe(direction: str, one: PageModel) -> dict[str, Any]:
    """Return what the script must know of a model."""
    part = one.spec.generators[direction]
    return {
        "title": " to ".join(direction.split("2")),
        "inputs": part.in_channels,
        "outputs": part.out_channels,
        "multiple": part.size_multiple,
        "tile": rounded_tile(part, _TILE_PX),
        "seamless": not uses_own_statistics(one.spec, part),
        "check": one.before.shape[:2],
    }


def _facts(models: Mapping[str, PageModel]) -> str:
    """Return what the page says of its models, as HTML."""
    rows = []
    for direction, one in models.items():
        spec = one.spec
        suffix = f", {direction}" if len(models) > 1 else ""
        rows += [
            (f"Network{suffix}", f"{spec.generators[direction].network}, {show_size(len(one.onnx))}, {spec.precision}"),
            (f"Compared with torch{suffix}", agreement(spec)),
            (f"SHA-256 of the ONNX file{suffix}", hashlib.sha256(one.onnx).hexdigest()),
        ]
        if spec.trained_side_px:
            rows.append((f"Scale{suffix}", f"trained on pictures of {spec.trained_side_px} px; best at that scale"))
    cells = "".join(f"<div><dt>{text(head)}</dt><dd>{text(said)}</dd></div>" for head, said in rows)
    return f"<dl>{cells}</dl>"


def _read_runtime() -> dict[str, bytes]:
    files = {key: RUNTIME / f"{name}.gz" for key, name in RUNTIME_FILES.items()}
    if not all(file.is_file() for file in files.values()):
        raise UsageError(
            "The runtime for browsers is missing, since this i2i is a checkout.\n"
            "Run `python tools/web_runtime.py` once, which takes it from npm."
        )
    return {key: file.read_bytes() for key, file in files.items()}


def _try(path: Path, spec: ModelSpec) -> PageModel:
    """Run the page's own picture through an exported file: gradients, flat parts and noise, of the same seed ever."""
    import onnxruntime

    (part,) = spec.generators.values()
    height, width = _CHECK_SIDES
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack([255 * rows / height, 255 * columns / width, 127 + 127 * np.sin((rows + columns) / 6)], 2)
    picture = np.resize(ramp.transpose(2, 0, 1), (part.in_channels, height, width)).transpose(1, 2, 0)
    picture[:, : width // 4] = random.integers(0, 256, (height, width // 4, part.in_channels))
    picture[: height // 4] = 255
    before = np.ascontiguousarray(picture.astype(np.uint8))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (after,) = session.run(["output"], {"image": before[None]})
    return PageModel(path.read_bytes(), spec, before, np.ascontiguousarray(after[0]))
