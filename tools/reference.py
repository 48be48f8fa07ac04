"""Write docs/cli.md from the help of the commands, docs/settings.md from the settings, docs/api.md, docs/errors.md and
docs/formats.md from docstrings; with --check, compare them."""

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from formats import formats
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import i2i
from i2i import errors
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


def api() -> Iterator[str]:
    """Yield the parts of docs/api.md: functions first, then classes."""
    yield (
        "# Python API\n\nWritten by `tools/reference.py` from docstrings. [From Python](python.md) shows it in use.\n"
    )
    names = [name for name in i2i.__all__ if not name.startswith("_")]
    for name in sorted(names, key=lambda name: inspect.isclass(getattr(i2i, name))):
        one = getattr(i2i, name)
        tree = ast.parse(Path(inspect.getsourcefile(inspect.unwrap(one)) or "").read_text(encoding="utf-8"))
        node = [node for node in tree.body if getattr(node, "name", "") == one.__name__][-1]  # the last of overloads
        if isinstance(node, ast.FunctionDef):
            yield f"## i2i.{name}\n\n{_function(node)}"
        elif isinstance(node, ast.ClassDef):
            yield f"## i2i.{name}\n\n{_prose(ast.get_docstring(node))}\n"
            yield from _members(node) if one is not Config else ()


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the public attributes of a class, each with its docstring, and its methods."""
    for one, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(following, ast.Expr):
            said = ast.literal_eval(following.value)
            yield f"- `{one.target.id}`: {_annotation(one.annotation)}. {_prose(' '.join(said.split()))}\n"
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and (one.name == "__call__" or not one.name.startswith("_")):
            yield f"### {node.name}.{one.name}\n\n{_function(one)}"


def _function(node: ast.FunctionDef) -> str:
    """Return the signature of a function, and what it does."""
    decorated = {one.id for one in node.decorator_list if isinstance(one, ast.Name)}
    given = _arguments(node.args)
    gives = f" -> {_annotation(node.returns)}" if node.returns else ""
    head = f"{node.name}{gives}" if "property" in decorated else f"{node.name}({', '.join(given)}){gives}"
    if len(head) > 100:
        head = f"{node.name}(\n" + "".join(f"    {one},\n" for one in given) + f"){gives}"
    return f"```python\n{head.replace(chr(39), chr(34))}\n```\n\n{_prose(ast.get_docstring(node))}\n"


def _arguments(given: ast.arguments) -> list[str]:
    """Return the arguments of a function, without self and cls, as they are written."""
    plain: list[tuple[ast.arg, ast.expr | None]] = []
    first_default = len(given.args) - len(given.defaults)
    for place, one in enumerate(given.args):
        plain.append((one, given.defaults[place - first_default] if place >= first_default else None))
    written = [_argument(*one) for one in plain if one[0].arg not in ("self", "cls")]
    starred = [f"*{given.vararg.arg}"] if given.vararg else ["*"] if given.kwonlyargs else []
    keywords = [_argument(*one) for one in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [*written, *starred, *keywords, *([f"**{given.kwarg.arg}"] if given.kwarg else [])]


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_annotation(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{kind}{f' = {ast.unparse(default)}' if default else ''}"


def _annotation(node: ast.expr) -> str:
    """Return a type as it is written, without the quotes that keep its import late."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _prose(text: str | None) -> str:
    return (text or "").replace("<", "&lt;").replace("*", "\\*")


def error_codes() -> Iterator[str]:
    """Yield the parts of docs/errors.md."""
    yield (
        "# Errors and exit codes\n\nWritten by `tools/reference.py` from `i2i/errors.py`. A command that fails prints "
        "what was received, what is\nallowed and what to do next, and ends with a code. From Python, each is an "
        "exception; those of this page are\n`i2i.errors.NAME`, and all of them are an `i2i.I2IError`.\n"
    )
    rows: list[tuple[str, int | str, str]] = [("", 0, "Everything was done.")]
    rows += [
        (name, one.exit_code, inspect.cleandoc(one.__doc__ or "").partition("\n")[0])
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, errors.I2IError)
    ]
    rows += [
        ("", errors.SOME_REFUSED, "The work is done, but some inputs were refused; each is named."),
        ("Stopped", "128 + the signal", "A training was asked to stop, and has saved."),
        ("KeyboardInterrupt", errors.stop_code(None), "Ctrl-C ended another command; finished outputs stay whole."),
        ("Terminated", errors.Terminated.exit_code, "SIGTERM did."),
    ]
    body = "".join(f"| {code} | {f'`{name}`' if name else ''} | {_text(said)} |\n" for name, code, said in rows)
    yield f"| exit code | error | |\n|---|---|---|\n{body}"


PAGES = {"cli.md": commands, "settings.md": settings, "api.md": api, "errors.md": error_codes, "formats.md": formats}


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
