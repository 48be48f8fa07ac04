"""`i2i serve`: real requests to a real server on this machine."""

import contextlib
import http.client
import io
import json
import logging
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from i2i.errors import UsageError
from i2i.images import read_image
from i2i.runtime.generator import ImageGenerator
from i2i.serving.accept import choose_kind
from i2i.serving.gate import LOG
from i2i.serving.jobs import JobQueue
from i2i.serving.limits import ServeLimits, check_binding
from i2i.serving.metrics import ServerMetrics
from i2i.serving.pictures import Sent, Studio
from i2i.serving.problems import HttpProblem
from i2i.serving.server import JsonFormatter, open_server
from tests.conftest import ROOT, picture, run_i2i, save
from tests.exporting.browser import Browser
from tests.report.test_browser import BROWSER
from tests.runtime.test_chain import changed

DOCS = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "i2i" / "serving").glob("*.py"))
TOKEN = "sixteen-letters-or-more"
FIELDS = {"code", "received", "allowed", "next_step", "request_id"}


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self):
        """What is wrong, after a look at the schema."""
        found = json.loads(self.body)["error"]
        assert set(found) == FIELDS
        assert all(found.values())
        assert found["request_id"] == self.headers["X-Request-Id"]
        return found


class Client:
    """Requests to one server."""

    def __init__(self, url):
        self.port = int(url.rpartition(":")[2])

    def __call__(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def raw(self, *lines, body=b""):
        """A connection over which a request went so far."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall("\r\n".join(lines).encode() + body)
        return connection

    def metric(self, name, **labels):
        text = self("GET", "/metrics").body.decode()
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


@contextlib.contextmanager
def serving(*models, limits=None, **options):
    """A server in a thread; everything it accepted is answered at the end."""
    with open_server([str(model) for model in models], port=0, limits=limits, **options) as server:
        thread = threading.Thread(target=server.serve_models)
        thread.start()
        try:
            yield Client(server.url)
        finally:
            server.stop()
            thread.join(30)
            assert not thread.is_alive()
        assert list(server.service.folder.iterdir()) == []
        assert server.service.jobs.inside == 0


@pytest.fixture(scope="module")
def ask(tiny_onnx, two_way_run, named_model):
    """A server of four models, and its limits small enough to meet them."""
    named = named_model.with_name("bags.safetensors")
    shutil.copy(named_model, named)
    limits = ServeLimits(max_body_bytes=200_000, max_pixels=100_000)
    usual = changed(two_way_run / "model.safetensors", named.with_name("usual.safetensors"), usual="A2B")
    with serving(tiny_onnx, two_way_run, named, usual, limits=limits) as client:
        yield client


@pytest.fixture
def held(monkeypatch):
    """An event before which no picture is translated."""
    event = threading.Event()

    def translate(self, *arguments):
        event.wait(20)
        return Sent(b"done", "image/png", {})

    monkeypatch.setattr(Studio, "translate", translate)
    yield event
    event.set()


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def png(height=20, width=30, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture(height, width, **options)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.png", np.uint8), ("a.jpg", np.uint8), ("a.webp", np.uint8), ("a.png", np.uint16), ("a.tif", np.uint16)],
)
def test_the_answer_is_what_translate_writes(name, dtype, ask, tiny_onnx, tmp_path):
    source = save(tmp_path / name, 20, 30, dtype=dtype)
    assert run_i2i("translate", source, "-m", tiny_onnx, "-o", tmp_path / "out").returncode == 0
    answer = ask("POST", "/translate", source.read_bytes())
    assert answer.body == (tmp_path / "out" / name).read_bytes()
    assert read_image(tmp_path / "out" / name).dtype == dtype
    assert answer.body != source.read_bytes()
    assert "network;dur=" in answer.headers["Server-Timing"]


@pytest.mark.parametrize(
    "accept", ["image/png", "image/jpeg", "image/webp;q=0.9, text/html", "image/tiff, image/*;q=0.1"]
)
def test_accept_chooses_the_format(accept, ask):
    answer = ask("POST", "/translate", png(), Accept=accept)
    assert answer.headers["Content-Type"] == accept.split(";")[0].split(",")[0]
    assert f"image/{Image.open(io.BytesIO(answer.body)).format.lower()}" == answer.headers["Content-Type"]


def test_what_accept_prefers():
    assert choose_kind("", ".jpg") == choose_kind("image/*", ".jpg") == "image/jpeg"
    assert choose_kind("*/*;q=0.5, image/webp", ".jpg") == "image/webp"
    assert choose_kind("image/png;q=0, image/*", ".bmp") == "image/jpeg"
    for accept in ("text/html", "image/avif", "image/png;q=0", "image/png;q=x"):
        with pytest.raises(HttpProblem) as refused:
            choose_kind(accept, ".png")
        assert refused.value.status == 406


def test_a_form_is_as_good_as_a_body(ask):
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="../../a.png"\r\n\r\n'
    form = ask("POST", "/translate", head + png() + b"\r\n--x--\r\n", Content_Type="multipart/form-data; boundary=x")
    assert form.body == ask("POST", "/translate", png()).body
    other = head.replace(b'"image"', b'"picture"') + png() + b"\r\n--x--\r\n"
    assert ask("POST", "/translate", other, Content_Type="multipart/form-data; boundary=x").status == 415


def test_a_model_of_two_directions_needs_one(ask):
    there, back = (ask("POST", f"/models/two_way/translate?direction={way}", png()) for way in ("A2B", "B2A"))
    assert there.status == back.status == 200
    assert there.body != back.body
    assert "A2B" in ask("POST", "/models/two_way/translate", png()).error["allowed"]
    assert ask("POST", "/models/usual/translate", png()).body == there.body  # it remembers A2B
    assert ask("POST", "/translate?direction=A2B", png()).status == 422  # the first model has B2A alone


def test_pictures_from_noise(ask, named_model):
    bag, again, coat, other = (
        ask("POST", f"/models/bags/generate?seed={seed}&label={label}").body
        for seed, label in ((3, "Bag"), (3, "label=Bag"), (3, "Coat"), (4, "Bag"))
    )
    assert bag == again
    assert len({bag, coat, other}) == 3
    (expected,) = ImageGenerator.open(named_model)(3, ["Bag"])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(bag))), np.asarray(expected))
    assert "Coat" in ask("POST", "/models/bags/generate?label=Shoe").error["received"]
    assert ask("POST", "/models/bags/generate?size=64x64").error["code"] == "not_for_this_model"
    assert ask("POST", "/models/bags/translate", png()).status == 422
    assert ask("POST", "/models/two_way/generate").status == 422


def test_pictures_of_any_size(cppn_model):
    limits = ServeLimits(max_pixels=5000)
    with serving(cppn_model, limits=limits, device="cpu") as ask:
        (model,) = json.loads(ask("GET", "/models").body)["models"]
        assert (model["parts"][0]["size"], model["parts"][0]["size_step"]) == ([16, 16], 1)
        made = ask("POST", f"/models/{model['name']}/generate?seed=3&size=40x24").body
        (expected,) = ImageGenerator.open(cppn_model, "cpu", (24, 40))(3)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(made))), np.asarray(expected))
        own = Image.open(io.BytesIO(ask("POST", f"/models/{model['name']}/generate?seed=3").body))
        assert own.size == (16, 16)
        for size, allowed in (("100x51", "5,000"), ("0x5", "pattern"), ("40", "pattern")):
            refused = ask("POST", f"/models/{model['name']}/generate?size={size}")
            assert (refused.status, allowed in refused.error["allowed"]) == (422, True)


def bomb(side):
    """A PNG that claims side x side pixels in a few bytes."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nope", None, {}, 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", None, {}, 404),
        ("POST", "/models/nope/translate", b"", {}, 404),
        ("TRACE", "/translate", None, {}, 405),
        ("POST", "/translate", png(), {"Accept": "text/html"}, 406),
        ("POST", "/translate", bytes(200_001), {}, 413),
        ("POST", "/translate", iter([bytes(150_000)] * 2), {}, 413),
        ("POST", "/translate", b"{}", {"Content_Type": "application/json"}, 415),
        ("POST", "/translate", b"--x", {"Content_Type": "multipart/form-data"}, 400),
        ("POST", "/translate", b"", {}, 422),
        ("POST", "/translate", b"no picture", {}, 422),
        ("POST", "/translate", png()[:-40], {}, 422),
        ("POST", "/translate", bomb(30_000), {}, 422),
        ("POST", "/translate?drection=A2B", png(), {}, 422),
        ("POST", "/models/bags/generate?seed=-1", None, {}, 422),
        ("GET", "/health", None, {"Host": "evil.example"}, 421),
    ],
)
def test_refusals_have_one_schema(method, path, body, headers, status, ask):
    answer = ask(method, path, body, **headers)
    assert answer.status == status
    assert answer.error["request_id"]
    assert "/tmp" not in answer.error["received"]
    assert ask("POST", "/translate", png()).status == 200


def test_a_large_picture_is_refused_by_its_header(ask):
    assert "100,000" in ask("POST", "/translate", bomb(400)).error["allowed"]
    assert ask("POST", "/translate", png(300, 300)).status == 200


def test_a_long_body_is_refused_before_it_comes(ask):
    with ask.raw("POST /translate HTTP/1.1", "Host: localhost", "Content-Length: 999999999999", "", "") as connection:
        assert b" 413 " in connection.recv(1000).splitlines()[0]


@pytest.mark.parametrize(
    "line", ["hello", f"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {'9' * 5000}"]
)
def test_what_is_no_http_is_told_so(line, ask):
    with ask.raw(line, "", "") as connection:
        head, _, body = connection.recv(2000).partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert set(json.loads(body)["error"]) == FIELDS


def test_a_request_keeps_its_id(ask):
    assert ask("GET", "/health", X_Request_Id="mine-1").headers["X-Request-Id"] == "mine-1"
    made = {ask("GET", "/health", X_Request_Id=given).headers["X-Request-Id"] for given in ("", "a b", "x" * 200)}
    assert len(made) == 3


def test_models_and_metrics(ask):
    listed = {one["name"]: one for one in json.loads(ask("GET", "/models").body)["models"]}
    assert [part["part"] for part in listed["two_way"]["parts"]] == ["A2B", "B2A"]
    assert listed["bags"]["parts"][0]["labels"] == {"label": ["Bag", "Coat"]}
    assert listed["bags"]["parts"][0]["size"] == [32, 32]
    route = {"route": "/translate", "status": "200"}
    before = ask.metric("i2i_requests_total", **route)
    ask("POST", "/translate", png())
    assert ask.metric("i2i_requests_total", **route) == before + 1
    assert ask.metric("i2i_stage_seconds_count", stage="network") > 0
    ask("GET", "/made-up-by-somebody")
    assert ask.metric("i2i_requests_total", route="/made-up-by-somebody") == 0


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_no_network(path, ask):
    page = ask("GET", path)
    assert b"://" not in page.body
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "/models/{name}/translate" in json.loads(ask("GET", "/openapi.json").body)["paths"]


def test_beyond_the_queue_requests_come_again_later(tiny_onnx, held):
    with serving(tiny_onnx, limits=ServeLimits(queue=2), workers=1) as ask, ThreadPoolExecutor(12) as pool:
        inside = [pool.submit(ask, "POST", "/translate", png()) for _ in range(3)]
        wait_for(lambda: ask.metric("i2i_waiting_jobs") == 2)
        refused = [pool.submit(ask, "POST", "/translate", png()) for _ in range(9)]
        for one in refused:
            assert one.result().status == 503
            assert one.result().error["code"] == "busy"
            assert int(one.result().headers["Retry-After"]) >= 1
        assert ask("GET", "/health").status == 200
        held.set()
        assert [one.result().status for one in inside] == [200] * 3
        assert ask("POST", "/translate", png()).status == 200


def test_time_runs_out(tiny_onnx, held):
    with serving(tiny_onnx, limits=ServeLimits(timeout_s=0.3), workers=1) as ask, ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(ask, "POST", "/translate", png()) for _ in range(2))
        codes = {one.result().error["code"] for one in (first, second)}
        assert codes == {"takes_too_long", "busy"}  # the one computed and the one that waited
        held.set()


def test_who_hangs_up_leaves_the_queue(tiny_onnx, held):
    with serving(tiny_onnx, limits=ServeLimits(queue=4), workers=1) as ask:
        head = ("POST /translate HTTP/1.1", "Host: localhost", f"Content-Length: {len(png())}", "", "")
        asked = [ask.raw(*head, body=png()) for _ in range(5)]
        wait_for(lambda: ask.metric("i2i_waiting_jobs") == 4)
        for connection in asked:
            connection.close()
        wait_for(lambda: ask.metric("i2i_waiting_jobs") == 0)
        held.set()
        assert ask("POST", "/translate", png()).status == 200
        for _ in range(20):  # and who hangs up in the middle of a body leaves nothing behind
            ask.raw(*head, body=png()[:50]).close()
        wait_for(lambda: ask.metric("i2i_open_requests") == 1)


def test_slow_clients_are_not_waited_for(tiny_onnx):
    with serving(tiny_onnx, limits=ServeLimits(body_s=0.3, idle_s=0.5, connections=8)) as ask:
        head = ("POST /translate HTTP/1.1", "Host: localhost", "Content-Length: 1000")
        with ask.raw(*head, "", "", body=b"slow") as slow:
            assert b" 408 " in slow.recv(1000).splitlines()[0]
        with ask.raw(*head) as silent, ask.raw("") as mute:
            assert silent.recv(1000) == mute.recv(1000) == b""
        many = [ask.raw(*head) for _ in range(30)]
        wait_for(lambda: answers(ask))  # beyond eight connections there is none for anybody until these have ended
        for one in many:
            one.close()


def answers(ask):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask("GET", "/health").status == 200
    return False


def test_a_token_opens_what_says_something(tiny_onnx):
    with serving(tiny_onnx, token=TOKEN) as ask:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            assert ask("GET", "/models", **given).error["code"] == "no_token"
        assert ask("POST", "/translate", png()).headers["WWW-Authenticate"] == "Bearer"
        assert ask("POST", "/translate", png(), Authorization=f"Bearer {TOKEN}").status == 200
        assert ask("GET", "/health", Host="photos.example").status == 200


def test_other_machines_need_a_token():
    for host in ("127.0.0.1", "::1", "localhost"):
        check_binding(host, None, False)
    check_binding("0.0.0.0", TOKEN, False)
    check_binding("0.0.0.0", None, True)
    for host, token in (("0.0.0.0", None), ("::", None), ("example.org", None), ("127.0.0.1", "short")):
        with pytest.raises(UsageError):
            check_binding(host, token, False)


def test_the_least_recently_used_model_is_closed(tiny_onnx, two_way_run):
    with serving(tiny_onnx, two_way_run, limits=ServeLimits(model_bytes=1)) as ask:
        before = ask("POST", "/translate", png()).body
        opened = {one["name"]: one["open"] for one in json.loads(ask("GET", "/models").body)["models"]}
        assert opened == {"tiny": True, "two_way": False}
        assert ask("POST", "/models/two_way/translate?direction=A2B", png()).status == 200
        assert ask("POST", "/translate", png()).body == before
        assert ask.metric("i2i_models_total", change="closed") >= 3


def test_our_own_mistakes_are_logged_and_told(tiny_onnx, monkeypatch):
    def fail(*arguments):
        raise AssertionError

    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(JsonFormatter().format(record)))
    monkeypatch.setattr(Studio, "translate", fail)
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    with serving(tiny_onnx) as ask:
        assert ask("POST", "/translate", png(), X_Request_Id="mine").error["code"] == "internal"
    LOG.removeHandler(handler)
    LOG.setLevel(logging.NOTSET)
    told = [line for line in lines if line.get("request_id") == "mine"]
    assert "AssertionError" in next(line["traceback"] for line in told if "traceback" in line)
    assert [line["status"] for line in told if line["event"] == "request"] == [500]


def test_a_mean_tells_when_to_come_again():
    jobs = JobQueue(2, 8, 60)
    jobs.mean_s, jobs.inside = 3.0, 10
    assert jobs._busy("", "").retry_after_s == 14  # nine turns of 3 s on two threads
    jobs.close()


CHILD = """
import sys
from i2i.cli import cli
cli.main(sys.argv[1:], standalone_mode=False)
print([name for name in ("torch", "onnxruntime") if name in sys.modules])
"""


@contextlib.contextmanager
def child(model, log):
    """The command in a process of its own, and what asks it.

    log: the file for its stderr. A pipe that nobody reads fills up, and then a line of the log stops the server.
    """
    words = [sys.executable, "-c", CHILD, "serve", str(model), "--port", "0", "--workers", "1"]
    with log.open("w") as err, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=err, text=True) as process:
        try:
            yield process, Client(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of a process")
def test_abuse_costs_no_memory(tiny_onnx, tmp_path):
    with child(tiny_onnx, tmp_path / "log") as (process, ask), ThreadPoolExecutor(16) as pool:
        memory = partial(ask.metric, "process_resident_memory_bytes")
        for _ in range(20):
            ask("POST", "/translate", png(64, 64))
        before = memory()
        head = ("POST /translate HTTP/1.1", "Host: localhost", "Content-Length: 9000000", "", "")
        slow = [ask.raw(*head, body=bytes(2_000_000)) for _ in range(40)]
        wait_for(lambda: ask.metric("i2i_open_requests") == 41)
        for one in slow:
            one.close()
        bodies = [png(64, 64), bomb(30_000), png()[:60], b"", bytes(500_000)] * 24
        statuses = Counter(one.status for one in pool.map(partial(ask, "POST", "/translate"), bodies))
        assert set(statuses) <= {200, 422, 503}
        assert statuses[200] >= 24 - statuses[503]
        wait_for(lambda: ask.metric("i2i_open_requests") == 1)
        assert memory() - before < 40e6  # the slow bodies alone were 80 MB
        assert ask("POST", "/translate", png()).status == 200
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_ends_it_when_all_accepted_are_answered(tiny_onnx, tmp_path):
    body = png(512, 512)  # takes longer than the next request needs to arrive
    with child(tiny_onnx, tmp_path / "log") as (process, ask):
        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(ask, "POST", "/translate", body) for _ in range(16)]
            wait_for(lambda: ask.metric("i2i_waiting_jobs") > 4)
            slow = ask.raw("POST /translate HTTP/1.1", "Host: localhost", "Content-Length: 9", "", "")
            wait_for(lambda: ask.metric("i2i_open_requests") > 1)
            process.send_signal(signal.SIGTERM)
            statuses = [one.result().status for one in asked]
        with slow:
            assert b" 503 " in slow.recv(1000).splitlines()[0]
        out, _ = process.communicate(timeout=30)
    assert statuses == [200] * 16
    assert process.returncode == 0
    assert out.strip() == "['onnxruntime']"
    logged = (tmp_path / "log").read_text().splitlines()
    lines = [json.loads(line) for line in logged if line.startswith("{")]
    (found, *_) = [line for line in lines if line.get("path") == "/translate" and line["status"] == 200]
    assert {"time", "request_id", "seconds", "bytes_out", "network_s"} <= found.keys()


@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_the_page_in_docs_is_right(tiny_onnx, tmp_path):
    lines = [line for line in DOCS.splitlines() if line.startswith("curl ")]
    assert len(lines) == 2
    source, ours = save(tmp_path / "photo.jpg", 20, 30), tmp_path / "ours.png"
    assert run_i2i("translate", source, "-m", tiny_onnx, "-o", ours).returncode == 0
    with serving(tiny_onnx) as ask:
        for line in lines:
            words = shlex.split(line.replace("127.0.0.1:8000", f"127.0.0.1:{ask.port}"))
            subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
            assert (tmp_path / "drawing.png").read_bytes() == ours.read_bytes()
            (tmp_path / "drawing.png").unlink()


def test_the_docs_know_every_code_option_and_metric():
    codes = set(re.findall(r"HttpProblem\(\s*\d+,\s*\"(\w+)\"", SOURCE)) | {"unsupported_body", "bad_request"}
    assert len(codes) > 15
    options = set(re.findall(r"--[a-z-]+", run_i2i("serve", "--help").stdout)) - {"--help"}
    families = text_string_to_metric_families(ServerMetrics().text().decode())
    metrics = {one.name for one in families if one.name.startswith("i2i_") and not one.name.endswith("_created")}
    assert len(metrics) == 8
    for name in codes | options | metrics:
        assert name in DOCS, name


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")
def test_the_pages_in_a_browser(ask, cppn_model, tmp_path):
    url, browser = f"http://127.0.0.1:{ask.port}", Browser(BROWSER, tmp_path)
    try:
        size, others = browser.run(f"{url}/", GO)
        assert size == [30, 20]
        assert others == 0
        assert browser.run(f"{url}/docs", SHOWN) >= 9
        with serving(cppn_model, device="cpu") as other:
            size, _ = browser.run(f"http://127.0.0.1:{other.port}/", GO.replace("canvas = ", f"{SIZE} canvas = "))
            assert size == [40, 24]
    finally:
        browser.close()


GO = """
const until = async (done) => { while (!done()) await new Promise((go) => setTimeout(go, 20)); };
await until(() => choices.length);
const canvas = new OffscreenCanvas(30, 20);
canvas.getContext("2d").fillRect(3, 3, 9, 9);
await go(new File([await canvas.convertToBlob()], "a.png"));
if (!find("trouble").hidden) throw new Error(find("trouble").textContent);
await find("after").decode();
const names = performance.getEntriesByType("resource").map((one) => one.name);
const others = names.filter((one) => !one.startsWith(location.origin) && !one.startsWith("blob:"));
return [[find("after").naturalWidth, find("after").naturalHeight], others.length];
"""
SIZE = "asked = find('size').value = find('size-label').hidden ? '' : '40x24',"
SHOWN = """
const all = document.getElementById("all");
while (!all.querySelector("h2")) await new Promise((go) => setTimeout(go, 20));
return all.querySelectorAll("details").length;
"""
