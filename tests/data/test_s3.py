"""S3, as a server on this machine gives it: what trainings, scores and translations make of s3://."""

import json
import os
import socket

import numpy as np
import pytest

from i2i.data.sharding import make_shards
from i2i.errors import DataError
from i2i.images import read_image, shards
from tests.conftest import run_i2i

server_module = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")

SHORT = ("schedule.images=4", "schedule.decay_images=0", "log.samples_every_images=1000", "data.workers=2")
"""Two workers, which are processes of their own."""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory, few_pairs):
    """A folder of archives, and a bucket that holds the same."""
    folder = tmp_path_factory.mktemp("local")
    make_shards([str(few_pairs)], folder, 8_000)
    server = server_module.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "name")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        system = s3fs.S3FileSystem()
        system.mkdir("sets")
        for path in folder.iterdir():
            if path.suffix == ".tar":
                system.pipe_file(f"sets/maps/{path.name}", path.read_bytes())
        yield folder, "s3://sets/maps", system
    server.stop()


def test_train_evaluate_and_translate_from_a_bucket(bucket, tmp_path):
    folder, url, _ = bucket
    models, scores, made = [], [], []
    for place, data in enumerate((url, str(folder))):
        words = [word for setting in SHORT for word in ("--set", setting)]
        run = tmp_path / f"run{place}"
        done = run_i2i("train", "lineart", "--data", data, "--out", run, *words, "--device", "cpu", *TINY)
        assert done.returncode == 0, done.stderr
        models.append((run / "model.safetensors").read_bytes())
        done = run_i2i("evaluate", "-m", run, "--data", data, "--json")
        assert done.returncode == 0, done.stderr
        scores.append(json.loads(done.stdout)["result"]["scores"][0]["model"])
        out = tmp_path / f"out{place}"
        done = run_i2i("translate", f"{data}/test-000000.tar", "-m", run, "-o", out)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    for number, source in enumerate((url, f"{url}/test-*.tar")):  # all archives; those of a pattern
        done = run_i2i("translate", source, "-m", tmp_path / "run0", "-o", tmp_path / f"all{number}")
        assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "all0").iterdir()}
    assert names > {path.name for path in (tmp_path / "all1").iterdir()} >= made[0].keys()
    assert scores[0] == scores[1]
    assert made[0] == made[1]
    assert made[0]


TINY = [
    word
    for setting in (
        *("generator.width=2", "generator.depth=4", "discriminator.width=2", "discriminator.layers=1"),
        *("data.crop_px=32", "data.resize_px=32"),
    )
    for word in ("--set", setting)
]


def test_a_folder_of_pictures_in_a_bucket_is_that_on_disk(bucket, few_pairs, tmp_path):
    _, _, system = bucket
    for path in few_pairs.rglob("*.png"):
        system.pipe_file(f"sets/pictures/{path.relative_to(few_pairs).as_posix()}", path.read_bytes())
    made = []
    for place, data in enumerate(("s3://sets/pictures", str(few_pairs))):
        words = [word for setting in SHORT for word in ("--set", setting)]
        run, out = tmp_path / f"run{place}", tmp_path / f"out{place}"
        done = run_i2i("train", "lineart", "--data", data, "--out", run, *words, "--device", "cpu", *TINY)
        assert done.returncode == 0, done.stderr
        done = run_i2i("translate", f"{data}/test", "-m", tmp_path / "run0", "-o", out)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert made[0] == made[1]
    assert made[0]


def test_what_is_not_there_is_named_in_a_line(bucket, tmp_path, monkeypatch):
    for url in ("s3://sets/nothing", "s3://nobucket/maps", "s3://sets/maps/none-000000.tar"):
        done = run_i2i("train", "lineart", "--data", url, "--out", tmp_path / "run")
        assert done.returncode == DataError.exit_code, done.stderr
        assert url.removesuffix("/none-000000.tar") in done.stderr
        assert "Traceback" not in done.stderr
        done = run_i2i("translate", url, "-m", "lineart", "-o", tmp_path / "out")
        assert done.returncode in (1, 2), done.stderr
        assert url in done.stderr
    assert run_i2i("translate", tmp_path, "-m", "lineart", "-o", "s3://sets/out").returncode == 2
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    shards._is_file.cache_clear()
    done = run_i2i("train", "lineart", "--data", "s3://other/maps", "--out", tmp_path / "run")
    assert done.returncode == DataError.exit_code
    assert "s3://other/maps" in done.stderr
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_archive_that_changed_is_indexed_anew(bucket, tmp_path):
    folder, _, system = bucket
    first, second = sorted(folder.glob("train-*.tar"))[:2]
    url = "s3:/sets/other/x1.tar"
    for source in (first, second):
        system.pipe_file("sets/other/x1.tar", source.read_bytes())
        shards._index.cache_clear()
        names = shards.member_names(shards.Path(url))
        assert names == shards.member_names(source)
        np.testing.assert_array_equal(read_image(shards.Path(url) / names[0]), read_image(source / names[0]))
    assert os.environ["AWS_ENDPOINT_URL"]
