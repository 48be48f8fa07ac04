"""docs/recipes: each runs as it stands, where its scheduler sets the variables."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT, save

RECIPES = ROOT / "docs" / "recipes"


def loaded(name):
    return yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))


def slurm(number):
    script = (RECIPES / "slurm_array.sh").read_text(encoding="utf-8")
    return script, {"SLURM_ARRAY_TASK_ID": f"{number + 1}", "SLURM_ARRAY_TASK_COUNT": "2"}


def kubernetes(number):
    (pod,) = loaded("kubernetes_job.yaml")["spec"]["template"]["spec"]["containers"]
    assert pod["command"][-1] == "-euc"
    given = {one["name"]: one["value"] for one in pod["env"]}
    assert int(given["SHARES"]) == loaded("kubernetes_job.yaml")["spec"]["completions"]
    return "set -eu\n" + pod["args"][0], {"JOB_COMPLETION_INDEX": f"{number}", "SHARES": "2"}


def skypilot(number):
    recipe = loaded("skypilot.yaml")
    return recipe["setup"] + recipe["run"], {"SKYPILOT_NODE_RANK": f"{number}", "SKYPILOT_NUM_NODES": "2"}


RECIPE_OF = {"slurm_array.sh": slurm, "kubernetes_job.yaml": kubernetes, "skypilot.yaml": skypilot}


def test_every_recipe_is_tried():
    assert {path.name for path in RECIPES.iterdir()} == set(RECIPE_OF)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="the recipes are for bash")
@pytest.mark.parametrize("name", RECIPE_OF)
def test_a_recipe_does_a_whole_folder_in_shares(name, tiny_onnx, tmp_path):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "i2i").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m i2i "$@"\n')
    (bin_folder / "i2i").chmod(0o755)
    for k in range(9):
        save(tmp_path / "photos" / f"{k}_{k % 3}.png", 16, 16, seed=k)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    given = {"MODEL": f"{tiny_onnx}", "SOURCE": f"{tmp_path / 'photos'}", "TARGET": f"{tmp_path / 'out'}"}
    counts = []
    for number in range(2):
        script, told = RECIPE_OF[name](number)
        path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}", **given, **told}
        ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        counts.append(len(list((tmp_path / "out").glob("*.png"))))
    assert 0 < counts[0] < counts[1] == 9
    assert len(list(tmp_path.glob("out.failures.*.json"))) == 2
