"""The documentation: links lead somewhere, the index lists every page, licences are complete, and the site builds."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest

from i2i.exporting.page import RUNTIME_VERSION
from i2i.models.shipped import read_card, shipped_names
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
PAGES += [*sorted((ROOT / "datasets").rglob("README.md")), ROOT / "SECURITY.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def prose(page):
    """A page without its code."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"``[^`\n]+``|`[^`\n]+`(?!\]\()", lambda found: "x" if "](" in found[0] else found[0], text)


def anchors(page):
    """What may stand after # in a link to a page: its headings, as code hosts and the site write them."""
    found = []
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_a_wrong_link_would_be_found(tmp_path):
    (tmp_path / "page.md").write_text("# One `two`\n\n[x](page.md#one-two) [y](page.md#three)\n")
    assert anchors(tmp_path / "page.md") == ["one-two"]
    with pytest.raises(AssertionError, match="three"):
        test_links_lead_somewhere(tmp_path / "page.md")


def test_the_index_lists_every_page():
    index = DOCS / "index.md"
    links = re.findall(r"\]\(([^)#\s]+\.md)\)", index.read_text(encoding="utf-8"))
    listed = [(DOCS / link).resolve() for link in links]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(PAGES) - {index, ROOT / "SECURITY.md"}


def test_licences_are_complete():
    page = (DOCS / "licences.md").read_text(encoding="utf-8")
    assert f"ONNX Runtime Web {RUNTIME_VERSION}," in page
    models = dict(re.findall(r"^\| shipped model `(\w+)` .* the pictures: (.*) \|$", page, re.MULTILINE))
    assert models == {name: read_card(name).rights for name in shipped_names()}
    folders = {one.name for one in (ROOT / "datasets").iterdir() if (one / "README.md").exists()}
    assert folders == set(re.findall(r"`datasets/(\w+)/`", page))
    for licence in ROOT.glob("**/LICENSE"):
        if not {".venv", "site", "runs"} & set(licence.parts):
            assert f"](../{licence.relative_to(ROOT).as_posix()})" in page
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(one for extra in extras if extra != "dev" for one in extras[extra])]
    names = {re.match(r"[\w.-]+", one)[0] for one in wanted}
    assert set(re.findall(r"^\| `([\w.-]+)` \|[^|]*\| [^|]+ \|$", page, re.MULTILINE)) == names


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="needs the extra docs")
def test_the_site_builds_and_needs_no_network(tmp_path):
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-b", "html", ".", tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in (tmp_path / "searchindex.js").read_text(encoding="utf-8")
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(script|img|iframe)[^>]+src=\"(https?:)?//", text), page
        assert not re.search(r"<link[^>]+rel=\"(stylesheet|preload|preconnect)\"[^>]+href=\"(https?:)?//", text), page
    index = (tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    assert 'href="tutorials/artist.html"' in index
    assert 'href="../README.html"' in index
