"""World files: six lines beside a picture that say where its pixels lie, for formats that cannot say so themselves.

x.pgw is that of x.png, x.tfw of x.tif: the first and last letter of the ending, and w. The lines are the terms A, D, B
and E of an affine map, and C and F, the place of the centre of the first pixel.
"""

from pathlib import Path

from i2i.files import write_bytes

_WITHOUT = (".npy", ".npz", ".zarr")
"""Endings of files that no reader of world files knows."""
_MOST_BYTES = 4096


def world_file_of(picture: Path) -> Path | None:
    """Return the world file beside a picture; None if there is none."""
    ending = picture.suffix
    endings = dict.fromkeys((f"{ending[:2]}{ending[-1:]}w", f"{ending}w", ".wld"))
    return next((file for one in endings if (file := picture.with_suffix(one)).is_file()), None)


def carry_over(source: Path, output: Path, corner: tuple[int, int] = (0, 0)) -> None:
    """Write the world file of `source`, if it has one, beside `output`.

    corner: row and column of the source's pixel that is the first of the output. Nothing is written for a file that
    only has the name of a world file. Raises OSError.
    """
    file = world_file_of(source)
    if file is None or output.suffix.lower() in _WITHOUT:
        return
    target = output.with_suffix(f"{output.suffix[:2]}{output.suffix[-1]}w")
    if corner == (0, 0) and target.exists() and target.samefile(file):
        return
    text = _moved(file.read_bytes()[:_MOST_BYTES], *corner)
    if text:
        write_bytes(target, text, sync=False)


def _moved(content: bytes, top: int, left: int) -> bytes:
    """Return a world file for a picture without its first rows and columns; empty for other files."""
    try:
        a, d, b, e, c, f = (float(word) for word in content.split())
    except ValueError:
        return b""
    if not (top or left):
        return content
    moved = (a, d, b, e, c + a * left + b * top, f + d * left + e * top)
    return "".join(f"{value!r}\n" for value in moved).encode()
