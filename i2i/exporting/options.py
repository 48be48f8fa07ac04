"""The choices of an export."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from i2i.errors import UsageError, one_line
from i2i.models.parts import TEXT

Io = Literal["tensor", "image"]
Precision = Literal["fp32", "fp16", "int8", "int8_weights"]


@dataclass(frozen=True)
class ExportOptions:
    """What to export, in which form, and where to."""

    output: str | Path | None = None
    """The .onnx file to write."""
    triton: str | Path | None = None
    """In place of `output`: the folder of models that a Triton server serves."""
    direction: str | None = None
    """A2B or B2A, needed only when the model holds both, and neither is usual; "both" writes a file for each."""
    verify: str | Path | None = None
    """Folder of pictures to prove the file on; None: the previews of the run that the model lies in, or
    the test pictures on the sheet of a shipped model."""
    overwrite: bool = False
    """Whether outputs that exist may be replaced."""
    io: Io = "tensor"
    """What goes in and comes out: float32 NCHW in [-1, 1]; or uint8 NHWC of any size, with normalisation, padding and
    cropping in the graph."""
    precision: Precision = "fp32"
    """What the network computes in; int8 for processors, and int8_weights for small files, both behind the gates of
    i2i.exporting.int8. On a page, int8 means the second."""
    size: tuple[int, int] | None = None
    """Height and width in pixels of a file for one size; None: any size."""
    labels: Sequence[str] = ()
    """Names of classes, one of each label set, of a model that translates to labels; the file translates to these."""
    page: str | Path | None = None
    """In place of `output`: the .html file of a page that runs the model in a browser; see i2i.exporting.page."""
    licence: str | None = None
    """The licence of the model, and ..."""
    author: str | None = None
    """... who made it; every exported file carries them, and a page shows them."""
    webgpu: bool = False
    """Whether a page can use WebGPU."""
    examples: str | Path | None = None
    """Folder of pictures that a page holds and offers to try: PNG, JPEG or WebP. Subfolders A2B and B2A, if there are
    any, hold those of one direction."""
    triton_version: int | None = None
    """The version of the model in the folder `triton`, a whole number from 1 on; None: 1. Servers serve the largest."""

    def __post_init__(self) -> None:
        """Raise UsageError for options that contradict one another."""
        if sum(one is not None for one in (self.output, self.triton, self.page)) != 1:
            raise UsageError(
                "Give one of -o FILE, --triton FOLDER for a Triton server, and --page FILE for a page that runs it."
            )
        if self.triton is not None and self.direction == "both":
            raise UsageError("--triton writes one direction as ONNX. Choose it with --direction A2B or B2A.")
        if self.triton_version is not None and self.triton is None:
            raise UsageError("--triton-version numbers a model in a folder of Triton's. Add --triton FOLDER.")
        if self.triton_version is not None and self.triton_version < 1:
            raise UsageError(f"--triton-version is {self.triton_version}. Versions are whole numbers from 1 on.")
        if self.page is None and self.webgpu:
            raise UsageError("--webgpu is for a page. Add --page FILE, or leave it out.")
        if self.page is None and self.examples is not None:
            raise UsageError("--examples is for a page. Add --page FILE, or leave it out.")
        for name, given in (("licence", self.licence), ("author", self.author)):
            if given is not None and not re.fullmatch(TEXT, given):
                raise UsageError(f"--{name} takes one line of 1 to 256 characters, not {one_line(given[:80])!r}.")

    def refuse_for_page(self) -> None:
        """Raise UsageError for choices that a page leaves without effect."""
        if self.size is not None or self.io != "tensor":
            raise UsageError("A page takes pictures of any size, in 8 bits. Leave out --io and --size.")

    def refuse_for_weights(self, kind: str) -> None:
        """Raise UsageError for choices that only ONNX files have; kind: the project that loads the weights."""
        if self.labels:
            raise UsageError(f"Weights of {kind} have no labels. Leave out --label, and export an ONNX file.")
        if self.output is None:
            raise UsageError("--triton and --page hold ONNX files. Leave out --format, or give -o FILE.")
        if self.licence is not None or self.author is not None:
            raise UsageError(
                f"Weights of {kind} have no place for a licence and an author. Leave out --licence and --author."
            )
        if self.verify is not None or self.io != "tensor" or self.precision != "fp32" or self.size is not None:
            raise UsageError(f"Weights of {kind} are only renamed. Leave out --verify, --io, --precision and --size.")
