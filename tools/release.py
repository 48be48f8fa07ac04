"""Check that a tag, the version wherever it stands, and the changelog agree, before anything is published.

python tools/release.py --tag v0.1.0
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPEATED = {"recipe/recipe.yaml": r'^  version: "(.+)"$', "CITATION.cff": r"^version: (.+)$"}
"""Files of other tools that repeat the version, and where."""


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """Return what is wrong with releasing `tag` from the checkout `root`."""
    said = re.search(r'^__version__ = "(.+)"$', (root / "i2i" / "version.py").read_text("utf-8"), re.MULTILINE)
    version = said[1] if said else None
    found = [] if tag == f"v{version}" else [f"The tag is {tag}, and i2i/version.py says {version}."]
    for name, line in REPEATED.items():
        repeated = re.search(line, (root / name).read_text("utf-8"), re.MULTILINE)
        if repeated is None or repeated[1] != version:
            found.append(f"{name} says {repeated[1] if repeated else 'no version'}, and i2i/version.py says {version}.")
    newest = re.search(r"^## (\S+)(.*)$", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    name, rest = (newest[1].rstrip(","), newest[2]) if newest else ("", "")
    if name != version:
        found.append(f"CHANGELOG.md begins with {name or 'nothing'}, not with {version}.")
    elif not re.search(r"\d{4}-\d{2}-\d{2}", rest):
        found.append(f"CHANGELOG.md has no date for {version}.")
    return found


def main() -> None:
    """Print what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description="Check that a tag can be released.")
    parser.add_argument("--tag", required=True, help="As in v0.1.0.")
    found = problems(parser.parse_args().tag)
    sys.exit("\n".join(found) or None)


if __name__ == "__main__":
    main()
