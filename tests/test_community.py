"""Files for GitHub and other tools, which nothing here runs: they parse and agree with the project."""

import re
import tomllib

import pytest
import yaml

import i2i
from tests.conftest import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PARSED = [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PARSED, ids=lambda path: path.name)
def test_it_parses(path):
    assert isinstance(read(path), dict)


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.stem)
def test_an_issue_form_is_whole(path):
    form = read(path)
    assert all(form[key] for key in ("name", "description", "body"))
    names = [part["id"] for part in form["body"]]
    assert len(names) == len(set(names))
    assert all(part["attributes"]["label"] for part in form["body"])


def test_the_citation_is_of_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == i2i.__version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The i2i authors"}]


def test_ci_runs_every_python_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    jobs = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert jobs["quick"]["strategy"]["matrix"]["python"] == named
    assert jobs["all"]["steps"][-1]["run"] == "./tools/test --all"


def test_links_of_the_pages_are_there():
    for page in (ROOT / "SECURITY.md", ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
