"""`--json`: stdout holds one object alone, and docs/json.md says each of its fields."""

import json
import re

import pytest

from i2i.cli.json_output import SCHEMA, print_json
from i2i.version import __version__
from tests.cli.test_cli import call, stub_web_runtime
from tests.conftest import ROOT, save

PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
FIELD = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ?(.*?) ?\|$", re.MULTILINE)
TYPES = {"text": str, "number": (int, float), "integer": int, "object": dict, "boolean": bool, "null": type(None)}
LISTS = {
    "list of text": str,
    "list of numbers": (int, float),
    "list of integers": int,
    "list of lists": list,
    "list of objects": dict,
}


def fields(*tables):
    """The rows of tables of the page, by their order in a section: (pattern of the path, types, whether optional)."""
    for section, place in tables:
        body = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0] if section else PAGE.split("\n## ")[0]
        text = body.split("|---|---|---|\n")[place + 1].split("\n\n")[0]
        for name, kinds, meaning in FIELD.findall(f"{text}\n"):
            pattern = re.escape(name).replace(re.escape("[]"), r"\[\]")
            pattern = re.sub(r"(?<=\\\.)[A-Z]+", r"[^.\\[]+", pattern)
            yield name, re.compile(pattern), kinds.split(" or "), meaning.startswith("*if")


def walk(value, path=""):
    """Every value of nested objects and lists of objects, with its path."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, f"{path}.{name.replace('.', '_')}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for inner in value:
            yield from ((where, one) for where, one in walk(inner, f"{path}[]") if where != f"{path}[]")


def has_type(value, kind):
    if kind == "any":
        return True
    if kind in LISTS:
        return isinstance(value, list) and all(isinstance(one, LISTS[kind]) for one in value)
    return isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")


def undocumented(result, rows):
    """What differs between a result and its tables: paths without a row, of another type, and rows without a value."""
    rows, seen, wrong = list(rows), set(), []
    open_ended = [pattern for _, pattern, kinds, _ in rows if kinds == ["any"]]
    for path, value in walk(result):
        if any(re.match(pattern.pattern + r"[.\[]", path) for pattern in open_ended):
            continue
        found = [(name, kinds) for name, pattern, kinds, _ in rows if pattern.fullmatch(path)]
        if not found:
            wrong.append(f"{path} has no row")
        elif not any(has_type(value, kind) for kind in found[0][1]):
            wrong.append(f"{path} is {value!r}, not {found[0][1]}")
        seen.update(name for name, _ in found[:1])
    parents = {name for name, _, kinds, _ in rows if "null" in kinds}
    return wrong + [
        f"{name} has no value"
        for name, _, _, optional in rows
        if name not in seen and not optional and not any(name.startswith(f"{one}.") for one in parents)
    ]


PAIRS = [("evaluate", 0), ("evaluate", 1)]
SETS = [("evaluate", 0), ("evaluate", 2)]
LINES = [
    ("evaluate -m model.onnx --data D", PAIRS, 0),
    ("evaluate -m runs/horses --data D --metrics l1", PAIRS, 0),
    ("evaluate -m runs/horses --data many --sets --network random", SETS, 0),
    ("evaluate -m runs/faces --data faces --network random --count 12", SETS, 0),
    ("translate photos -m model.onnx -o new", [("translate", 0)], 0),
    ("translate mixed -m runs/lineart -o newer", [("translate", 0)], 3),
    ("export runs/lineart -o new.onnx --io image", [("export", 0)], 0),
    ("export runs/horses --page new.html --direction A2B", [("export", 0)], 0),
    ("export --verify model.onnx", [("export", 1)], 0),
    ("export summer.safetensors -o new.pth", [("export", 2)], 0),
    ("invert pictures -m runs/faces -o new.npy --fit resize --steps 1", [("invert", 0)], 0),
    ("encode pictures -m runs/vae -o new.npy --fit resize", [("encode", 0)], 0),
    ("import latest_net_G.pth -o new.safetensors", [("import", 0)], 0),
    ("weights", [("weights", 0)], 0),
    ("info runs/horses", [("info", 0)], 0),
    ("info model.onnx", [("info", 0)], 0),
    ("info runs/clothes", [("info", 0)], 0),
    ("bench -m model.onnx --size 16x24 --batch 2 --seconds 0", [("bench", 0)], 0),
    ("bench -m faces.onnx --seconds 0", [("bench", 0)], 0),
    ("compare runs/lineart runs/horses runs/faces", [("compare", 0)], 0),
    ("models", [("models", 0)], 0),
    ("diagnose runs/lineart", [("diagnose", 0)], 0),
    ("doctor", [("doctor", 0)], 0),
    ("doctor D", [("doctor", 1)], 0),
]


@pytest.fixture
def desk(desk, monkeypatch):
    """And sets of a dozen, and a folder with a broken file."""
    stub_web_runtime(desk, monkeypatch)
    for number in range(12):
        for side in "AB":
            save(desk / "many" / f"test{side}" / f"{number}.png", 20, 20, seed=number)
        save(desk / "faces" / f"{number}.png", 32, 32, seed=number)
    save(desk / "mixed" / "a.png", 20, 20)
    (desk / "mixed" / "b.png").write_bytes(b"no picture")
    return desk


@pytest.mark.parametrize(("line", "tables", "code"), LINES, ids=[line for line, *_ in LINES])
def test_stdout_is_one_object_and_the_page_says_its_fields(line, tables, code, desk, capfd):
    assert call(*line.split(), "--json") == code, capfd.readouterr().err
    envelope = json.loads(capfd.readouterr().out)
    assert undocumented(envelope, [*fields(("", 0)), ("result.", re.compile(r"result\..*"), ["any"], True)]) == []
    assert (envelope["schema"], envelope["command"], envelope["version"]) == (SCHEMA, line.split()[0], __version__)
    assert undocumented(envelope["result"], fields(*tables)) == []


def test_fields_that_are_new_or_gone_or_changed_are_found():
    rows = list(fields(("doctor", 0)))
    whole = {"facts": {"i2i": "1"}, "traps": ["one"]}
    assert undocumented(whole, rows) == []
    for change in ({"new": 1}, {"traps": "one"}, {"traps": [1]}, {"facts": {"i2i": 1}}, {"facts": None}):
        assert len(undocumented({**whole, **change}, rows)) >= 1, change
    assert undocumented({"facts": {"i2i": "1"}}, rows) == ["traps has no value"]


def test_a_command_that_fails_prints_no_json(desk, capfd):
    assert call("evaluate", "-m", "model.onnx", "--data", "photos", "--json") == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert "photos" in said.err


def test_numbers_that_json_does_not_have_are_null(capfd):
    print_json("test", {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": (float("-inf"), True)}})
    assert json.loads(capfd.readouterr().out)["result"] == {"a": None, "b": [1.5, None], "c": {"d": [None, True]}}
