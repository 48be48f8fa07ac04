"""The page of file formats: what i2i writes, from the classes and docstrings of the code that writes it."""

import ast
import importlib
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from i2i.images import Scale
from i2i.models import onnxfile, safetensorsfile
from i2i.models.parts import LatentBlock, Part
from i2i.models.picture_spec import PictureSpec
from i2i.models.spec import METADATA_KEY, Derivation, ExportProof, Int8Proof, ModelSpec, Origin
from i2i.report.record import CHOICE_KEYS, WARNING

DESCRIPTION = (ModelSpec, Part, PictureSpec, Scale, LatentBlock, Derivation, ExportProof, Int8Proof, Origin)
"""The classes of a model's description, from the outside in."""
RUN_FOLDER = {
    "config.yaml": "all settings, those of the preset and the defaults too",
    "i2i.schema.json": "what `config.yaml` may hold, as a JSON schema for editors; its first line names it",
    "run.json": "data, its digest, images in total, parameters; versions, device and date of each start",
    "metrics.jsonl": "losses and scores, a row at a time",
    "model.safetensors": "the model of the newest checkpoint, or the best one with `train.keep=best`",
    "best.json": "with `train.keep=best`: which one that is, and its score",
    "checkpoints/best.safetensors": "with `train.keep=best`: the best since the newest checkpoint",
    "checkpoints/*.pt": "the newest `log.keep_checkpoints`, named by images seen, 9 digits",
    "checkpoints/*.damaged": "one that did not match its digest when the training went on",
    "samples/*.png": "previews, named by images seen and direction: `000002000.A2B.png`",
    "scores/*.json": "evaluations, as `i2i evaluate --json` prints them",
    "scores/*.png": "the worst pairs of each",
    "diagnosis.json": "what `i2i diagnose` found",
    "report.html": "the run as a page",
    ".i2i-lock": "kept while a training runs, so that no second one writes here",
}
"""What may be in a run folder, as patterns."""
CHECKPOINT = {
    "i2i_version": "version that wrote it",
    "config": "all settings, as `config.yaml` has them",
    "images": "images seen",
    "seconds": "time of training so far",
    "scores": "the newest, as `metrics` of a description",
    "best": "with `train.keep=best`: which model is the best, and its score; else null",
    "norm_statistics": "as in a description",
    "data": "SHA-256 of the names and labels of the training pictures",
    "what": "the data in words",
    "total_images": "length of the schedule",
    "decay_images": "over how many of these the rate falls to zero, at the end",
    "stepper": "networks, optimizers, mean weights, precision and random states, by name",
    "alarms": "what the checks for illnesses have seen",
    "meter": "losses since the last row of metrics",
    "broken": "files that could not be read",
    "unscored": "whether it was saved before its scores",
    "scoring_s": "time spent on scores",
}
"""The entries of a checkpoint."""
ROWS = {
    "images": "images seen",
    "epochs": "passes over the data",
    "seconds": "time of training, over all starts",
    "split": f"what the values are of: `train`, a split of previews, `val`, or `{WARNING}`, whose row holds `text`",
}
"""What each row of metrics has beside its values."""
READ = """\
import json
from pathlib import Path

content = Path("runs/mine/model.safetensors").read_bytes()
header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
description = json.loads(header["__metadata__"]["i2i"])
print(description["algorithm"], *description["parts"])
"""


def formats() -> Iterator[str]:
    """Yield the parts of docs/formats.md."""
    yield (
        "# File formats\n\nWritten by `tools/reference.py` from the code. What i2i writes, for programs that read it "
        "without i2i. Files are\nreplaced whole or not at all, and text is UTF-8.\n"
    )
    yield from _models()
    yield f"## A run folder\n\n{_table('file', RUN_FOLDER)}"
    yield (
        "## config.yaml\n\nAll [settings](settings.md) by section, with the facts of the data filled in: "
        "absolute paths, classes, scales. It is a\npreset, too: `i2i train runs/mine/config.yaml --out runs/again`.\n"
    )
    choice = ", ".join(f"`{key}`" for key in CHOICE_KEYS)
    yield (
        f"## metrics.jsonl\n\nOne JSON object a line, appended.\n\n{_table('key', ROWS)}\n"
        "All other values are numbers by name. Names of previews end in their direction, `L1.A2B`. Rows `val` choose "
        f"the best model,\nand may then have {choice}.\n"
    )
    yield f"## A checkpoint\n\n{_doc('i2i.training.checkpoint')}\n\n{_table('entry', CHECKPOINT)}"
    yield f"## Tar shards\n\n{_doc('i2i.data.shards', code=True)}\n"


def _models() -> Iterator[str]:
    """Yield what is in model files and exported ones."""
    digest = inspect.cleandoc(safetensorsfile.digest_of.__doc__ or "").removeprefix("Return the ").replace("\n", " ")
    entries = {
        METADATA_KEY: "the description, as JSON; its fields are below",
        safetensorsfile.DIGEST_KEY: f"the {digest}",
    }
    yield (
        "## model.safetensors\n\nA safetensors file. Tensors are named by part and network: `A2B.` and the name in the "
        "network's `state_dict`.\n`__metadata__` has two entries:\n\n"
        f"{_table('entry', entries)}\n```python\n{READ}```\n"
    )
    for one in DESCRIPTION:
        title = "The description" if one is ModelSpec else one.__name__
        yield f"### {title}\n\n{_text(one.__doc__)}\n\n{_fields(one)}"
    yield f"## model.onnx\n\n{_doc('i2i.exporting')}\n"
    yield (
        f"The opset is 18, and weights are inside. `metadata_props` has the description as `{METADATA_KEY}`, and as "
        f"`{onnxfile.DIGEST_KEY}`\nthe SHA-256 of graph and description.\n"
    )


def _fields(model: type[BaseModel]) -> str:
    """Return the fields of a class as a table."""
    rows, said = {}, _said(model)
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f" (default `{json.dumps(field.get_default())}`)"
        rows[name] = f"{_text(said[name])}{default}"
    return _table("field", rows)


def _said(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field; pydantic would read the sources at each start of a program that uses it."""
    said: dict[str, str] = {}
    for one in model.__mro__:
        if one is not BaseModel and issubclass(one, BaseModel):
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
            assert isinstance(tree, ast.ClassDef)
            for pair in itertools.pairwise(tree.body):
                match pair:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        said.setdefault(name, inspect.cleandoc(text))
    return said


def _table(first: str, rows: dict[str, str]) -> str:
    return f"| {first} | |\n|---|---|\n" + "".join(f"| `{name}` | {said} |\n" for name, said in rows.items())


def _doc(module: str, code: bool = False) -> str:
    """Return the docstring of a module; code: whether what follows its first paragraph is a table in plain text."""
    text = ast.get_docstring(ast.parse(Path(importlib.import_module(module).__file__ or "").read_text("utf-8"))) or ""
    if not code:
        return text.replace("<", "&lt;")
    first, _, rest = text.partition("\n\n")
    return f"{first}\n\n```text\n{rest}\n```"


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")
