"""Pictures on a Ray cluster, on this machine: what is lost and done again when a machine or a process dies."""

import itertools
import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from i2i.errors import UsageError
from i2i.images import read_image, write_image
from i2i.runtime import cluster as cluster_module
from i2i.runtime.cluster import Session, translate_on_ray
from i2i.runtime.folder import list_tasks
from i2i.runtime.outcome import Refused, Result
from i2i.runtime.pipeline import translate_files
from tests.conftest import run_i2i, save


def test_ray_that_is_missing_or_out_of_reach_is_named(few_pairs, tiny_run, tmp_path, monkeypatch):
    words = ["translate", few_pairs, "-m", tiny_run, "-o", tmp_path / "out", "--ray"]
    monkeypatch.setitem(sys.modules, "ray", None)
    missing = run_i2i(*words, "auto")
    assert missing.returncode == UsageError.exit_code
    assert "[ray]" in missing.stderr
    assert "Loading torch" not in missing.stderr  # refused before any work
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionError):
        cluster_module._reachable(f"127.0.0.1:{port}")


def test_an_outcome_arrives_as_it_was_sent():
    """Also names that are not UTF-8, which Python holds as surrogates."""
    name = Path(os.fsdecode(b"a\xff.png"))
    sent = Result(written=3, notes=["a note"], wall_s=5, unfinished=True)
    sent.refused.append(Refused(name, "it is damaged"))
    sent.large[name] = 900
    sent.add_unkept(name, 2, ["resolution"])
    sent.busy_s["network"] = 0.5
    wanted = replace(sent, wall_s=0, unfinished=False)  # of the run as a whole
    assert Result.unpacked(json.loads(json.dumps(sent.packed()))) == wanted


@dataclass(frozen=True)
class Slow(Session):
    """A session that takes its time, says in a folder which machine began how many, and dies of a black picture."""

    seconds: float = 0
    log: Path | None = None

    def open(self):
        import ray

        opened, node = super().open(), ray.get_runtime_context().get_node_id()
        run, begun = opened[0].backend.run, itertools.count(1)

        def slow(batch):
            if self.log:
                (self.log / f"{node}-{os.getpid()}-{next(begun)}").touch()
            time.sleep(self.seconds)
            if batch.max() == -1:
                os._exit(1)
            return run(batch)

        opened[0].backend.run = slow
        return opened


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.png")}


@pytest.fixture(scope="class")
def cluster():
    """Two machines, of one and two cores."""
    utils = pytest.importorskip("ray.cluster_utils")
    memory = 80 * 2**20
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    made.second = made.add_node(num_cpus=2, object_store_memory=memory)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.mark.slow
class TestCluster:
    """In the order of the tests: the second machine is lost in the last."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory) -> Path:
        """Sixty pictures, one broken and one deadly."""
        folder = tmp_path_factory.mktemp("cluster") / "in"
        for k in range(60):
            save(folder / f"{k:02}.png", 16, 16, seed=k % 9)
        (folder / "07.png").write_bytes(b"no picture")
        return folder

    def test_the_command_goes_on_where_a_job_was_killed(self, cluster, folder, tiny_run):
        out, alone = folder.parent / "out", folder.parent / "alone"
        translate_files(Session(str(tiny_run), device="cpu").open()[0], list_tasks(folder, alone, 3)[:20])
        out.mkdir()
        for path in sorted(alone.iterdir()):
            (out / path.name).write_bytes(path.read_bytes())  # of the job that was killed
        before = stamps(out)
        report = folder.parent / "failures.json"
        words = ["translate", folder, "-m", tiny_run, "-o", out, "--ray", cluster.address, "--report", report]
        ran = run_i2i(*words, "--skip-existing")
        assert (ran.returncode, len(stamps(out))) == (3, 59), ran.stderr
        assert before.items() <= stamps(out).items()
        assert report.read_text().count("07.png") == 2  # picture and reason
        assert run_i2i(*words, "--overwrite").returncode == 3
        assert not before.items() & stamps(out).items()
        for path in alone.iterdir():
            assert np.array_equal(read_image(path), read_image(out / path.name))

    def test_a_picture_that_ends_its_process_takes_no_others_with_it(self, cluster, folder, tiny_run):
        write_image(folder / "31.png", np.zeros((16, 16, 3), np.uint8))
        tasks, out = list_tasks(folder, folder.parent / "deadly", 3), folder.parent / "deadly"
        result = translate_on_ray(cluster.address, Slow(str(tiny_run)), tasks[20:40])
        assert ([one.source.name for one in result.refused], result.written) == (["31.png"], 19)
        assert len(stamps(out)) == 19

    def test_nothing_is_lost_or_done_twice_when_a_machine_dies(self, cluster, folder, tiny_run):
        save(folder / "31.png", 16, 16)
        out, log, early, done = folder.parent / "halved", folder.parent / "log", {}, []
        tasks = list_tasks(folder, out, 3)
        third = f"{cluster.second.node_id}-*-3"  # of its three pictures, one of its processes has then written two

        def kill():
            while not list(log.glob(third)):
                time.sleep(0.02)
            time.sleep(0.1)
            cluster.remove_node(cluster.second)
            early.update(stamps(out))

        out.mkdir()
        log.mkdir()
        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        session = Slow(str(tiny_run), seconds=0.5, log=log)
        result = translate_on_ray(cluster.address, session, tasks, lambda task: done.append(task.source))
        killer.join(1)
        assert 2 <= len(early) < 50
        assert early.items() <= stamps(out).items()
        assert (result.written, [one.source.name for one in result.refused]) == (59, ["07.png"])
        assert sorted(done) == sorted(task.source for task in tasks)
        assert set(stamps(out)) == {task.output.name for task in tasks} - {"07.png"}
