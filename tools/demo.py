"""Write a page for each model that ships with i2i, and an index of them: `python tools/demo.py [FOLDER]`.

Each is one file of some megabytes that runs its model in any browser and opens by a double click, so none is in the
repository. Needs the runtime for browsers (`python tools/web_runtime.py`).
"""

import argparse
import contextlib
import shutil
import tempfile
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np

from i2i.exporting import ExportOptions
from i2i.exporting.page import export_page
from i2i.files import show_size
from i2i.images import read_image, write_image
from i2i.models.modelfile import read_spec
from i2i.models.shipped import read_card, shipped_folder, shipped_names

ROOT = Path(__file__).parents[1]
EXAMPLES = 6
_FRAME = Path(__file__).with_suffix(".html")
_CARD = """<a href="{name}.html"><img src="{name}.png" alt="What {name} makes">
<div><h2>{title}</h2><p class="soft">{limits}</p></div><p class="soft">{name}, {size}</p></a>"""


def write_examples(data: Path, folder: Path) -> None:
    """Write some test pictures of pairs, A|B in one file, as inputs: A's into A2B, and B's into B2A."""
    files = sorted(file for file in (data / "test").iterdir() if file.suffix in (".png", ".jpg"))
    for number in np.linspace(0, len(files) - 1, EXAMPLES + 2).astype(int)[1:-1]:
        pair = read_image(files[number])
        middle = pair.shape[1] // 2
        for direction, half in (("A2B", pair[:, :middle]), ("B2A", pair[:, middle:])):
            write_image(folder / direction / f"{files[number].stem}.png", half)


def write_page(name: str, folder: Path) -> Path:
    """Write the page of a shipped model, with pictures to try where it translates; return the file."""
    page, data = folder.resolve() / f"{name}.html", Path(read_card(name).data.partition(",")[0])
    spec = read_spec(shipped_folder() / f"{name}.safetensors")
    options = ExportOptions(page=page, overwrite=True)
    # From the checkout: a model keeps the name of the folder that it was proved on, which shall be the same everywhere.
    with tempfile.TemporaryDirectory() as examples, contextlib.chdir(ROOT):
        if spec.task == "translate":
            write_examples(data, Path(examples))
            both = "both" if len(spec.generators) == 2 else None
            options = replace(options, direction=both, verify=data / "test", examples=examples)
        export_page(name, options)
    return page


def write_demo(folder: Path) -> list[Path]:
    """Write all pages and the index into a folder; return the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    pages, cards = [], []
    for name in shipped_names():
        page, card = write_page(name, folder), read_card(name)
        shutil.copyfile(shipped_folder() / f"{name}.png", folder / f"{name}.png")
        title = escape(card.title[0].upper() + card.title[1:])
        size = show_size(page.stat().st_size)
        cards.append(_CARD.format(name=name, title=title, limits=escape(card.limits), size=size))
        pages.append(page)
        print(f"{page}: {size}", flush=True)
    index = _FRAME.read_text("utf-8")
    style = (ROOT / "i2i" / "exporting" / "pages" / "style.css").read_text("utf-8")
    index = index.replace("{style}", style).replace("{cards}", "\n".join(cards))
    (folder / "index.html").write_text(index, "utf-8")
    return pages


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "docs" / "demo"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="Where to write, by default docs/demo.")
    folder: Path = parser.parse_args().folder
    write_demo(folder)
    print(f"Open {folder / 'index.html'}")


if __name__ == "__main__":
    main()
