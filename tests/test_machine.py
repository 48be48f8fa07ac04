"""Cores and memory within a control group."""

import pytest

from i2i import machine


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A folder in place of the process's control groups; write(name=text) sets what they report."""
    monkeypatch.setattr(machine, "_own_groups", lambda controller: [tmp_path])

    def write(**files):
        for name, text in files.items():
            (tmp_path / name).write_text(text)

    return write


@pytest.mark.parametrize(
    "names", [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")]
)
def test_what_a_group_uses_already_is_not_free(group, names):
    group(**dict(zip(names, ("1000000", "700000"), strict=True)))
    assert machine.available_bytes() == 300_000
    group(**{"memory.stat": "anon 5\ninactive_file 100000\n"})  # the file cache can be dropped
    assert machine.available_bytes() == 400_000


@pytest.mark.parametrize("files", [{"memory.max": "max"}, {"memory.limit_in_bytes": "9223372036854771712"}, {}])
def test_without_a_limit_the_system_decides(group, files, monkeypatch):
    group(**files)
    free = machine.available_bytes()
    assert free is None or free > 1_000_000


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_a_quota_counts_as_cores(group, files, cores, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    group(**files)
    assert machine.core_count() == cores


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_running_out_of_memory_is_known_by_its_words(error):
    assert machine.is_out_of_memory(error)
    assert not machine.is_out_of_memory(RuntimeError("shapes do not match"))
