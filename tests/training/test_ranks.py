"""Several processes: they agree, share the images, leave one run, resume exactly, and end together."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import i2i
from i2i import losses
from i2i.data.numbers import ImageNumbers
from i2i.errors import ConfigError, DataError, I2IError, NonFiniteError, Stopped
from i2i.files import read_json_lines
from i2i.networks.layers import BatchNorm, synchronise_batch_norm
from i2i.training import ranks
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from i2i.training.fabric import with_torchrun_devices
from i2i.training.run import norm_statistics
from tests.conftest import SMALLEST, smallest_config, tiny_config
from tests.training.test_engine import assert_equal_trees
from tests.training.two_ranks import PENALISED, SAME_AS_ONE, halves

SELDOM = ("samples", "checkpoint")
LOOPBACK = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def launch(module, config, out):
    """Begin to train with the command line in `module`, as `config` says, in two processes that Fabric starts."""
    out.with_suffix(".yaml").write_text(config.model_dump_json(), encoding="utf-8")  # JSON is YAML
    words = ["-m", module, "train", str(out.with_suffix(".yaml")), "--out", str(out), "--devices", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *words], **pipes, text=True, env=LOOPBACK)


def torchrun(*words):
    """Run a module in two processes on this machine."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return subprocess.run([*start, *map(str, words)], capture_output=True, text=True, env=LOOPBACK, check=False)


@pytest.mark.parametrize(("total", "ranks"), [(17, 2), (16, 3), (5, 4)])
def test_every_image_is_seen_once(total, ranks):
    start = 3
    shares = [list(ImageNumbers(start, total, 2, rank, ranks)) for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1  # all take equally many steps, or some would wait forever
    for step, batches in enumerate(zip(*shares, strict=True)):
        first = start + step * 2 * ranks
        own = [batch for rank, batch in enumerate(batches) if first + rank < total]
        stand_ins = batches[len(own) :]
        assert sorted(number for batch in own for number in batch) == list(range(first, min(first + 2 * ranks, total)))
        assert all(batch == [first] for batch in stand_ins)


def test_one_process_is_untouched():
    tensor = torch.rand(3)
    before = tensor.clone()
    ranks.all_reduce_mean([tensor])
    assert torch.equal(tensor, before)
    assert ranks.all_reduce_max(3) == 3
    assert ranks.all_gather("own") == ["own"]
    assert (ranks.rank(), ranks.world_size()) == (0, 1)


def test_synchronised_batch_norm_of_one_process_is_torchs(tmp_path):
    """With one process it gives torch's outputs, gradients and running statistics."""
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        own, theirs = BatchNorm(3), nn.BatchNorm2d(3)
        synchronise_batch_norm(own)
        x = (torch.randn(4, 3, 5, 6) * 3 + 2).requires_grad_()
        y = x.detach().clone().requires_grad_()
        weights = torch.randn(4, 3, 5, 6)
        (own(x) * weights).sum().backward()
        (theirs(y) * weights).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(own.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dict(own.state_dict()), dict(theirs.state_dict()))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["train.batch=1", "train.devices=2"], "running"),
        (["train.batch=1", "train.nodes=2"], "running"),
        (["train.batch=1", "train.devices=2", "train.sync_batch_norm=false"], "image"),
    ],
)
def test_norm_statistics_count_the_devices_that_share_them(changes, expected):
    assert norm_statistics(tiny_config(*changes)) == expected


def test_devices_come_from_torchrun(monkeypatch):
    launched = {"WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "a"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    train = with_torchrun_devices(tiny_config()).train
    assert (train.devices, train.nodes) == (3, 2)
    with pytest.raises(ConfigError, match=r"train\.devices is 2.* 3 processes"):
        with_torchrun_devices(tiny_config("train.devices=2"))


def test_machines_that_cannot_find_each_other_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="MASTER_ADDR, MASTER_PORT, NODE_RANK"):
        i2i.train(tiny_config("train.nodes=2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
class TestTwoRanks:
    """The contract of every algorithm, in one launch of two processes."""

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory, few_pairs):
        folder = tmp_path_factory.mktemp("two_ranks")
        i2i.train(smallest_config("cyclegan", few_pairs, "train.batch=2"), folder / "from_one")
        broken = sorted((shutil.copytree(few_pairs, folder / "broken_pairs") / "train").iterdir())[3]
        broken.write_bytes(broken.read_bytes()[:-200])
        done = torchrun("tests.training.two_ranks", few_pairs, folder)
        assert done.returncode == 0, done.stderr
        (folder / "stderr").write_text(done.stderr, encoding="utf-8")
        return folder

    @pytest.mark.parametrize("kind", [*SMALLEST, "uneven", "patient"])
    def test_they_agree_bit_for_bit(self, trained, kind):
        assert_equal_trees(*(torch.load(trained / f"{kind}.{rank}.pt") for rank in (0, 1)))

    @pytest.mark.parametrize("kind", list(SMALLEST))
    def test_resuming_equals_never_having_stopped(self, trained, kind):
        states = [load_checkpoint(trained / run / "checkpoints" / "000000016.pt") for run in (kind, f"{kind}.cut")]
        assert_equal_trees(*(state["stepper"] for state in states))
        assert_equal_trees(*(load_file(trained / run / "model.safetensors") for run in (kind, f"{kind}.cut")))

    @pytest.mark.parametrize("kind", list(SMALLEST))
    def test_their_draws_differ(self, trained, kind):
        one, two = load_checkpoint(trained / kind / "checkpoints" / "000000016.pt")["stepper"]["ranks"]
        assert not torch.equal(one["torch_rng"], two["torch_rng"])
        if kind == "cyclegan":
            assert not torch.equal(one["algorithm"]["A"]["random"], two["algorithm"]["A"]["random"])
            assert not torch.equal(one["algorithm"]["A"]["images"][0], two["algorithm"]["A"]["images"][0])

    def test_they_disconnect_before_the_interpreter_ends(self, trained):
        """Threads of gloo that outlive it abort the process now and then."""
        assert [(trained / f"connected.{rank}").read_text(encoding="utf-8") for rank in (0, 1)] == ["False", "False"]

    def test_only_one_of_them_writes(self, trained):
        rows = read_json_lines(trained / "pix2pix" / "metrics.jsonl")
        assert [row["images"] for row in rows if row["split"] == "train"] == [4, 8, 12, 16]
        lines = (trained / "stderr").read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if "pix2pix on 8 pairs, 2 x cpu" in line]  # with the settings of its run
        assert told
        assert len(told) == len({*told})

    def test_only_the_first_rank_scores_val(self, trained):
        rows = read_json_lines(trained / "uneven" / "metrics.jsonl")
        assert [row["images"] for row in rows if row["split"] == "val"] == [8, 15]

    def test_a_broken_file_is_named_once_whoever_met_it(self, trained):
        rows = read_json_lines(trained / "broken" / "metrics.jsonl")
        (text,) = [row["text"] for row in rows if row["split"] == "warning"]
        assert "1 of 8" in text
        assert (trained / "stderr").read_text(encoding="utf-8").count(text) == 1
        assert load_checkpoint(trained / "broken" / "checkpoints" / "000000016.pt")["broken"] == [text.split(" is ")[0]]

    def test_patience_ends_both_at_the_same_image(self, trained):
        assert list_checkpoints(trained / "patient" / "checkpoints")[-1].stem == "000000016"
        assert (trained / "stderr").read_text(encoding="utf-8").count("(train.patience_images)") == 1

    def test_two_devices_are_one_with_twice_the_batch(self, trained, few_pairs, tmp_path):
        i2i.train(smallest_config("pix2pix", few_pairs, "train.batch=2", *SAME_AS_ONE), tmp_path)
        two, one = (
            [row for row in read_json_lines(run / "metrics.jsonl") if row["split"] == "train"]
            for run in (trained / "same", tmp_path)
        )
        assert [row["images"] for row in two] == [4, 8, 12, 13]
        for name in set(one[0]) - {"seconds", "split"}:
            assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-3), name

    @pytest.mark.parametrize("name", list(losses.PENALTIES))
    def test_a_penalty_is_the_same_on_two_devices(self, trained, few_pairs, tmp_path, monkeypatch, name):
        """Four images a step: one part on one device, and two parts on each of two."""
        monkeypatch.setattr(torch, "rand", halves)
        whole = [*PENALISED, "train.accumulate=1", f"loss.penalty={name}"]
        i2i.train(smallest_config("pix2pix", few_pairs, "train.batch=4", *whole), tmp_path)
        two, one = (
            [row for row in read_json_lines(run / "metrics.jsonl") if row["split"] == "train"]
            for run in (trained / name, tmp_path)
        )
        assert [row["images"] for row in two] == [4, 8, 12, 16]
        for term in ("D_penalty", "grad.discriminator"):
            assert [row[term] for row in two] == pytest.approx([row[term] for row in one], rel=1e-3, abs=0), term

    def test_one_device_resumes_from_two_and_two_from_one(self, trained, few_pairs, tmp_path, capsys):
        (newest,) = list_checkpoints(trained / "from_one" / "checkpoints")[-1:]
        state = load_checkpoint(newest)
        assert (state["images"], len(state["stepper"]["ranks"])) == (24, 2)
        longer = smallest_config("cyclegan", few_pairs, "train.batch=2", "schedule.images=32")
        i2i.train(longer, trained / "cyclegan", resume=True)
        assert re.search(r"train\.devices .*2.* 1", capsys.readouterr().err)
        assert load_checkpoint(trained / "cyclegan" / "checkpoints" / "000000032.pt")["stepper"]["steps"] == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ([], 1, "b.png went."),
        (["data.timeout_s=3"], 4, "(data.timeout_s)"),
        (["data.timeout_s=600"], 128 + signal.SIGTERM, "SIGTERM: stopped "),
    ],
    ids=["broken", "hung", "stopped while it hangs"],
)
def test_what_ends_one_rank_ends_both_at_the_same_image_and_saved(
    tmp_path, few_pairs, monkeypatch, changes, code, words
):
    if changes:
        monkeypatch.setitem(LOOPBACK, "HANG", "1")
    run = tmp_path / "run"
    config = smallest_config("pix2pix", few_pairs, "train.batch=2", "log.checkpoint_every_images=16", *changes)
    process = launch("tests.training.broken_rank", config, run)
    if code > 128:
        assert process.stdout is not None
        next(line for line in process.stdout if line == "hangs\n")
        time.sleep(1)  # for rank 0 to have its batch and wait
        process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=100)
    assert process.returncode == code, error
    assert error.count(words) == 1
    assert code > 128 or error.count("4 of 4 images") == 1
    assert "Traceback" not in error
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["000000004.pt"]


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_both_at_the_same_image(tmp_path, few_pairs):
    many = ["train.batch=2", "schedule.images=1000000", *(f"log.{name}_every_images=1000000" for name in SELDOM)]
    process = launch("i2i", smallest_config("pix2pix", few_pairs, *many), tmp_path / "run")
    assert process.stderr is not None
    said = next(line for line in process.stderr if "img/s" in line)
    process.send_signal(signal.SIGTERM)
    said += process.communicate(timeout=300)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert said.count(" saved") == 1
    (saved,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    state = load_checkpoint(saved)
    assert state["images"] == 4 * state["stepper"]["steps"]


@pytest.mark.parametrize(
    "error", [DataError("no pictures"), NonFiniteError("D: no number"), Stopped(15, 8), OSError(28, "No space left")]
)
def test_an_error_reaches_other_ranks_as_text(error):
    """With its message and exit code, and without anything that could run code there."""
    told = ranks._from_text(ranks._to_text(error))
    assert (str(told), told.exit_code) == (str(error), getattr(error, "exit_code", 1))
    assert isinstance(told, type(error)) or isinstance(error, OSError)
    assert isinstance(ranks._from_text(ranks._to_text(ValueError("a bug"))), SystemExit)
    assert isinstance(ranks._from_text('{"rank": 1, "kind": "signal", "text": "x"}'), I2IError)
