"""Threads that wait for one another spin on a quiet machine, and sleep on a busy one."""

import os
import subprocess
import sys
import time

import pytest

from i2i.training import waiting
from i2i.training.waiting import Waiting, own_times

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="torch's OpenMP is another one")


@ON_LINUX
@pytest.mark.parametrize(
    ("code", "told", "spins"),
    [
        ("from i2i import train", {}, "3000"),
        ("import i2i.cli", {}, "3000"),
        ("import i2i", {"OMP_WAIT_POLICY": "PASSIVE"}, "0"),
        ("import i2i", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import torch, i2i", {}, "300000"),  # it is too late
    ],
)
def test_how_long_threads_spin(code, told, spins):
    """Those that spin for longer stand nearly still beside other busy programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    words = [sys.executable, "-c", f"{code}; import torch"]
    environment = {**kept, **told, "OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


SPUN = """
import time
import torch
from i2i.training import waiting

def spun_s():
    torch.ones(1 << 18).add_(1)
    began = time.process_time()
    time.sleep(0.5)
    return time.process_time() - began

watch, waiting._LOOK_S = waiting.Waiting(torch.get_num_threads()), 0
for times in ((1e6, 0.0), (1e6, 1e6), (2e6, 1e6)):
    waiting.own_times = lambda: times
    watch.look()
    time.sleep(1.5)
    print(spun_s())
"""


@ON_LINUX
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_threads_sleep_while_the_machine_is_busy():
    """The turns of a spinning thread would take two thirds of a second and more."""
    told = {"GOMP_SPINCOUNT": "30000000", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    if waiting._teams_needed(2) == 0:
        pytest.skip("two threads of many cores")
    done = subprocess.run([sys.executable, "-c", SPUN], capture_output=True, text=True, env={**os.environ, **told})
    assert done.returncode == 0, done.stderr
    quiet, busy, again = map(float, done.stdout.split())
    assert busy < 0.01
    assert min(quiet, again) > 3 * busy + 0.01


def test_a_machine_is_busy_from_a_fifth_and_quiet_below_a_tenth(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    computed, waited = [0.0], [0.0]
    monkeypatch.setattr(waiting, "own_times", lambda: (computed[0], waited[0]))
    monkeypatch.setattr(waiting, "_teams_needed", lambda threads: threads - 1)
    watch, found = Waiting(2), []
    for share in (0.05, 0.15, 0.3, 0.15, 0.05, 0.15):
        clock[0] += 0.5
        computed[0], waited[0] = computed[0] + 10, waited[0] + 10 * share
        watch.look()  # too early
        clock[0] += 60
        watch.look()
        found.append(watch.over is not None)
    watch.close()
    assert found == [False, False, True, True, False, False]
    alone = Waiting(1)
    clock[0], waited[0] = clock[0] + 1, waited[0] + 10
    alone.look()
    assert alone.over is None


@ON_LINUX
def test_waiting_for_a_core_is_counted():
    """Two processes on one core wait for each other; one that sleeps waits for nothing."""
    core = {min(os.sched_getaffinity(0))}
    code = (
        f"import os, time; os.sched_setaffinity(0, {core})\n"
        "from i2i.training.waiting import own_times\n"
        "before, began, end = own_times(), time.process_time(), time.monotonic() + 1\n"
        "while time.monotonic() < end: pass\n"
        "print(own_times()[0] - before[0] - time.process_time() + began, own_times()[1] - before[1])"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [[float(word) for word in one.communicate()[0].split()] for one in both]
    assert all(abs(off) < 0.05 for off, _ in found)
    assert sum(waited for _, waited in found) > 0.1
    computed, waited = own_times()
    assert computed > 0
    assert waited >= 0
