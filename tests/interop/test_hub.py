"""The Hugging Face Hub: its own client fetches models from a hub on this machine, and runs become repositories."""

import hashlib
import http.server
import json
import shutil
import threading

import pytest
import yaml

import i2i
from i2i.errors import DownloadError, ModelError, UsageError
from i2i.interop.pushing import PushOptions, push, stage
from i2i.models import hub
from i2i.models.modelfile import find_model
from tests.conftest import run_i2i, save

huggingface_hub = pytest.importorskip("huggingface_hub")


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves files by repository and name, as the hub does; `asked` remembers what for."""

    files: dict
    asked: list

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        namespace, name, _, revision, file = [*self.path.strip("/").split("/", 4), "", "", ""][:5]
        self.asked.append((self.command, f"{namespace}/{name}", revision, file))
        repository = self.files.get(f"{namespace}/{name}")
        content = (repository or {}).get(file, b"")
        self.send_response(200 if content else 404)
        self.send_header("X-Repo-Commit", "0" * 40)
        if content:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        else:
            self.send_header("X-Error-Code", "EntryNotFound" if repository else "RepoNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def local_hub(tmp_path, monkeypatch):
    handler = type("OneHub", (Hub,), {"files": {}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    template = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.fetch.cache_clear()
    yield handler
    server.shutdown()
    server.server_close()
    hub.fetch.cache_clear()


def test_a_model_is_used_by_its_address(local_hub, tiny_run, tiny_onnx, tmp_path):
    content = (tiny_run / "model.safetensors").read_bytes()
    local_hub.files["anna/lineart"] = {"model.safetensors": content, "exports/small.onnx": tiny_onnx.read_bytes()}
    photo = save(tmp_path / "photo.png", 20, 20)
    for address in ("hf://anna/lineart", "hf://anna/lineart@main", "hf://anna/lineart/exports/small.onnx"):
        done = run_i2i("translate", photo, "-m", address, "-o", tmp_path / f"{len(local_hub.asked)}.png")
        assert done.returncode == 0, done.stderr
    assert find_model(hub.Path("hf://anna/lineart")).read_bytes() == content
    fetched = [file for command, *_, file in local_hub.asked if command == "GET"]
    assert fetched == ["model.safetensors", "exports/small.onnx"]  # each once
    assert i2i.load("hf://anna/lineart").spec.algorithm == "pix2pix"


def test_what_was_fetched_is_listed(local_hub, tiny_run, tiny_onnx):
    assert hub.downloaded() == {}
    local_hub.files["anna/lineart"] = {"exports/small.onnx": tiny_onnx.read_bytes()}
    local_hub.files["anna/faces"] = {"model.safetensors": (tiny_run / "model.safetensors").read_bytes()}
    local_hub.files["others/words"] = {"model.safetensors": bytes(100)}  # of another project
    for address in ("hf://anna/lineart/exports/small.onnx", "hf://anna/faces", "hf://others/words"):
        hub.fetch(hub.Path(address))
    fetched = json.loads(run_i2i("models", "--json").stdout)["result"]["fetched"]
    assert {one["address"]: one["task"] for one in fetched} == {
        "hf://anna/lineart/exports/small.onnx": "translate",
        "hf://anna/faces": "translate",
    }
    assert i2i.load(fetched[0]["address"]).direction == "B2A"
    assert "hf://anna/faces" in run_i2i("models").stdout


def test_a_repository_with_an_onnx_file_alone_is_enough(local_hub, tiny_onnx):
    local_hub.files["anna/lineart"] = {"model.onnx": tiny_onnx.read_bytes()}
    assert find_model(hub.Path("hf://anna/lineart")).read_bytes() == tiny_onnx.read_bytes()


def test_what_is_wrong_is_one_error(local_hub, monkeypatch):
    local_hub.files["anna/empty"] = {"README.md": b"nothing"}
    local_hub.files["anna/text"] = {"model.safetensors": b"<html>not a model</html>"}
    for address, error, said in (
        ("hf://anna", UsageError, "NAMESPACE/NAME"),
        ("hf://anna/a b", UsageError, "NAMESPACE/NAME"),
        ("hf://anna/empty", DownloadError, "model.onnx"),
        ("hf://anna/nowhere", DownloadError, "anna/nowhere"),
        ("hf://anna/text", ModelError, "text"),  # a stranger's file is checked as any
    ):
        with pytest.raises(error, match=said):
            find_model(hub.Path(address))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"\[hub\]"):
        find_model(hub.Path("hf://anna/lineart"))


def test_without_a_network_the_cache_is_enough_and_else_the_reason_is_told(local_hub, tiny_onnx, monkeypatch):
    local_hub.files["anna/lineart"] = {"model.onnx": tiny_onnx.read_bytes()}
    find_model(hub.Path("hf://anna/lineart"))
    hub.fetch.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find_model(hub.Path("hf://anna/lineart")).name == "model.onnx"
    with pytest.raises(DownloadError, match=r"hf:.*connection"):
        find_model(hub.Path("hf://anna/other"))


def test_a_folder_of_that_name_comes_first(local_hub, tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run, tmp_path / "hf:" / "anna" / "lineart")
    assert find_model(hub.Path("hf://anna/lineart")) == hub.Path("hf:/anna/lineart/model.safetensors")
    assert local_hub.asked == []


def test_a_staged_run_is_a_repository_that_can_be_used(local_hub, tiny_run, tmp_path):
    done = run_i2i("push", tiny_run, "anna/lineart", "--dry-run", tmp_path / "hub", "--licence", "mit")
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "hub").iterdir()}
    assert {"README.md", "config.yaml", "model.safetensors", "preview.png"} <= set(files)
    assert done.stdout.split() == [str(tmp_path / "hub" / name) for name in sorted(files)]
    settings = yaml.safe_load(files["config.yaml"])
    assert "path" not in settings["data"]
    assert settings["algorithm"] == "pix2pix"
    assert not any(str(tiny_run.parent).encode() in content for content in files.values())
    assert b"hf://anna/lineart" in files["README.md"]
    local_hub.files["anna/lineart"] = files
    assert i2i.load("hf://anna/lineart").spec.algorithm == "pix2pix"
    again = run_i2i("push", tiny_run, "anna/lineart", "--dry-run", tmp_path / "hub")
    assert (again.returncode, "not empty" in again.stderr) == (2, True)


def test_a_push_makes_the_repository_and_uploads_the_folder(tiny_run, tmp_path, monkeypatch):
    calls = []

    class Api:
        def create_repo(self, repository, private, exist_ok):
            calls.append(("create", repository, private, exist_ok))
            return f"https://hub/{repository}"

        def upload_folder(self, repo_id, folder_path, commit_message):
            calls.append(("upload", repo_id, sorted(path.name for path in hub.Path(folder_path).iterdir())))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push(tiny_run, "anna/lineart", PushOptions(private=True)) == "https://hub/anna/lineart"
    staged = [path.name for path in stage(tiny_run, "anna/lineart", tmp_path / "hub")]
    assert calls == [("create", "anna/lineart", True, True), ("upload", "anna/lineart", staged)]

    def refuse(*_, **__):
        raise ValueError("the token is not valid\nand more")

    monkeypatch.setattr(Api, "upload_folder", refuse)
    with pytest.raises(DownloadError, match=r"token.*\nLog"):
        push(tiny_run, "anna/lineart")
    for wrong in ("lineart", "/lineart", "a/b/c"):
        with pytest.raises(UsageError, match="NAMESPACE/NAME"):
            push(tiny_run, wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="config"):
        push(tmp_path / "empty", "anna/lineart")
