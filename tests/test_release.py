"""Releases: a tag, the version and the changelog agree, and the same files give the same distributions."""

import hashlib
import os
import subprocess
import sys
import tomllib

import pytest
import yaml

from i2i.version import __version__
from tests.conftest import ROOT, load_script

release = load_script(ROOT / "tools" / "release.py")


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "i2i").mkdir()
    (tmp_path / "i2i" / "version.py").write_text('"""x"""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "recipe.yaml").write_text('context:\n  version: "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0, 2026-12-01\n\n## 1.1.0, 2026-10-01\n")
    return tmp_path


def test_a_tag_that_agrees_with_everything_is_released(checkout):
    assert release.problems("v1.2.0", checkout) == []


@pytest.mark.parametrize("tag", ["v1.2.1", "1.2.0", "v1.1.0"])
def test_another_tag_is_named(checkout, tag):
    (said,) = release.problems(tag, checkout)
    assert tag in said
    assert "1.2.0" in said


@pytest.mark.parametrize("head", ["## 1.2.0, unreleased", "## 1.1.0, 2026-10-01", "no version at all"])
def test_a_changelog_that_does_not_say_so_is_named(checkout, head):
    (checkout / "CHANGELOG.md").write_text(f"# Changelog\n\n{head}\n")
    (said,) = release.problems("v1.2.0", checkout)
    assert "CHANGELOG" in said


@pytest.mark.parametrize("name", list(release.REPEATED))
def test_a_version_that_was_not_raised_everywhere_is_named(checkout, name):
    path = checkout / name
    path.write_text(path.read_text().replace("version: 1.2.0\n", "version: 1.1.0\n").replace('"1.2.0"', '"1.1.0"'))
    (said,) = release.problems("v1.2.0", checkout)
    assert name in said
    assert "1.1.0" in said


def test_this_checkout_is_not_released_by_accident():
    """Its changelog has no date yet; once it has one, the tag of its version is right."""
    found = release.problems(f"v{__version__}")
    assert all("CHANGELOG" in one for one in found)


def test_the_workflow_publishes_without_a_password():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "build"
    assert "secrets." not in text
    (checkout,) = (one for job in jobs.values() for one in job["steps"] if "checkout@" in one.get("uses", ""))
    assert checkout["with"]["persist-credentials"] is False  # nothing that is installed later can push


THEIRS = {"py-opencv": "opencv-python-headless", "pytorch": "torch", "lightning": "lightning-fabric"}
"""Packages that conda-forge calls otherwise."""


def test_the_recipe_needs_what_the_package_needs():
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["runtime"], *(one for one in extras["train"] if ";" not in one)]
    wanted.append(f"python{project['requires-python']}")
    run = [one.split(" ", 1) for one in recipe["requirements"]["run"]]
    assert sorted(THEIRS.get(name, name) + bounds for name, bounds in run) == sorted(wanted)
    assert recipe["context"]["version"] == __version__
    assert recipe["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in project["scripts"].items()]
    (built,) = (one.split(" ")[1] for one in recipe["requirements"]["host"] if one.startswith("hatchling"))
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert backend == [f"hatchling{built}"]


def test_a_release_has_an_sbom_that_is_attested():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["build"]["steps"]
    (attested,) = (one["with"] for one in steps if "attest-sbom" in one.get("uses", ""))
    (made,) = (one["run"] for one in steps if "cyclonedx-py" in one.get("run", ""))
    assert attested["sbom-path"] in made
    assert not attested["sbom-path"].startswith("dist/")  # all of dist/ goes to the package index


@pytest.mark.slow
def test_the_same_files_give_the_same_distributions(tmp_path):
    """In another place and time zone, too."""
    digests = []
    for place in (1, 2):
        target = tmp_path / str(place)
        environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
        environment["TZ"] = f"UTC-{place}"
        words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(target)]
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env=environment)
        digests.append({one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in target.iterdir()})
    assert digests[0] == digests[1]
    assert sorted(name.rpartition(".")[2] for name in digests[0]) == ["gz", "whl"]
    assert all(name.startswith("i2i_toolkit-") for name in digests[0])
