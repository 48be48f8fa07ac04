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


@pytest.mark.parametrize(("version", "found"), [((3, 11, 2), False), ((3, 11, 4), True)])
def test_a_python_that_is_too_old_is_refused_before_pip_tries(version, found, tmp_path):
    """pip before 23.1 would look for versions that fit it, without end."""
    stub = tmp_path / "python3"
    stub.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n', encoding="utf-8"
    )
    stub.chmod(0o755)
    script = f". {ROOT}/tools/environment.sh; PATH={tmp_path} find_python"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip() == "python3") == found, done
