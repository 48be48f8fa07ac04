"""Options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from i2i.cli import completing, planes
from i2i.cli.directions import Directions

TRAINING_DEVICES = ["auto", "cpu", "cuda", "mps"]
DEVICES = [*TRAINING_DEVICES, "tensorrt", "coreml", "openvino"]
BACKENDS = ["auto", "onnx", "torch"]
OME = ["ome.zarr", "ome.tif"]


class OutputPath(click.Path):
    """A file or folder to write."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail for standard output, an empty name and an address."""
        if str(value) in ("", "-"):
            self.fail(f"'{value}' names no file. i2i does not write to standard output; for a file named -, give ./-.")
        if "://" in str(value):
            self.fail(f"'{value}' is an address. i2i writes to disks of this machine; write there, then copy.")
        return super().convert(value, param, ctx)


class Share(click.ParamType):
    """One of several shares, as in 3/16."""

    name = "k/n"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return both numbers; fail for anything else."""
        if not isinstance(value, str):
            return value
        number, _, count = value.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            self.fail(f"'{value}' is not a share: two whole numbers, from 1/N to N/N, as in 3/16.", param, ctx)
        return int(number), int(count)


class Workers(click.ParamType):
    """A number from 1, or auto."""

    name = "auto|n"

    def convert(self, value: str | int | None, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number, None for auto."""
        if value is None or value == "auto":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"'{value}' is neither auto nor a whole number from 1.", param, ctx)
        return int(value)


class WidthByHeight(click.ParamType):
    """Sides of a picture in pixels, as in 512x384, each up to `most`; `dynamic`: or that word, for any size."""

    def __init__(self, most: int = 99999, dynamic: bool = False):
        self.most, self.dynamic = most, dynamic
        self.name = "dynamic|WxH" if dynamic else "WxH"

    def convert(
        self, value: str | tuple[int, int] | None, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int] | None:
        """Return (height, width), or None for dynamic; fail for anything else."""
        if not isinstance(value, str):
            return value
        if self.dynamic and value == "dynamic":
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", value)
        if not found or max(map(int, found.groups())) > self.most:
            allowed = f"{'dynamic, or ' if self.dynamic else ''}width x height in pixels, up to {self.most}"
            self.fail(f"'{value}' is not a size: {allowed}, as in 512x384.", param, ctx)
        return int(found[2]), int(found[1])


class NameList(click.ParamType):
    """Names, separated by commas, as in l1,ssim."""

    name = "names"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names."""
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


class SeedList(click.ParamType):
    """Seeds, separated by commas, as in 3,17,3."""

    name = "seeds"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the seeds; fail for anything else."""
        if not isinstance(value, str):
            return value
        try:
            seeds = tuple(int(word) for word in value.split(","))
        except ValueError:
            seeds = (-1,)
        if min(seeds) < 0:
            self.fail(
                f"'{value}' is not a list of seeds: whole numbers from 0, separated by commas, as in 3,17,3.",
                param,
                ctx,
            )
        return seeds


class SeedsOrLatents(SeedList):
    """Seeds as in 3,17,3, or an .npy file of latents."""

    name = "seeds|file.npy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the seeds or the path."""
        return Path(value) if str(value).lower().endswith(".npy") else super().convert(value, param, ctx)


class LabelNames(click.ParamType):
    """Names of classes, separated by commas, as in shoe,blue."""

    name = "labels"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names; fail if one is empty."""
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(","))
        if not all(names):
            self.fail(
                f"'{value}' has an empty name. Give names of classes separated by commas, as in shoe,blue.", param, ctx
            )
        return names


class Quality(click.ParamType):
    """1 to 100, or lossless."""

    name = "quality"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["lossless"]:
        """Return the number, or the word; fail for anything else."""
        if value == "lossless":
            return "lossless"
        if not str(value).isdecimal() or not 1 <= int(value) <= 100:
            self.fail(f"'{value}' is neither a whole number from 1 to 100 nor lossless.", param, ctx)
        return int(value)


model = click.option(
    "-m",
    "--model",
    shell_complete=completing.models,
    help="Run folder; .safetensors, .onnx or .pth file; or a shipped model by name, see `i2i models`. MODEL as the "
    "first argument is the same.",
)
direction = click.option("--direction", type=Directions(), help="Of models that hold both; by default the usual one.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
backend = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="Library that computes; auto: the one that the model file is for.",
)
then = click.option(
    "--then",
    multiple=True,
    metavar="MODEL",
    help="Send the outputs through this model that translates, too; repeat it for more. Of a model that holds two "
    "directions, name one: runs/both:B2A.",
)
label = click.option(
    "--label",
    "labels",
    type=LabelNames(),
    multiple=True,
    help="Classes by name, one of each label set: shoe,blue; or kind=shoe if two sets have a shoe. Repeat it to give "
    "one for each seed, or for each of A, B and C.",
)
translated_label = click.option(
    "--label",
    type=LabelNames(),
    default=(),
    help="For models that translate to labels: classes by name, one of each label set, as in shoe,blue; or kind=shoe.",
)
text = click.option(
    "--text",
    "texts",
    multiple=True,
    help="What to show, in words, if the model was trained with text. Repeat it to give one for each seed.",
)
value_range = click.option(
    "--value-range",
    type=(float, float),
    metavar="LO HI",
    help="Black and white in the floats of an .onnx file of another project.  [default: -1 1]",
)
output_value_range = click.option(
    "--output-value-range",
    type=(float, float),
    metavar="LO HI",
    help="The same for its outputs.  [default: as --value-range]",
)
latents = click.option(
    "--latents", type=click.Path(path_type=Path), help="Take latents from this .npy file, one a row, instead of seeds."
)
truncation = click.option(
    "--truncation",
    type=click.FloatRange(0, 1),
    help="Of models with styles: draw them to their mean, for pictures that are alike and better; 0 is the mean alone.",
)
save_latents = click.option("--save-latents", type=OutputPath(), help="Write the latents to this .npy file.")


_PICTURES = [
    click.option(
        "--format",
        type=click.Choice(
            ["png", "jpg", "webp", "tiff", "bmp", "gif", "avif", "ppm", "npy", "npz", "ome.zarr", "ome.tif"]
        ),
        help="Format of the outputs.  [default: each picture's own]",
    ),
    click.option(
        "--quality",
        type=Quality(),
        metavar="1..100|lossless",
        help="For JPEG and WebP (default 95) and AVIF (90); lossless: for WebP.",
    ),
    click.option(
        "--bit-depth", type=click.Choice([8, 16, 32]), help="Bits a channel; 32: float.  [default: each picture's own]"
    ),
    click.option(
        "--alpha",
        type=click.Choice(["keep", "drop"]),
        help="Write the model's or the input's alpha, or lay on white.  [default: as the model was trained]",
    ),
    click.option("--suffix", default="", help="Goes between names and endings: _x makes a_x.png of a.png."),
    click.option("--keep-metadata", is_flag=True, help="Keep EXIF, XMP, resolution and PNG texts too."),
    click.option(
        "--frames",
        type=click.Choice(["first", "all"]),
        default="first",
        show_default=True,
        help="Which frames of animations, and pages of files with several.",
    ),
    click.option(
        "--input-range",
        type=(float, float),
        metavar="LO HI",
        help="Values of black and white in 16-bit and float pictures.  [default: those of training, otherwise "
        "all of 16 bits, and 0 1 for floats]",
    ),
    click.option(
        "--mask",
        metavar="MASK|auto",
        help="For models that fill holes: a picture that is white in the hole, or a folder of them by the pictures' "
        "names; auto: what is transparent. All other pixels stay as they are.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=100_000_000,
        show_default=True,
        help="Refuse larger pictures before they are decoded.",
    ),
    *planes.OPTIONS,
]


def pictures(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the fields of runtime.pictures.PictureOptions as options."""
    for option in reversed(_PICTURES):
        command = option(command)
    return command
