"""The rules of the house that can be checked: who imports whom, what start-up loads, what is public."""

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import torch
import yaml

import i2i
from i2i.algorithms import ALGORITHMS, resolve
from i2i.config import load_config, parse, preset_names, presets_folder, read_yaml, to_yaml
from i2i.config.networks import NETWORK_SETTINGS
from i2i.config.settings import Config
from i2i.models.spec import ModelSpec
from i2i.networks import DISCRIMINATORS, GENERATORS
from tests.conftest import ROOT, SMALLEST

PACKAGE = ROOT / "i2i"
# A module may import from the lines above its own, and from its own part of the house.
ORDER = [
    ["i2i", "i2i.version", "i2i.errors"],
    ["i2i.words"],
    ["i2i.status"],
    ["i2i.arguments", "i2i.files", "i2i.machine"],
    ["i2i.download"],
    ["i2i.weights"],
    ["i2i.images"],
    ["i2i.config"],
    ["i2i.models"],
    ["i2i.networks", "i2i.losses", "i2i.similarity", "i2i.data"],
    ["i2i.algorithms", "i2i.metrics", "i2i.interop"],
    ["i2i.models.modelfile", "i2i.plugins"],
    ["i2i.runtime"],
    ["i2i.report"],
    [
        "i2i.interop.exporting",
        "i2i.interop.pushing",
        "i2i.exporting",
        "i2i.evaluation",
        "i2i.generation",
        "i2i.breeding",
    ],
    ["i2i.serving", "i2i.hosts"],
    ["i2i.training"],
    ["i2i.diagnosis", "i2i.api"],
    ["i2i.cli"],
    ["i2i.__main__"],
]
LEVELS = {part: level for level, parts in enumerate(ORDER) for part in parts}
NEVER = {  # part: what it must not import, whatever the levels say
    "i2i.networks": {"i2i.losses", "i2i.similarity", "i2i.data"},
    "i2i.losses": {"i2i.networks", "i2i.data"},
    "i2i.similarity": {"i2i.networks", "i2i.data"},
    "i2i.data": {"i2i.networks", "i2i.losses", "i2i.similarity"},
    "i2i.runtime": {"i2i.training", "i2i.algorithms", "i2i.data"},
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module):
    """The entry of LEVELS that a module belongs to: the longest prefix of its name."""
    parts = module.split(".")
    return next(name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in LEVELS)


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "i2i":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if (ROOT / full.replace(".", "/")).with_suffix(".py").exists() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "i2i")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_one_way(path):
    own = part_of(module_name(path))
    if own == "i2i":
        return  # the public names, loaded lazily
    for target in imports_of(path):
        part = part_of(target)
        assert part == own or LEVELS[part] < LEVELS[own] or part == "i2i", f"{own} imports {target}"
        assert part not in NEVER.get(own, ()), f"{own} must not import {target}"


SIZES_OF = [path for folder in (PACKAGE, ROOT / "datasets", ROOT / "tools") for path in sorted(folder.rglob("*.py"))]
LONGEST = {ast.FunctionDef: 50, ast.AsyncFunctionDef: 50, ast.ClassDef: 150}


@pytest.mark.parametrize("path", SIZES_OF, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_classes_and_files_stay_short(path):
    """A longer file gives its reason in a sentence of its docstring with the word `lines`."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if len(text.splitlines()) > 300:
        assert re.search(r"\blines\b", ast.get_docstring(tree) or ""), f"{path}: over 300 lines, without a reason"
    for node in ast.walk(tree):
        if type(node) in LONGEST:
            count = node.end_lineno - node.lineno + 1
            assert count <= LONGEST[type(node)], f"{path}: {node.name} has {count} lines"


def test_no_two_classes_share_a_name():
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name != "Settings"  # of an algorithm, inside it
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_only_the_engine_trains():
    calls = {"backward", "step", "requires_grad_"}
    for path in SOURCES:
        if path.name in ("engine.py", "recolouring.py"):  # the second fits nine numbers, before a training
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in calls, f"{path}: {ast.unparse(node)}"


HEAVY = ("torch", "torchvision", "albumentations", "kornia", "lightning_fabric", "onnx", "onnxruntime", "cv2")


def loaded_by(code, heavy=HEAVY):
    """Names of the heavy packages that running `code` in a fresh interpreter loads."""
    check = f"import sys\n{code}\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import i2i",
        "import i2i; i2i.I2IError, i2i.ModelSpec, i2i.load_config, i2i.load, i2i.ImageGenerator",
        "from i2i.cli import cli\ncli.main(['--help'], standalone_mode=False)",
        "from i2i.cli import cli\ncli.main(['train', '--help'], standalone_mode=False)",
    ],
)
def test_start_up_is_light(code):
    assert loaded_by(code) == []


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["translate", "--help"], ["--version"]])
def test_help_loads_no_settings_either(words):
    """These take most of a second on a slow processor, and completion calls at each press of a key."""
    code = f"from i2i.cli import cli\ncli.main({words!r}, standalone_mode=False)"
    assert loaded_by(code, (*HEAVY, "numpy", "pydantic", "yaml", "PIL")) == []


def test_translating_with_onnx_never_loads_torch(tiny_onnx, few_pairs, tmp_path):
    words = ["translate", str(few_pairs / "test"), "-m", str(tiny_onnx), "-o", str(tmp_path / "out")]
    settings = ("yaml", "i2i.config.settings", "PIL.PdfImagePlugin")  # which take as long as to translate a picture
    loaded = loaded_by(f"from i2i.cli import cli\ncli.main({words!r}, standalone_mode=False)", (*HEAVY, *settings))
    assert "onnxruntime" in loaded
    assert not {"torch", *settings} & {*loaded}
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "-n", "4", "-o", "grid.png"],
        ["interpolate", "--seeds", "1,2", "-o", "walk.webp"],
        ["arithmetic", "1,2", "3", "4", "-o", "sum.png"],
        ["traverse", "--code", "noise:2", "--seeds", "1", "-o", "codes.png"],
    ],
    ids=lambda words: words[0],
)
def test_making_pictures_with_onnx_never_loads_torch(words, noise_onnx, tmp_path):
    words = [*words[:-1], str(tmp_path / words[-1]), "-m", str(noise_onnx)]
    loaded = loaded_by(f"from i2i.cli import cli\ncli.main({words!r}, standalone_mode=False)")
    assert "onnxruntime" in loaded
    assert "torch" not in loaded
    assert len(list(tmp_path.iterdir())) == 1


def test_public_names_are_what_is_visible():
    assert sorted(i2i.__all__) == i2i.__all__ == sorted(dir(i2i))
    for name in i2i.__all__:
        assert getattr(i2i, name) is not None
    with pytest.raises(AttributeError):
        i2i.nothing  # noqa: B018


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_whole(name):
    config = resolve(load_config(name))
    if config.data.labels:  # whose classes and texts come from the data
        facts = {"texts": ("a bag",)} if config.data.text else {"classes": {"label": {"bag": 2, "hat": 3}}}
        data = config.data.model_copy(update=facts)
        config = config.model_copy(update={"data": data})
    assert parse(Config, yaml.safe_load(to_yaml(config)), name) == config
    with torch.device("meta"):  # builds the networks at full size without their memory
        algorithm = ALGORITHMS[config.algorithm](config)
    parts = algorithm.parts()
    assert set(parts) == set(algorithm.generators)
    ModelSpec(
        i2i_version="0", algorithm=name, norm_statistics="image", trained_crop_px=1, trained_side_px=1, parts=parts
    )
    text = (presets_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"i2i train {name} --" in text  # says how to use itself


def test_presets_are_found_from_the_checkout():
    assert preset_names() == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    assert read_yaml(presets_folder() / "pix2pix.yaml")["algorithm"] == "pix2pix"


GOLDEN = ROOT / "tests" / "golden" / "presets.yaml"


def test_presets_resolve_to_what_is_recorded(pytestconfig):
    """A change of one preset may change those on it: the diff of the file shows which."""
    found = yaml.safe_dump({name: _differs(name) for name in preset_names()}, width=110, default_flow_style=None)
    if pytestconfig.getoption("--update-golden"):
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8"), "Read the new values, then run this with --update-golden."


def _differs(name):
    """Return the settings of a preset that differ from their defaults, and the names of its choices."""
    config = i2i.load_config(name)
    values = config.model_dump(mode="json", exclude_defaults=True)
    for section in ("generator", "discriminator", "optimizer"):
        if chosen := getattr(config, section):
            values[section] = {"name": chosen.name, **values.get(section, {})}
    return values


ASSERTED = r"""(match=|assert (not )?|search\(|startswith\(|endswith\()[rfb]*["'][^"'{}]*"""
SENTENCE = re.compile(ASSERTED + r"(?<![\w./-])[a-z]+( [a-z]+){2}(?![\w/\\-])")


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_tests_assert_names_and_not_sentences(path):
    """Three words in a row are a sentence, unless they are a command; whole texts stand in the golden file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if SENTENCE.search(line) and "i2i " not in line and "SENTENCE" not in line] == []


def test_what_counts_as_a_sentence():
    assert SENTENCE.search("with raises(Error, match=r'a.png cannot be read'):")
    assert not SENTENCE.search('assert "data.side" in text')
    assert not SENTENCE.search('assert "batch norm" in text')


def test_every_algorithm_is_in_the_contract_tests():
    """Whatever is in SMALLEST they train; see CONTRIBUTING.md."""
    assert {i2i.load_config(preset).algorithm for preset in SMALLEST.values()} == set(ALGORITHMS)


TABLES: dict[str, dict[str, Any]] = {"generator": GENERATORS, "discriminator": DISCRIMINATORS}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, table in TABLES.items() for name in table])
def test_settings_of_a_network_are_its_arguments(role, name):
    one = NETWORK_SETTINGS[role][name]()
    parameters = inspect.signature(TABLES[role][name]).parameters
    by_data = ("in_channels", "out_channels", "size", "condition", "domains", "heads", "fills_holes")
    by_data += ("level", "fade", "mixing", "recolours")  # by the images seen, the algorithm and two settings
    arguments = {name: p.default for name, p in parameters.items() if name not in by_data}
    assert one.model_dump(exclude={"name", "recolour", "recolouring"}) == arguments
    assert set(NETWORK_SETTINGS[role]) == set(TABLES[role])
