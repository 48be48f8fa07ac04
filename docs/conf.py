"""Settings of the documentation site, which tools/docs builds with Sphinx from the Markdown of this repository.

Sphinx, since its search and its links work from a disk as well as from a server. MyST reads plain Markdown, and Furo
needs no network.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
project, author, project_copyright = "i2i", "", ""
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "datasets/README.md",
    "datasets/*/README.md",
]
exclude_patterns = ["**/runs", "**/.venv", "docs/site"]
demo = ROOT / "docs" / "demo" / "index.html"  # from tools/demo.py; tools/docs copies its folder into the site
myst_heading_anchors = 4
html_theme = "furo"
html_title = "i2i"
html_static_path = ["print.css"]
html_css_files = ["print.css"]
html_copy_source = html_show_copyright = False


def navigate(text: str) -> str:
    """Return the index with each list of links as a part of the navigation, under its heading."""

    def listed(part: str) -> str:
        title, pages = part.partition("\n")[0], re.findall(r"\]\(([^()]*)\.md\)", part)
        return f"{part}\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n"

    start, *parts = text.split("\n## ")
    return "\n## ".join([start, *map(listed, parts)])


def without_folders(text: str, page: Path) -> str:
    """Return a page without links to folders, which a site does not show."""

    def link(found: re.Match[str]) -> str:
        return found[1] if (page.parent / found[2]).is_dir() else found[0]

    return re.sub(r"\[([^\[\]]+)\]\(([\w./-]+)\)", link, text)


def read(app: Any, name: str, source: list[str]) -> None:
    """Change a page as it is read, and not on disk."""
    source[0] = without_folders(navigate(source[0]) if name == root_doc else source[0], ROOT / f"{name}.md")
    if name == "docs/gallery" and demo.is_file():
        link = '<a href="../demo/index.html">Try the models in your browser.</a>'
        source[0] = source[0].replace("\n\n", f"\n\n{link}\n\n", 1)  # under the title


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", read)
