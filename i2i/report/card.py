"""A model card: what a run's model is, how it scored and how to use it, as Markdown that model hubs read.

The block at the top is what they sort and search by (https://huggingface.co/docs/hub/model-cards).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import yaml

from i2i.errors import UsageError
from i2i.models.hub import SCHEME
from i2i.models.spec import ModelSpec
from i2i.report.record import RunRecord
from i2i.report.scores import ScoreTable, table_of
from i2i.report.sections import facts_of
from i2i.version import DISTRIBUTION

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""An identifier such as mit, apache-2.0 or cc-by-4.0."""
_TASKS = {"translate": "image-to-image", "generate": "unconditional-image-generation"}


class Naming(NamedTuple):
    """What a run cannot know of its model."""

    name: str
    """The heading, and where commands find the model: a file, or hf://NAMESPACE/NAME."""
    address: str
    licence: str | None = None
    author: str | None = None
    """None: what the run's own model.onnx says, if there is one."""
    preview: str | None = None
    """A picture that lies beside the card."""


def model_card(run: RunRecord, naming: Naming) -> str:
    """Return the card of a run's model as Markdown; raises UsageError for a run without a model."""
    if run.spec is None:
        raise UsageError(f"{run.folder} holds no model yet. Train it first, or go on with i2i train ... --resume.")
    tables = [one for one in map(table_of, run.scores) if one]
    parts = [
        f"---\n{yaml.safe_dump(_header(run, run.spec, naming, tables), sort_keys=False, allow_unicode=True)}---\n",
        f"# {_plain(naming.name)}\n",
        f"{_sentence(run.spec)}\n",
        *([f"![Samples]({naming.preview})\n"] if naming.preview else []),
        *_use(run.spec, naming.address),
        *_scores(tables),
        *_limits(run, run.spec, bool(tables)),
        "## Training\n",
        _table(["", ""], [(name, fact) for name, fact in facts_of(run, public=True).items()]),
        *([f"Digest of the training pictures: `{run.facts['data_sha256']}`\n"] if run.facts.get("data_sha256") else []),
    ]
    return "\n".join(parts)


def _header(run: RunRecord, spec: ModelSpec, naming: Naming, tables: Sequence[ScoreTable]) -> dict[str, Any]:
    if naming.licence and not LICENCE.fullmatch(naming.licence):
        raise UsageError(
            f"The licence {naming.licence!r} is not an identifier: small letters, digits, dots and dashes, as in mit, "
            "apache-2.0 or cc-by-4.0."
        )
    origin = run.origin
    licence, author = naming.licence or (origin and origin.licence), naming.author or (origin and origin.author)
    hub = {"license": licence} if licence and LICENCE.fullmatch(licence) else {}
    return {
        "library_name": "i2i",
        "pipeline_tag": _TASKS[spec.task],
        **(hub or ({"license": "other", "license_name": licence} if licence else {})),
        **({"authors": [author]} if author else {}),
        "tags": ["i2i", spec.algorithm, "gan"],
        **({"metrics": names} if (names := _scored_by(tables)) else {}),
    }


def _scored_by(tables: Sequence[ScoreTable]) -> list[str]:
    """Return the names of all metrics, each once."""
    return [*dict.fromkeys(column.name for table in tables for column in table.columns)]


def _sentence(spec: ModelSpec) -> str:
    if spec.latent_generator:
        one = spec.latent_generator
        made = "points" if one.out_meaning == "points" else f"{one.out_meaning} pictures of {one.out_px} px"
        return f"This model makes {made} from noise. It was trained with {spec.algorithm} by i2i."
    ways = [f"{one.in_meaning} pictures to {one.out_meaning} ({name})" for name, one in spec.generators.items()]
    return f"This model translates {' and '.join(ways)}. It was trained with {spec.algorithm} by i2i."


def _use(spec: ModelSpec, address: str) -> Iterator[str]:
    yield "## Use\n"
    if spec.latent_generator:
        lines = [f"i2i generate -m {address} -n 16 -o samples.png"]
        python = [f'samples = i2i.generate("{address}", seeds=16)']
    else:
        several = len(spec.generators) > 1
        lines = [
            f"i2i translate photo.png -m {address}{f' --direction {name}' if several else ''} -o translated.png"
            for name in spec.generators
        ]
        ways = [f', "{name}"' if several else "" for name in spec.generators]
        python = [f'i2i.translate("photo.png", "{address}"{way}).save("translated.png")' for way in ways]
    extras = "train,hub" if address.startswith(SCHEME) else "train"
    yield f"```sh\npip install '{DISTRIBUTION}[{extras}]'\n" + "\n".join(lines) + "\n```\n"
    yield "```python\nimport i2i\n\n" + "\n".join(python) + "\n```\n"


def _scores(tables: Sequence[ScoreTable]) -> Iterator[str]:
    if not tables:
        return
    yield "## Scores\n"
    for table in tables:
        yield f"{_plain(table.title)}. {_plain(table.caption)}.\n"
        heads = ["", *(f"{one.label} {'↓' if one.better == 'lower' else '↑'}" for one in table.columns)]
        rows = []
        for answer in table.answers:
            cells = []
            for column in table.columns:
                shown = column.show(answer.values[column.name]) if column.name in answer.values else "–"
                if ends := answer.intervals.get(column.name):
                    shown += f" [{column.show(ends[0])}, {column.show(ends[1])}]"
                cells.append(shown)
            rows.append((answer.name.replace("_", " "), *cells))
        yield _table(heads, rows)
        yield from (f"{_plain(note)}\n" for note in table.notes)


def _limits(run: RunRecord, spec: ModelSpec, scored: bool) -> Iterator[str]:
    """Yield what a reader must know before they trust the model."""
    said = []
    if spec.trained_side_px:
        said.append(
            f"It knows {spec.trained_crop_px} px squares of pictures whose shorter side is {spec.trained_side_px} px; "
            "it is best at that scale."
        )
    if not scored:
        said.append("It was never scored: `i2i evaluate` was not run.")
    said += [f"`i2i diagnose` found: {_plain(one['name'])} ({_plain(one['advice'])})." for one in run.findings or ()]
    said += [f"After {images:,} images the training warned: {_plain(text)}" for images, text in run.warnings]
    if said:
        yield "## Limits\n"
        yield "\n".join(f"- {one}" for one in said) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_plain(cell) for cell in line)} |\n" for line in lines)


def _plain(text: object) -> str:
    """Return text as one line of Markdown in which nothing of it is markup."""
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", " ".join(str(text).split()))
