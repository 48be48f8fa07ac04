"""What `i2i doctor` finds."""

import os

from click.testing import CliRunner

from i2i import machine
from i2i.cli import cli
from i2i.runtime import doctor


def test_versions_and_devices_are_printed():
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0, done.output
    for words in ("i2i:", "torch 2.", "runs on cpu", "threads of"):
        assert words in done.output


def test_known_traps_are_found(monkeypatch):
    assert not any("both installed" in trap for trap in doctor.examine().traps)
    monkeypatch.setattr(doctor, "onnxruntime_packages", lambda: ["onnxruntime", "onnxruntime-gpu"])
    monkeypatch.setattr(doctor, "is_installed", lambda name: True)
    for module in (machine, doctor):
        monkeypatch.setattr(module, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(doctor, "why_no_provider", lambda device: "a reason" if device == "cuda" else None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    traps = "\n".join(doctor.examine().traps)
    for words in ("both installed", "same module", ": a reason", "every GPU"):
        assert words in traps


def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    whole = machine.thread_count()
    assert 1 <= whole <= 8
    for told, expected in (("1", 1), ("100", whole), ("", whole), ("1,2", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert machine.thread_count() == expected
