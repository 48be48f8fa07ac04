"""One HTML page that runs a model in any browser: runtime, model and words in a single file.

It holds a model's graphs, 8-bit ones of `--io image` where it translates, and ONNX Runtime for browsers, which
tools/web_runtime.py gets. A page needs no server and no network, and its content security policy denies it both. At its
start it runs a picture of its own, and refuses to go on unless the pixels are those that ONNX Runtime made here, within
one grey level. Scripts, style and frames are in pages/; a page holds those of its task, one after another.
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

from i2i.errors import UsageError
from i2i.exporting import export_model
from i2i.exporting.agreement import agreement
from i2i.exporting.options import ExportOptions, Io, Precision
from i2i.exporting.page_models import PageModel, describe, read_examples, refuse_invisible, try_model
from i2i.files import check_output, show_size, write_text
from i2i.models.modelfile import find_model, is_onnx, read_spec
from i2i.models.onnxfile import check_onnx
from i2i.models.shipped import Card, card_of
from i2i.models.spec import GENERATE, ModelSpec, Origin
from i2i.models.trial import described_spec
from i2i.report.markup import text
from i2i.version import __version__

RUNTIME = Path(__file__).with_name("web")
"""Folder of the compressed runtime."""
RUNTIME_VERSION = "1.30.0"
RUNTIME_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package onnxruntime-web in base64, as npm states it."""
RUNTIME_FILES = {"script": "ort.wasm.bundle.min.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
WEBGPU_FILES = {"script": "ort.webgpu.bundle.min.mjs", "webgpu": "ort-wasm-simd-threaded.asyncify.wasm"}
"""The same with WebGPU; larger, and slower on a CPU."""
_PARTS = Path(__file__).with_name("pages")
_SCRIPTS = {
    "translate": ("core.js", "translate.js", "draw.js", "files.js"),
    "generate": ("core.js", "random.js", "latents.js", "generate.js"),
}
_LICENCE = """ONNX Runtime Web {version}, MIT License. Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""  # noqa: E501


def export_page(model: str | Path, options: ExportOptions) -> dict[str, ModelSpec]:
    """Write `options.page`, which runs `model`; return the specs by part.

    model: a run folder or .safetensors; or, without torch, an .onnx file that i2i exported: from noise, or with io
    "image" for any size. With direction "both", both are on the page. Precision int8 is int8_weights: browsers round
    static int8 otherwise than ONNX Runtime does here, by up to 47 of 255 levels, so that no page could prove itself.
    Raises as `export_model` does, and UsageError for a model of points or bands, and where the runtime is missing.
    """
    page = Path(options.page or "")
    check_output(page, options.overwrite, ".html", ".htm")
    runtime = _read_runtime(WEBGPU_FILES if options.webgpu else RUNTIME_FILES)
    source = find_model(Path(model))
    finished = is_onnx(source)
    spec = _spec_of_finished(source, options) if finished else read_spec(source)
    refuse_invisible(spec)
    examples = read_examples(options.examples, spec, options.direction) if options.examples else {}
    models = {_part(spec): try_model(source, spec)} if finished else _exported(model, spec.task, options)
    write_text(page, page_of(models, runtime, card_of(source), examples))
    return {direction: one.spec for direction, one in models.items()}


def _part(spec: ModelSpec) -> str:
    return next(iter(spec.generators), GENERATE)


def _exported(model: str | Path, task: str, options: ExportOptions) -> dict[str, PageModel]:
    """Export a model in the form that a page takes, each direction asked for."""
    io: Io = "image" if task == "translate" else "tensor"
    precision: Precision = "int8_weights" if options.precision == "int8" else options.precision
    with tempfile.TemporaryDirectory() as folder:
        file = replace(options, output=Path(folder) / "m.onnx", page=None, webgpu=False, examples=None)
        specs = export_model(model, replace(file, io=io, precision=precision))
        return {_part(spec): try_model(path, spec) for path, spec in specs.items()}


def _spec_of_finished(path: Path, options: ExportOptions) -> ModelSpec:
    """Return what an .onnx file says of itself; raises UsageError where a page cannot hold it as it is."""
    spec = described_spec(path, check_onnx(path))
    if spec is None or spec.origin is None or spec.proof is None:
        raise UsageError(f"{path} does not say where it comes from. Export it from its run again, with this i2i.")
    if (spec.task == "translate" and (spec.io != "image" or spec.fixed_size)) or spec.precision == "int8":
        raise UsageError(
            f"A page takes 8-bit pictures of any size, and {path} does not.\n"
            "Export it with --io image, without --size, with int8_weights in place of int8; or give the run folder, "
            "which takes torch."
        )
    if options.direction not in (None, *spec.generators):
        raise UsageError(f"{path} holds {', '.join(spec.generators) or 'no direction'} alone. Leave out --direction.")
    asked = (options.verify, options.licence, options.author, *options.labels)
    if any(one is not None for one in asked) or options.precision != "fp32":
        raise UsageError(
            f"{path} is finished. Leave out --verify, --licence, --author, --label and --precision; or give the run "
            "folder, which takes torch."
        )
    return spec


def page_of(
    models: Mapping[str, PageModel],
    runtime: Mapping[str, bytes],
    card: Card | None = None,
    examples: Mapping[str, list[dict[str, str]]] | None = None,
) -> str:
    """Return the page. models: by part. runtime: gzipped files by the keys of RUNTIME_FILES or WEBGPU_FILES.

    card: of a model that ships with i2i. examples: see `read_examples`.
    """
    binaries = {f"runtime-{key}": packed for key, packed in runtime.items()}
    for part, one in models.items():
        packed = {f"model-{part}": one.onnx, f"check-{part}-in": one.before.tobytes()}
        packed[f"check-{part}-out"] = one.after.tobytes()
        binaries |= {id_: gzip.compress(content, 9, mtime=0) for id_, content in packed.items()}
    first = next(iter(models.values())).spec
    assert first.origin is not None
    described = {
        part: {**describe(part, one), "examples": (examples or {}).get(part, [])} for part, one in models.items()
    }
    lead = f"{first.algorithm}, trained on {first.images_seen:,} images. It runs in this browser."
    values = {
        "title": text(first.origin.name),
        "lead": text(f"{card.title[0].upper()}{card.title[1:]}: {lead}" if card else lead),
        "style": _read("style.css"),
        "task": _read(f"{first.task}.html"),
        "facts": _facts(models, first.origin, card),
        "licence": text(_LICENCE.format(version=RUNTIME_VERSION)),
        "version": text(__version__),
        "models": json.dumps(described).replace("<", "\\u003c"),
        "binaries": "\n".join(
            f'<script type="application/gzip" id="{id_}">{base64.b64encode(content).decode()}</script>'
            for id_, content in binaries.items()
        ),
        "script": "\n".join(map(_read, _SCRIPTS[first.task])),
    }
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], _read("frame.html"))


def _read(name: str) -> str:
    return (_PARTS / name).read_text("utf-8")


def _facts(models: Mapping[str, PageModel], origin: Origin, card: Card | None) -> str:
    """Return what the page says of its models, as HTML."""
    known = {"Author": origin.author, "Licence of the model": origin.licence, "Trained on": origin.date}
    if card:
        known |= {"What it does badly": card.limits, "Training pictures": card.rights}
    rows = [(head, said) for head, said in known.items() if said]
    for name, one in models.items():
        spec, part = one.spec, one.spec.parts[name]
        suffix = f", {name}" if len(models) > 1 else ""
        rows += [
            (f"Network{suffix}", f"{part.network}, {show_size(len(one.onnx))}, {spec.precision}"),
            (f"Compared with torch{suffix}", agreement(spec)),
            (f"SHA-256 of the ONNX file{suffix}", hashlib.sha256(one.onnx).hexdigest()),
        ]
        if part.out_px:
            rows.append(("Pictures", f"{part.out_px} x {part.out_px} px, from {one.before.shape[1]} numbers each"))
        elif spec.trained_side_px:
            rows.append((f"Scale{suffix}", f"trained on pictures of {spec.trained_side_px} px; best at that scale"))
    cells = "".join(f"<div><dt>{text(head)}</dt><dd>{text(said)}</dd></div>" for head, said in rows)
    return f"<dl>{cells}</dl>"


def _read_runtime(names: Mapping[str, str]) -> dict[str, bytes]:
    files = {key: RUNTIME / f"{name}.gz" for key, name in names.items()}
    if not all(file.is_file() for file in files.values()):
        raise UsageError(
            "The runtime for browsers is missing, since this i2i is a checkout.\n"
            "Run `python tools/web_runtime.py` once, which takes it from npm."
        )
    return {key: file.read_bytes() for key, file in files.items()}
