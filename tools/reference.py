"""Write docs/cli.md from the help of the commands, docs/settings.md from the settings; with --check, compare them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from i2i.algorithms import ALGORITHMS
from i2i.cli import cli
from i2i.config.commented import in_one_line
from i2i.config.derive import DERIVE_SETTINGS
from i2i.config.networks import NETWORK_SETTINGS
from i2i.config.optimizers import OPTIMIZER_SETTINGS
from i2i.config.problems import what_it_takes
from i2i.config.section import Section
from i2i.config.settings import Config

DOCS = Path(__file__).parent.parent / "docs"
CHOICES: dict[str, dict[str, type[Section]]] = {
    **NETWORK_SETTINGS,
    "optimizer": {**OPTIMIZER_SETTINGS},
    "data.derive": {**DERIVE_SETTINGS},
}
"""Sections whose `name` chooses their other settings."""
_RAMP = "{from: ..., to: ..., over_images: ...}"
INTRODUCTION = """\
# Settings

Written by `tools/reference.py` from the settings themselves. A preset sets some of these; `i2i init PRESET` writes a
file with all of them, and `--set section.name=value` changes one for one training. Weights of loss terms also take a
ramp: `{from: 0, to: 1, over_images: 5000}`, with `curve: cosine` if it is to be slow at both ends. Names end in their
unit: `_px`, `_images`, `_steps`, `_s`.
"""


def commands() -> Iterator[str]:
    """Yield the parts of docs/cli.md."""
    yield "# Command line\n\nWritten by `tools/reference.py` from `i2i COMMAND --help`.\n"
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"i2i {name}", max_content_width=100, terminal_width=100)
        yield f"## i2i {name}\n\n```text\n{command.get_help(context)}\n```\n"


def settings() -> Iterator[str]:
    """Yield the parts of docs/settings.md."""
    yield INTRODUCTION
    for name, field in Config.model_fields.items():
        yield f"## {name}\n\n{_text(field.description)}\n"
        if name == "algorithm":
            yield f"One of {', '.join(f'`{one}`' for one in ALGORITHMS)}.\n"
        elif name == "loss":
            for algorithm, one in ALGORITHMS.items():
                yield from _section("loss", one.Settings, f"### loss of {algorithm}")
        elif name == "plugins":
            yield f"{_text(what_it_takes(Config.model_json_schema(), name, '')).capitalize()}.\n"
        elif name in CHOICES:
            for choice, model in CHOICES[name].items():
                yield from _section(name, model, f"### {name}.name: {choice}")
        else:
            yield from _section(name, _plain_model(field), "")
            for choice, model in CHOICES.get("data.derive", {}).items() if name == "data" else ():
                yield from _section("data.derive", model, f"### data.derive.name: {choice}")


def _plain_model(field: FieldInfo) -> type[BaseModel]:
    """Return the class of a section that is always the same."""
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, BaseModel)
    return field.annotation


def _section(prefix: str, model: type[BaseModel], title: str) -> Iterator[str]:
    """Yield the settings of one section as a table, below a title and what the section is."""
    if title:
        yield f"{title}\n\n{_text(model.__doc__)}\n"
    rows = list(_rows(prefix, model))
    if rows:
        yield "| setting | takes | default | |\n|---|---|---|---|\n" + "".join(rows)


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema()
    for own, field in model.model_fields.items():
        name = field.alias or own
        if name == "name":
            continue
        inner = field.get_default(call_default_factory=True)
        if isinstance(inner, Section) and type(inner).__name__ != "Ramp":
            yield from _rows(f"{prefix}.{name}", type(inner))
            continue
        default = "" if inner is PydanticUndefined else f"`{in_one_line(inner)}`"
        takes = _text(what_it_takes(schema, name, f"{prefix}.").replace(_RAMP, "a ramp"))
        yield f"| `{prefix}.{name}` | {takes} | {default} | {_text(field.description)} |\n"


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


PAGES = {"cli.md": commands, "settings.md": settings}


def main() -> None:
    """Write the pages, or compare them and exit with 1 if one is out of date."""
    for name, parts in PAGES.items():
        page, path = "\n".join(parts()), DOCS / name
        if "--check" not in sys.argv:
            path.write_text(page, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != page:
            sys.exit(f"docs/{name} is out of date. Run tools/check --fix.")


if __name__ == "__main__":
    main()
