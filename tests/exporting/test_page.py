"""The page that runs a model: its pixels in a real browser, its arithmetic, and what it says of a broken file."""

import base64
import functools
import gzip
import http.server
import io
import json
import re
import shutil
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import i2i
from i2i.errors import UsageError
from i2i.exporting import ExportOptions, export_model, int8, page
from i2i.exporting.page import export_page, page_of
from i2i.exporting.page_models import try_model
from i2i.images import read_image
from i2i.runtime.tiles import make_line
from tests.conftest import LINEART, picture, save
from tests.exporting.browser import Browser
from tests.exporting.conftest import base64_png, image_of
from tests.report.test_browser import BROWSER

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")


@pytest.fixture(scope="module")
def tiny_page(runtime, tiny_run, tmp_path_factory):
    """The page of a tiny model."""
    file = tmp_path_factory.mktemp("page") / "demo.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "RUNTIME", runtime)
        export_page(tiny_run, ExportOptions(page=file, licence="cc-by-4.0", author="Anna <A> Artist"))
    return file


TRANSLATE = """
await i2i.take([file("{picture}", "mine.png")]);
const canvas = document.getElementById("after");
found.made = await pixels(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height));
"""


@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_are_those_of_translate(browse, tiny_page, tiny_run, tmp_path, channels):
    """Of an odd size, and with alpha, to within a level."""
    array = picture(37, 91, channels)
    if channels == 4:
        array[:, :, 3] = np.where(np.arange(91) < 40, 255, 200)
    act = TRANSLATE.replace("{picture}", base64_png(array, tmp_path / "in.png"))
    found = browse(tiny_page.read_text("utf-8"), act)
    assert found["trouble"] == ""
    made = image_of(found["made"], tmp_path / "out.png").astype(int)
    expected = i2i.load(tiny_run, device="cpu")(array).astype(int)
    assert made.shape[:2] == (37, 91)
    if channels == 4:
        np.testing.assert_array_equal(made[:, :, 3], array[:, :, 3])
    assert np.abs(made[:, :, :3] - expected[:, :, :3]).max() <= (1 if channels == 3 else 3)  # straight from on white


def test_large_pictures_go_through_in_tiles_without_a_seam(browse, tiny_page, tmp_path):
    """Of a model whose tiles agree: as whole, but for what each sees at its edges."""
    array = base64_png(picture(150, 200), tmp_path / "in.png")
    act = f"""
    const models = document.getElementById("models"), input = file("{array}", "mine.png");
    await i2i.take([input]);
    """
    act += TRANSLATE.replace("{picture}", array)
    content = tiny_page.read_text("utf-8")
    told = json.loads(re.search(r'id="models">(.*?)</script>', content)[1])
    for model in told.values():
        model |= {"whole": 1, "tile": 64, "seamless": True}
    tiled = re.sub(r'id="models">.*?</script>', lambda _: f'id="models">{json.dumps(told)}</script>', content)
    whole, made = (
        image_of(browse(one, act)["made"], tmp_path / "out.png")[:, :, :3].astype(int) for one in (content, tiled)
    )
    off = np.abs(whole - made)
    assert off.max() > 0  # they were tiles
    assert off.mean() < 3


@pytest.mark.parametrize(("side", "tile", "multiple"), [(200, 64, 16), (64, 64, 16), (33, 64, 16), (1000, 512, 8)])
def test_tiles_are_those_of_the_runtime(browse, tiny_page, tmp_path, side, tile, multiple):
    overlap = tile // 2
    tile_px = min(tile, -(-side // multiple) * multiple)
    covered = -(-(side - tile_px) // multiple) * multiple + tile_px
    expected = make_line(covered, tile_px, multiple, min(overlap, tile_px - multiple), 16)
    act = f"found.line = i2i.line({side}, {tile}, {multiple}, {min(overlap, tile_px - multiple)}, 16);"
    act += "found.line.weights = found.line.weights.map((one) => [...one]);"
    found = browse(tiny_page.read_text("utf-8"), act)["line"]
    assert (found["tile"], found["origins"]) == (expected.tile, expected.origins)
    np.testing.assert_allclose(found["weights"], expected.weights, atol=1e-6)


def test_several_pictures_become_a_zip_and_a_broken_one_is_named(browse, tiny_page, tmp_path):
    one, other = (base64_png(picture(20, 30, seed=seed), tmp_path / "in.png") for seed in (0, 1))
    act = f"""
    const broken = new File([new Uint8Array([137, 80, 78, 71, 1, 2])], "broken.png");
    const files = [file("{one}", "ä.png"), broken, file("{other}", "b.jpg"), file("{one}", "b.png")];
    let kept;
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => {{ kept = blob; return make(blob); }};
    await i2i.take(files);
    found.zip = btoa(String.fromCharCode(...new Uint8Array(await kept.arrayBuffer())));
    """
    found = browse(tiny_page.read_text("utf-8"), act)
    assert "broken.png" in found["trouble"]
    assert "3 of 4" in found["state"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found["zip"]))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["ä.png", "b.png", "b-2.png"]
        (tmp_path / "a.png").write_bytes(archive.read("ä.png"))
    assert read_image(tmp_path / "a.png").shape[:2] == (20, 30)


def test_a_page_whose_pixels_are_wrong_does_not_run(browse, tiny_page, tmp_path):
    """As on a device that computes otherwise; the control is every other test here."""
    content = tiny_page.read_text("utf-8")
    name, packed = re.search(r'id="(check-\w+-out)">(.*?)</script>', content).groups()
    wrong = bytes(255 - value for value in gzip.decompress(base64.b64decode(packed)))
    content = content.replace(packed, base64.b64encode(gzip.compress(wrong)).decode())
    assert name in content
    found = browse(content, "found.disabled = document.getElementById('files').disabled;")
    assert "levels" in found["trouble"]
    assert found["disabled"]


def test_the_page_reaches_no_network_and_holds_all_it_needs(browse, tiny_page, tmp_path):
    content = tiny_page.read_text("utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:|blob:|#)""", content)
    act = "await fetch('data:,1'); try { await fetch('http://127.0.0.1:9/'); } catch (error) { found.refused = true; }"
    act += "await new Promise((resume) => setTimeout(resume, 50)); found.blocked = blocked;"
    content = content.replace("<body>", "<body><script>let blocked = 0;"
                              "addEventListener('securitypolicyviolation', () => blocked++);</script>")  # fmt: skip
    found = browse(content, act)
    assert found["refused"]
    assert found["blocked"] == 1


DRAW = """
const canvas = document.getElementById("drawing"), live = document.getElementById("live");
const settled = () => new Promise((resume) => setTimeout(resume, 600));
const shown = () => pixels(live.getContext("2d").getImageData(0, 0, live.width, live.height));
function point(type, x, y, target = window) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const at = { pointerId: 1, bubbles: true, clientX: left + x * width, clientY: top + y * height };
  target.dispatchEvent(new PointerEvent(type, at));
}
const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
document.getElementById("nib").value = "40";
document.getElementById("sides").value = "72"; // at 18, the scale of its training, this model makes grey of all
document.getElementById("draw").click();
await settled();
found.blank = await shown();
"""


def test_a_drawing_is_translated_as_it_is_made(browse, tiny_page, tiny_run, tmp_path):
    """With a pointer and with keys; undo brings the output of the blank sheet back."""
    act = f"""
    {DRAW}
    point("pointermove", 0.9, 0.9); // no pointer is down: draws nothing
    await settled();
    found.hovered = await shown();
    point("pointerdown", 0.2, 0.3, canvas);
    point("pointermove", 0.8, 0.6);
    point("pointerup", 0.8, 0.6);
    point("pointermove", 0.1, 0.9);
    await settled();
    found.input = await pixels(i2i.seen());
    found.stroke = await shown();
    document.getElementById("undo").click();
    await settled();
    found.undone = await shown();
    for (const key of [" ", "ArrowRight", "ArrowRight", "ArrowDown", " ", "ArrowDown"]) press(key);
    await settled();
    found.keys = await pixels(i2i.seen());
    """
    found = browse(tiny_page.read_text("utf-8"), act)
    assert found["trouble"] == ""
    assert found["hovered"] == found["blank"] == found["undone"] != found["stroke"]
    drawn = image_of(found["input"], tmp_path / "in.png")[:, :, :3]
    side = len(drawn)
    assert drawn[round(0.45 * side), side // 2].max() < 128  # half way
    assert drawn[round(0.75 * side), round(0.45 * side)].min() == 255  # where the pointer was lifted
    made = image_of(found["stroke"], tmp_path / "out.png")[:, :, :3].astype(int)
    expected = i2i.load(tiny_run, device="cpu")(np.ascontiguousarray(drawn)).astype(int)
    assert np.abs(made - expected[:, :, :3]).max() <= 1
    keys = image_of(found["keys"], tmp_path / "keys.png")[:, :, :3]
    assert keys[round(0.6 * side), round(0.8 * side)].max() < 128  # where the pointer was lifted, too
    assert keys[round(0.45 * side), side // 2].min() == 255


def test_the_page_names_author_and_licence(browse, tiny_page, tmp_path):
    act = "for (const row of document.querySelectorAll('dl div'))"
    act += " found[row.children[0].textContent] = row.children[1].textContent;"
    found = browse(tiny_page.read_text("utf-8"), act)
    assert found["Author"] == "Anna <A> Artist"
    assert found["Licence of the model"] == "cc-by-4.0"
    with pytest.raises(UsageError, match="--page"):
        ExportOptions(output=tmp_path / "m.onnx", webgpu=True)


class Isolating(http.server.SimpleHTTPRequestHandler):
    """Serves files with the headers that allow threads."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_threads_run_where_a_server_isolates_the_page(browse, tiny_page):
    """The control is the same page as a file."""
    act = "found.threads = i2i.threads; found.cores = navigator.hardwareConcurrency;"
    handler = functools.partial(Isolating, directory=tiny_page.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = browse(f"http://127.0.0.1:{server.server_port}/{tiny_page.name}", act)
        server.shutdown()
    assert found["trouble"] == ""
    assert found["threads"] == min(found["cores"], 8)
    assert found["state"].startswith("Ready")
    assert browse(tiny_page.read_text("utf-8"), act)["threads"] == 1


SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""Flags of a GPU that the CPU plays."""
REAL = "<script>Object.defineProperty(GPUAdapterInfo.prototype, 'isFallbackAdapter', { get: () => false });</script>"


@pytest.mark.slow
def test_webgpu_runs_where_its_pixels_are_right(tiny_run, with_runtime, tmp_path):
    """Not on a GPU that a CPU plays, unless it passes for a real one; and not where it computes otherwise."""
    file = tmp_path / "gpu.html"
    export_page(tiny_run, ExportOptions(page=file, webgpu=True))
    content, browser = file.read_text("utf-8"), Browser(BROWSER, tmp_path / "profile", *SOFTWARE_GPU)
    real = content.replace("<body>", f"<body>{REAL}")
    fails = "await (provider === 'webgpu' ? Promise.reject(new Error('wrong')) : check(name))"
    pages = {"fallback": content, "real": real, "wrong": real.replace("await check(name)", fails)}
    assert pages["wrong"] != real
    said = {}
    for name, variant in pages.items():
        file.write_text(variant, encoding="utf-8")
        said[name] = browser.run(file, "await i2i.started; return document.getElementById('state').textContent;")
    browser.close()
    assert all(one.startswith("Ready") for one in said.values()), said
    assert {name: "WebGPU" in one for name, one in said.items()} == {"fallback": False, "real": True, "wrong": False}


@pytest.mark.slow
def test_a_page_in_int8_is_smaller_and_has_the_pixels_of_its_file(browse, with_runtime, monkeypatch, tmp_path):
    """The control is static int8, which browsers round otherwise: such a page refuses to run."""
    photo = read_image(sorted((LINEART / "test").glob("*.png"))[0])[:, 64:]
    act = TRANSLATE.replace("{picture}", base64_png(photo, tmp_path / "in.png"))
    pages = {}
    for precision in ("fp32", "int8"):
        pages[precision] = tmp_path / f"{precision}.html"
        export_page("lineart", ExportOptions(page=pages[precision], verify=LINEART / "val", precision=precision))
    content = pages["int8"].read_text("utf-8")
    packed = re.search(r'id="model-\w+">(.*?)</script>', content)[1]
    (tmp_path / "model.onnx").write_bytes(gzip.decompress(base64.b64decode(packed)))
    model = i2i.load(tmp_path / "model.onnx", device="cpu")
    assert model.spec.precision == "int8_weights"
    assert pages["int8"].stat().st_size < pages["fp32"].stat().st_size - 1_500_000
    found = browse(content, act)
    assert found["trouble"] == ""
    made = image_of(found["made"], tmp_path / "out.png")[:, :, :3].astype(int)
    assert np.abs(made - model(photo)).max() <= 1

    monkeypatch.setattr(int8, "_speed", lambda *_: 1.5)
    options = ExportOptions(tmp_path / "static.onnx", io="image", precision="int8", verify=LINEART / "val")
    ((path, spec),) = export_model("lineart", options).items()
    static = page_of({"B2A": try_model(path, spec)}, page._read_runtime(page.RUNTIME_FILES))
    assert "levels off" in browse(static, "")["trouble"]


EXAMPLES = ["A2B/one", "A2B/two", "B2A/three"]


@pytest.mark.slow
def test_both_directions_stand_on_one_page_with_pictures_to_try(browse, two_way_run, with_runtime, tmp_path):
    examples = {name: save(tmp_path / f"{name}.png", 20, 30, seed=seed) for seed, name in enumerate(EXAMPLES)}
    options = ExportOptions(page=tmp_path / "both.html", direction="both", examples=tmp_path)
    specs = export_page(two_way_run, options)
    assert list(specs) == ["A2B", "B2A"]
    act = """
    const pictures = async () => ({
      offered: [...document.querySelectorAll("#examples img")].map((one) => one.alt),
      made: await pixels(by("after").getContext("2d").getImageData(0, 0, 30, 20)),
    });
    const by = (id) => document.getElementById(id);
    found.first = await pictures();
    by("figures").textContent = "";
    document.querySelectorAll("#examples button")[1].click();
    while (!by("figures").textContent) await new Promise((resume) => setTimeout(resume, 20));
    found.second = await pictures();
    const way = document.getElementById("way");
    found.ways = [...way.options].map((one) => one.value);
    way.value = "B2A";
    way.dispatchEvent(new Event("change"));
    while (!document.getElementById("state").textContent.startsWith("Ready")) {
      await new Promise((resume) => setTimeout(resume, 20));
    }
    found.third = await pictures();
    """
    found = browse((tmp_path / "both.html").read_text("utf-8"), act)
    assert found["ways"] == ["A2B", "B2A"]
    assert found["state"].startswith("Ready")
    offered = {"first": ["one.png", "two.png"], "second": ["one.png", "two.png"], "third": ["three.png"]}
    for step, name in zip(offered, EXAMPLES, strict=True):
        assert [alt.split()[-1] for alt in found[step]["offered"]] == offered[step]
        made = image_of(found[step]["made"], tmp_path / "made.png").astype(int)
        model = i2i.load(two_way_run, name.split("/")[0], device="cpu")
        assert np.abs(made[:, :, :3] - model(read_image(examples[name]))).max() <= 1


def test_what_cannot_be_a_page_is_refused(tiny_run, point_model, tmp_path, monkeypatch, runtime):
    monkeypatch.setattr(page, "RUNTIME", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="web_runtime"):
        export_page(tiny_run, ExportOptions(page=tmp_path / "m.html"))
    monkeypatch.setattr(page, "RUNTIME", runtime)
    save(tmp_path / "deep" / "photo.tif", 8, 8)
    with pytest.raises(UsageError, match="deep"):
        export_page(tiny_run, ExportOptions(page=tmp_path / "m.html", examples=tmp_path / "deep"))
    with pytest.raises(UsageError, match="examples"):
        ExportOptions(tmp_path / "m.onnx", examples=tmp_path / "deep")
    with pytest.raises(UsageError, match="points"):
        export_page(point_model, ExportOptions(page=tmp_path / "m.html"))
    with pytest.raises(UsageError, match=r"\.html"):
        export_page(tiny_run, ExportOptions(page=tmp_path / "m.onnx"))
    assert not list(tmp_path.glob("m.*"))


def test_a_finished_file_gives_the_page_of_its_run(tiny_run, tiny_onnx, noise_onnx, with_runtime, tmp_path):
    """Byte for byte; a file that a page cannot hold as it is says how it can."""
    i2i.export(tiny_run, tmp_path / "model.onnx", io="image", licence="mit")
    shutil.copy(noise_onnx, tmp_path / "noise.onnx")
    found = export_page(tmp_path / "model.onnx", ExportOptions(page=tmp_path / "file.html"))
    assert found == export_page(tiny_run, ExportOptions(page=tmp_path / "run.html", licence="mit"))
    assert (tmp_path / "file.html").read_bytes() == (tmp_path / "run.html").read_bytes()
    export_page(tmp_path / "noise.onnx", ExportOptions(page=tmp_path / "noise.html"))
    assert "model-generate" in (tmp_path / "noise.html").read_text("utf-8")
    i2i.export(tiny_run, tmp_path / "fixed.onnx", io="image", size=(64, 64))
    other = ExportOptions(page=tmp_path / "other.html")
    for file, options, words in (
        (tiny_onnx, other, "--io image"),
        (tmp_path / "fixed.onnx", other, "without --size"),
        (tmp_path / "model.onnx", replace(other, author="Anna"), "Leave out .*--author"),
        (tmp_path / "model.onnx", replace(other, direction="both"), "B2A alone"),
        (tmp_path / "noise.onnx", replace(other, direction="A2B"), "Leave out --direction"),
    ):
        with pytest.raises(UsageError, match=words):
            export_page(file, options)
    assert not (tmp_path / "other.html").exists()
