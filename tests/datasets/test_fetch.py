"""datasets/fetch.py against a server on this machine that cuts, lies, redirects and ignores ranges."""

import hashlib
import os
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from i2i import download as downloads
from i2i.config import load_config
from i2i.errors import ArchiveError, DownloadError, UsageError
from tests.conftest import ROOT, load_script
from tests.datasets.test_archives import contents, tar_bytes

fetch = load_script(ROOT / "datasets" / "fetch.py")
FILES = {f"train/{number}.png": os.urandom(90_000) for number in range(3)}
ARCHIVE = tar_bytes(*((f"set/{name}", content) for name, content in FILES.items()))
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


class Site(ThreadingHTTPServer):
    """One file, and what is wrong with how it is served; `asked` holds the ranges of the requests so far."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.data, self.tag, self.cuts, self.ranges, self.sized = ARCHIVE, '"one"', 0, True, True
        self.status, self.location, self.shift = 200, "", 0
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/set.tar"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server
        wanted = self.headers.get("Range")
        site.asked.append(wanted)
        if self.path == "/moved":
            return self.answer(302, b"", {"Location": site.location})
        if site.status != 200:
            return self.answer(site.status, b"")
        start = 0
        if wanted and site.ranges and self.headers.get("If-Range") == site.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + site.shift
        headers = {"ETag": site.tag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(site.data) - 1}/{len(site.data)}"
        return self.answer(206 if start else 200, site.data[start:], headers, site.sized)

    def answer(self, status, body, headers=None, sized=True):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if sized:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cuts > 0:
            self.server.cuts -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    with Site() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def run(site, *words):
    fetch.main([site.url, "--out", "data/mine", "--sha256", DIGEST, *words])


def left(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_set_is_fetched_unpacked_and_followed_by_its_command(site, tmp_path, capsys):
    run(site)
    assert contents(tmp_path / "data" / "mine") == FILES
    assert "i2i train pix2pix --data data/mine --out runs/mine" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.part*"))
    with pytest.raises(UsageError, match="mine"):
        run(site)


def test_without_a_digest_the_printed_command_goes_on_without_a_second_download(site, tmp_path):
    with pytest.raises(UsageError, match=DIGEST) as stopped:
        fetch.main([site.url])
    assert left(tmp_path) == ["data/set.tar"]
    command = shlex.split(str(stopped.value).splitlines()[-1])
    assert command[0] == "python"
    fetch.main(command[2:])
    assert contents(tmp_path / "data" / "set") == FILES
    assert len(site.asked) == 1


def test_a_wrong_digest_is_refused_and_both_are_shown(site, tmp_path):
    other = "0" * 64
    with pytest.raises(DownloadError, match=f"(?s){other}.*{DIGEST}"):
        fetch.main([site.url, "--out", "data/mine", "--sha256", other])
    assert left(tmp_path) == ["data/mine.tar"]
    with pytest.raises(UsageError, match="64 digits"):
        fetch.main([site.url, "--sha256", "abc"])


def test_a_cut_download_goes_on_where_it_was_cut(site, tmp_path):
    site.cuts = 2
    run(site)
    half = len(ARCHIVE) // 2
    assert site.asked == [None, f"bytes={half}-", f"bytes={half + (len(ARCHIVE) - half) // 2}-"]
    assert contents(tmp_path / "data" / "mine") == FILES


def test_what_was_kept_serves_the_next_run(site, tmp_path):
    site.cuts = downloads.TRIES
    with pytest.raises(DownloadError, match="goes on"):
        run(site)
    assert left(tmp_path) == ["data/mine.tar.part", "data/mine.tar.part.json"]
    run(site)
    assert site.asked[-1] not in (None, "bytes=0-")
    assert contents(tmp_path / "data" / "mine") == FILES


@pytest.mark.parametrize("fault", ["ranges ignored", "file changed", "no stamp", "another range"])
def test_a_download_is_never_spliced(site, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(downloads, "TRIES", 1)
    site.cuts, site.ranges = 1, fault != "ranges ignored"
    if fault == "file changed":
        site.data, site.tag = bytes(len(ARCHIVE)), '"old"'
    elif fault == "no stamp":
        site.tag = 'W/"weak"'
    with pytest.raises(DownloadError, match="was cut"):
        run(site)
    monkeypatch.setattr(downloads, "TRIES", 2)
    site.data, site.shift = ARCHIVE, 7 if fault == "another range" else 0
    site.tag = '"one"' if fault == "file changed" else site.tag
    run(site)
    assert contents(tmp_path / "data" / "mine") == FILES


def test_a_broken_note_starts_over(site, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.tar.part").write_bytes(b"other")
    (tmp_path / "data" / "mine.tar.part.json").write_text('{"url": "x"')
    run(site)
    assert site.asked == [None]
    assert contents(tmp_path / "data" / "mine") == FILES


@pytest.mark.parametrize("sized", [True, False])
def test_a_download_over_the_limit_leaves_nothing(site, tmp_path, sized):
    site.sized = sized
    with pytest.raises(DownloadError, match=r"100\.0 KB"):
        run(site, "--max-gb", "0.0001")
    assert left(tmp_path) == []


def test_what_servers_answer_instead_of_a_file(site, tmp_path):
    site.status = 404
    with pytest.raises(DownloadError, match="404 Not Found"):
        run(site)
    site.status = 503
    with pytest.raises(DownloadError, match=f"503.*{downloads.TRIES} tries"):
        run(site)
    site.status, site.data = 200, b"<html>Moved</html>" * 99
    with pytest.raises(ArchiveError, match="error page"):
        run(site)
    assert len(site.asked) == 1 + downloads.TRIES + 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/set.tar", "data:,x"])
def test_redirects_lead_to_the_web_only(site, target):
    site.location = target
    with pytest.raises(DownloadError, match="redirects to"):
        fetch.main([site.url.replace("set.tar", "moved"), "--out", "data/mine"])
    with pytest.raises(UsageError, match="only http"):
        fetch.main([target.replace("data:,x", "data://x/y"), "--out", "data/mine"])


def test_a_redirect_within_the_web_is_followed(site, tmp_path):
    site.location = site.url
    fetch.main([site.url.replace("set.tar", "moved"), "--out", "data/mine", "--sha256", DIGEST])
    assert contents(tmp_path / "data" / "mine") == FILES


def test_an_archive_on_disk_is_taken_and_kept(site, tmp_path, capsys):
    unpaired = tar_bytes(("trainA/a.png", b"x"), ("trainB/b.png", b"x"))
    (tmp_path / "mine.tar").write_bytes(unpaired)
    fetch.main(["mine.tar", "--sha256", hashlib.sha256(unpaired).hexdigest().upper()])
    assert left(tmp_path / "data" / "mine") == ["trainA/a.png", "trainB/b.png"]
    assert (tmp_path / "mine.tar").read_bytes() == unpaired
    assert "i2i train cyclegan --data data/mine" in capsys.readouterr().out
    assert site.asked == []


def test_unknown_names_and_sets_to_get_by_hand():
    with pytest.raises(UsageError, match="horse2zebra"):
        fetch.main(["horse2zebr"])
    with pytest.raises(DownloadError, match=r"cityscapes-dataset\.com"):
        fetch.main(["cityscapes"])


def test_the_command_for_each_set_is_one_that_i2i_takes(tmp_path):
    for folder in ("train", "trainA", "trainB"):
        (tmp_path / folder).mkdir()
    for name, one in fetch.SETS.items():
        if one.preset:
            words = shlex.split(fetch.advice(tmp_path, one).splitlines()[-1])
            overrides = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
            assert load_config(words[2], overrides).data.direction_of_pairs == one.direction, name


def test_the_script_runs_anywhere_and_without_heavy_libraries(tmp_path):
    script = ROOT / "datasets" / "fetch.py"
    code = f"""import runpy, sys
sys.argv = [{str(script)!r}, "--list"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    print(stop.code, [name for name in ("torch", "cv2", "onnxruntime") if name in sys.modules])"""
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(script.parent)])}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    *table, last = done.stdout.splitlines()
    assert last == "0 []"
    assert [line.split()[0] for line in table[1:]] == list(fetch.SETS)
