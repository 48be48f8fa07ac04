"""Untrusted ONNX files: what generators need runs; the rest is refused before ONNX Runtime sees it."""

import os
import platform
import random
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import i2i
from i2i.errors import ModelError
from i2i.models import trial
from i2i.models.onnxfile import DIGEST_KEY, check_onnx
from i2i.models.spec import UNDESCRIBED
from tests.conftest import peak_kib, picture, run_i2i, save

pytestmark = pytest.mark.hostile


def undigested(made):
    """A model without the digest that i2i writes."""
    kept = [entry for entry in made.metadata_props if entry.key != DIGEST_KEY]
    plain = onnx.ModelProto()
    plain.CopyFrom(made)
    del plain.metadata_props[:]
    plain.metadata_props.extend(kept)
    return plain


def tensor(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.array(values, dtype), name)


def graph(nodes, weights=(), takes=("n", 3, "h", "w"), makes=("n", 3, "h", "w"), element=TensorProto.FLOAT):
    return helper.make_graph(
        [helper.make_node(*node[:3], **node[3] if len(node) > 3 else {}) for node in nodes],
        "g",
        [helper.make_tensor_value_info("x", element, takes)],
        [helper.make_tensor_value_info("y", element, makes)],
        list(weights),
    )


def model(*args, opset=17, **kwargs):
    made = graph(*args, **kwargs) if args or kwargs else graph(CONV, [EYE])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


EYE = tensor("w", np.eye(3).reshape(3, 3, 1, 1))
CONV = [("Conv", ["x", "w"], ["c"]), ("Tanh", ["c"], ["y"])]
SAME = [("Identity", ["x"], ["y"])]


def outside(location, claims=27, **place):
    """Weights stored in another file."""
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3, 1, claims // 9])
    made.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **place}.items():
        made.external_data.add(key=key, value=str(value))
    return model(CONV, [made])


def changed(change, made=None):
    made = made or model()
    change(made)
    return made


def claims(*dims):
    return model(CONV, [TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(8))])


def grows(operator, size, dtype=np.int64):
    """An operator that makes its output as large as the file says."""
    if operator == "ConstantOfShape":
        return model(
            [(operator, ["s"], ["z"]), ("ReduceSum", ["z"], ["r"]), ("Add", ["x", "r"], ["y"])],
            [tensor("s", size, dtype)],
        )
    return model([(operator, ["x", *[""] * (operator == "Resize"), "s"], ["y"])], [tensor("s", size, dtype)])


def hidden_growth():
    """The size is computed: the sixth power of the picture's width."""
    powers = [("Mul", ["s0", "s0"], ["s1"]), ("Mul", ["s1", "s1"], ["s2"]), ("Mul", ["s1", "s2"], ["s3"])]
    nodes = [
        ("Shape", ["x"], ["all"]),
        ("Slice", ["all", "three", "four"], ["s0"]),
        *powers,
        ("ConstantOfShape", ["s3"], ["z"]),
        ("ReduceMax", ["z"], ["r"], {"keepdims": 0}),
        ("Add", ["x", "r"], ["y"]),
    ]
    return model(nodes, [tensor("three", [3], np.int64), tensor("four", [4], np.int64)])


def loop(operator):
    inside = helper.make_graph([], "b", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)])
    attributes = {"Loop": {"body": inside}, "If": {"then_branch": inside, "else_branch": inside}}[operator]
    return model([(operator, ["t", "", "x"][: 3 if operator == "Loop" else 1], ["y"], attributes)])


def function():
    made = helper.make_function(
        "evil", "F", ["x"], ["y"], [helper.make_node("Tanh", ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    return changed(lambda m: m.functions.append(made))


REFUSED = {
    "loop": (lambda: loop("Loop"), "the operator Loop"),
    "if": (lambda: loop("If"), "the operator If"),
    "graph in an operator": (
        lambda: model([("Tanh", ["x"], ["y"], {"body": graph(SAME)})]),
        "graphs.* Tanh",
    ),
    "random": (lambda: model([("RandomNormalLike", ["x"], ["y"])]), "RandomNormalLike"),
    "custom": (lambda: changed(lambda m: setattr(m.graph.node[0], "domain", "evil")), "operators of evil"),
    "domain": (lambda: changed(lambda m: m.opset_import.add(domain="com.evil", version=1)), "operators of com.evil"),
    "function": (function, "functions"),
    "training": (lambda: changed(lambda m: m.training_info.add()), "holds a training"),
    "strings": (lambda: model(SAME, [helper.make_tensor("w", TensorProto.STRING, [1], [b"x"])]), "holds no numbers"),
    "parent": (lambda: outside("../secret.bin"), r"names \.\./secret\.bin"),
    "absolute": (lambda: outside("/etc/passwd"), "names /etc/passwd"),
    "backslash": (lambda: outside("..\\secret.bin"), r"names \.\.\\secret\.bin"),
    "nowhere": (lambda: outside(""), "names nothing"),
    "missing": (lambda: outside("gone.bin"), "gone.bin"),
    "symbolic link": (lambda: outside("link.bin"), "regular"),
    "hard link": (lambda: outside("hard.bin"), "regular"),
    "pipe": (lambda: outside("pipe"), "regular"),
    "too long": (lambda: outside("inside.bin", length=108), "claims more weights"),
    "negative": (lambda: outside("inside.bin", 9, offset=-16, length=36), "claims more weights"),
    "words": (lambda: outside("inside.bin", 9, offset="x"), "number"),
    "constant": (lambda: grows("ConstantOfShape", [2 * 10**9]), r" 2e\+09 .*ConstantOfShape"),
    "resize": (lambda: grows("Resize", [1, 1, 4096, 4096], np.float32), "1x1x4096x4096 .*Resize"),
    "nan": (lambda: grows("Resize", [1, 1, np.nan, 2], np.float32), "asks for 1x1xnanx2"),
    "tile": (lambda: grows("Tile", [1, 1, 30000, 30000]), "1x1x30000x30000 .*Tile"),
    "expand": (lambda: grows("Expand", [10**5, 3, 8, 8]), "size.* Expand"),
    "overflow": (lambda: claims(2**31, 2**31, 2**31), "w claims"),
    "short": (lambda: claims(3, 3, 1, 1), "shape"),
    "axes": (lambda: claims(*[1] * 2000), "holds no numbers"),
    "no operators": (lambda: model([]), "holds no operators"),
    "rank 2": (lambda: model(SAME, takes=("n", 10), makes=("n", 10)), "classifier"),
    "rank 5": (lambda: model(SAME, takes=(1, 3, 4, 8, 8), makes=(1, 3, 4, 8, 8)), "description"),
    "integers": (lambda: model(SAME, element=TensorProto.INT64), r"takes int64 \(\?, 3, \?, \?\)"),
    "7 channels": (lambda: model(SAME, takes=("n", 7, "h", "w")), "picture.* float32"),
    "classifier": (lambda: model([("GlobalAveragePool", ["x"], ["y"])], makes=("n", 3, 1, 1)), "classifier"),
    "two inputs": (
        lambda: changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))),
        r"takes float32 \(\?, 3, \?, \?\); float32 \(1\)",
    ),
    "dangling": (lambda: changed(lambda m: m.graph.node[0].input.__setitem__(0, "q")), "model file"),
    "future": (lambda: model(opset=999), "model file"),
    "nan weights": (lambda: model(CONV, [tensor("w", np.full((3, 3, 1, 1), np.nan))]), "NaN or infinity"),
    "infinity": (lambda: model([("Div", ["x", "w"], ["y"])], [tensor("w", [0])]), "NaN or infinity"),
    "5 channels": (lambda: model([("Concat", ["x", "x"], ["y"], {"axis": 1})], makes=None), "makes 6 channels"),
    "larger": (lambda: grows("Resize", [1, 1, 2, 2], np.float32), "large"),
    "escape": (lambda: model([("\x1b[2J", ["x"], ["y"])]), r"operator \?\[2J"),
}


@pytest.fixture
def folder(tmp_path):
    """Files that a model might name as its weights, and a picture."""
    np.full(27, 7, np.float32).tofile(tmp_path / "secret.bin")
    inside = tmp_path / "models"
    inside.mkdir()
    np.eye(3, dtype=np.float32).tofile(inside / "inside.bin")
    if hasattr(os, "mkfifo"):
        os.mkfifo(inside / "pipe")
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    (inside / "hard.bin").hardlink_to(tmp_path / "secret.bin")
    return inside


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_generator_needs_is_refused(folder, name):
    make, reason = REFUSED[name]
    (folder / "m.onnx").write_bytes(make().SerializeToString())
    before = peak_kib()
    with pytest.raises(ModelError, match=reason) as refused:
        i2i.load(folder / "m.onnx", device="cpu")
    assert peak_kib() - before < 200_000
    lines = str(refused.value).splitlines()
    assert len(lines) <= 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only there can the memory of a process be limited")
def test_growth_that_is_computed_meets_the_memory_limit(folder, monkeypatch):
    (folder / "m.onnx").write_bytes(hidden_growth().SerializeToString())
    check_onnx(folder / "m.onnx")
    before = peak_kib()
    with pytest.raises(ModelError, match=r"picture|zeros"):
        i2i.load(folder / "m.onnx", device="cpu")
    assert peak_kib() - before < 200_000
    (folder / "m.onnx").write_bytes(model().SerializeToString())
    monkeypatch.setattr(trial, "MEMORY_BYTES", -(10 << 20))
    with pytest.raises(ModelError, match=r"m\.onnx|ONNX Runtime"):
        i2i.load(folder / "m.onnx", device="cpu")


def slow(how):
    """Models that run for minutes: in many operators, in one, or while constants are folded on opening."""
    if how == "many operators":
        nodes = [("Conv", [f"x{k}" if k else "x", "w"], [f"x{k + 1}"], {"pads": [10] * 4}) for k in range(9000)]
        shape, weights = (1, 3, 64, 64), [tensor("w", np.zeros((3, 3, 21, 21)))]
        return model([*nodes, ("Identity", ["x9000"], ["y"])], weights, shape, shape)
    if how == "one operator":
        nodes = [("Resize", ["x", "", "", "s"], ["big"], {}), ("MaxPool", ["big"], ["p"], {"kernel_shape": [500, 500]})]
        weights = [tensor("s", [1, 3, 1200, 1200], np.int64)]
    else:
        nodes = [("Expand", ["one", "s"], ["m0"]), *(("MatMul", [f"m{k}", "m0"], [f"m{k + 1}"]) for k in range(400))]
        nodes += [("ReduceMean", ["m400"], ["p"])]
        weights = [tensor("one", np.float32(1)), tensor("s", [2000, 2000], np.int64)]
    return model([*nodes, ("ReduceMean", ["p"], ["r"], {"keepdims": 0}), ("Add", ["x", "r"], ["y"])], weights)


@pytest.mark.parametrize("how", ["many operators", "one operator", "folded constants"])
def test_time_is_limited(folder, monkeypatch, how):
    (folder / "m.onnx").write_bytes(slow(how).SerializeToString())
    monkeypatch.setattr(trial, "SECONDS", 0.4)
    start = time.monotonic()
    with pytest.raises(ModelError, match="0 s"):
        i2i.load(folder / "m.onnx", device="cpu")
    assert time.monotonic() - start < 20


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="where this division is a trap")
@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_a_model_that_crashes_onnx_runtime_is_refused(folder, operator):
    """The least integer divided by -1 overflows."""
    nodes = [("Shape", ["x"], ["s"]), ("Sub", ["s", "s"], ["zeros"]), ("Sub", ["zeros", "one"], ["minus"])]
    nodes += [(operator, ["least", "minus"], ["d"]), ("Cast", ["d"], ["f"], {"to": TensorProto.FLOAT})]
    nodes += [("ReduceMean", ["f"], ["r"], {"keepdims": 0}), ("Add", ["x", "r"], ["y"])]
    weights = [tensor("one", [1], np.int64), tensor("least", [-(2**63)], np.int64)]
    (folder / "m.onnx").write_bytes(model(nodes, weights).SerializeToString())
    with pytest.raises(ModelError, match="crashes ONNX Runtime") as refused:
        i2i.load(folder / "m.onnx", device="cpu")
    assert len(str(refused.value).splitlines()) <= 3


def test_the_trial_imports_nothing_of_the_user(folder, tmp_path):
    """Neither the program that loads a model nor the files in its folder are called."""
    (folder / "m.onnx").write_bytes(model().SerializeToString())
    (tmp_path / "json.py").write_text("print('imported')")
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path.pop(0)\nimport i2i\nprint('here')\ni2i.load({str(folder / 'm.onnx')!r}, device='cpu')\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "here\n"


def test_a_plain_model_without_a_description_runs(folder, tmp_path):
    """Mirrored channels, in three kinds of files: any sides, sides of 4, sides fixed; weights inside or beside."""
    turned = np.eye(3, dtype=np.float32)[::-1].reshape(3, 3, 1, 1)
    turned.tofile(folder / "inside.bin")
    array = picture(37, 50)
    made = {
        "any": model([("Conv", ["x", "w"], ["y"])], [tensor("w", turned)]),
        "beside": outside("inside.bin", 9),
        "fours": model(
            [
                ("SpaceToDepth", ["x"], ["d"], {"blocksize": 4}),
                ("DepthToSpace", ["d"], ["u"], {"blocksize": 4}),
                ("Conv", ["u", "w"], ["y"]),
            ],
            [tensor("w", turned)],
            makes=None,
        ),
        "fixed": model([("Conv", ["x", "w"], ["y"])], [tensor("w", turned)], (1, 3, 64, 64), (1, 3, 64, 64)),
    }
    for name, content in made.items():
        (folder / "m.onnx").write_bytes(content.SerializeToString())
        opened = i2i.load(folder / "m.onnx", device="cpu")
        assert opened.spec.algorithm == UNDESCRIBED
        generator = opened.spec.generators["A2B"]
        assert generator.size_multiple == (4 if name == "fours" else 1)
        assert opened.spec.fixed_size == ((64, 64) if name == "fixed" else None)
        output = opened(array)
        assert output.shape == array.shape
        if name != "beside":  # which ends in a tanh
            np.testing.assert_array_equal(output, array[:, :, ::-1])
    save(tmp_path / "a.png", 20, 20)
    done = run_i2i("translate", tmp_path / "a.png", "-m", folder / "m.onnx", "-o", tmp_path / "b.png")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stderr for word in ("m.onnx", "description", "RGB", "float32 NCHW", "-1 to 1"))
    assert "description" in run_i2i("info", folder / "m.onnx").stdout


def test_a_description_and_a_graph_that_differ_are_named(tiny_onnx, noise_onnx, tmp_path):
    def described_as(source, changes):
        made = onnx.load(source)
        made.CopyFrom(undigested(made))
        text = made.metadata_props[0].value
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        made.metadata_props[0].value = text
        (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
        with pytest.raises(ModelError) as refused:
            i2i.load(tmp_path / "m.onnx", device="cpu")
        return str(refused.value)

    rgb = '"%s":{"channels":3,"meaning":"rgb"'
    grey, rgba = '"inputs":{"channels":1,"meaning":"grey"', '"outputs":{"channels":4,"meaning":"rgba"'
    assert "float32 (?, 1, ?, ?)" in described_as(tiny_onnx, {rgb % "inputs": grey})
    assert "float32 (?, 3, ?, ?)" in described_as(tiny_onnx, {rgb % "outputs": rgba})
    assert "uint8" in described_as(tiny_onnx, {'"io":"tensor"': '"io":"image"'})
    assert "float32 (?, 16)" in described_as(noise_onnx, {'"name":"noise","size":16': '"name":"noise","size":17'})
    for change in ({'"size_multiple":16': '"size_multiple":1000000'}, {'"pix2pix"': '"\\u001b[2J"'}):
        assert "description" in described_as(tiny_onnx, change)


@pytest.mark.parametrize("digested", [True, False])
def test_damage_anywhere_ends_in_an_interface_or_one_error(tiny_onnx, tmp_path, digested):
    """Without the digest, as from other programs, many a flipped byte goes unseen."""
    content, draw, opened = tiny_onnx.read_bytes(), random.Random(0), 0
    if not digested:
        content = undigested(onnx.load(tiny_onnx)).SerializeToString()
    for _ in range(400):
        damaged = bytearray(content)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(damaged)) :]
        for _ in range(draw.choice((1, 1, 8)) if damaged else 0):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / "m.onnx").write_bytes(damaged)
        try:
            opened += bool(check_onnx(tmp_path / "m.onnx").outputs)
        except ModelError:
            continue
    assert opened < 4 if digested else 40 < opened < 400


def test_a_weight_that_changed_is_refused_by_translate_and_info(tiny_onnx, tmp_path):
    """One bit of it; a program that drops the digest is believed, and one that only copies the file keeps it right."""
    save(tmp_path / "a.png", 20, 20)
    copied, changed, own = (onnx.load(tiny_onnx) for _ in range(3))
    for made in (changed, own):
        weight = bytearray(made.graph.initializer[0].raw_data)
        weight[0] ^= 1
        made.graph.initializer[0].raw_data = bytes(weight)
    for made, code in ((copied, 0), (changed, 1), (undigested(own), 0)):
        onnx.save(made, tmp_path / "m.onnx")
        done = run_i2i(
            "translate", tmp_path / "a.png", "-m", tmp_path / "m.onnx", "-o", tmp_path / "b.png", "--overwrite"
        )
        assert done.returncode == run_i2i("info", tmp_path / "m.onnx").returncode
        assert bool(done.returncode) == bool(code), done.stderr
        assert (DIGEST_KEY in done.stderr) == bool(code)
