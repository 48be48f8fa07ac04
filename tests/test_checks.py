"""Lint, format, types and generated docs, as a test, so that `tools/test --all` has a processor for them meanwhile."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_checks_find_nothing():
    environment = {**os.environ, "I2I_PYTHON": sys.executable}
    words = ["bash", str(ROOT / "tools" / "check")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
