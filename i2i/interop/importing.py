"""Weights of other projects as models of ours: one file, or one for each direction."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

import i2i
from i2i.errors import ModelError, UsageError
from i2i.interop.pytorch_cyclegan_pix2pix import (
    ANTIALIASED_PROJECT,
    PROJECT,
    build_empty,
    convert,
    describe,
    is_antialiased,
    recognise,
)
from i2i.mistaken import refuse_not_finite
from i2i.networks.layers import NormStatistics
from i2i.spec import MEANINGS, GeneratorSpec, ModelSpec
from i2i.torchfile import read_torch_file

OPTIONS_NAME = "train_opt.txt"


class Imported(NamedTuple):
    """A model from other weights. tensors: of each direction, by their names in our network.

    words: what each direction was recognised as.
    """

    spec: ModelSpec
    tensors: dict[str, dict[str, Tensor]]
    words: dict[str, str]


def import_weights(
    files: Sequence[Path], direction: str | None = None, norm_statistics: NormStatistics = "image"
) -> Imported:
    """Read one generator, or those of both directions, that pytorch-CycleGAN-and-pix2pix saved, and its kin.

    Everything about the network comes from the tensors. A `train_opt.txt` beside the first file says at what
    size and in which direction it was trained; without one the sizes are unknown (0).
    direction: of one file; by default A2B, or B2A for a file named G_B or trained with --direction BtoA. Of two
    files, G_B is the one so named, else the second.
    norm_statistics: image is what that project's test.py computes, running what it does with --eval.
    Raises ModelError and UsageError.
    """
    if not 1 <= len(files) <= 2:
        raise UsageError(f"{len(files)} files were given. Give one, or two for the two directions.")
    if len(files) == 2 and direction is not None:
        raise UsageError("Two files are both directions. Leave out --direction.")
    options = read_options(files[0].with_name(OPTIONS_NAME))
    chosen, (crop, side) = _directions(files, direction, options), _sizes(options)
    ones = {one: _import_one(file) for one, file in zip(chosen, files, strict=True)}
    spec = ModelSpec(
        i2i_version=i2i.__version__,
        algorithm=ANTIALIASED_PROJECT if any(one.antialiased for one in ones.values()) else PROJECT,
        generators={way: ones[way].spec for way in sorted(ones)},
        norm_statistics=norm_statistics,
        trained_crop_px=crop,
        trained_side_px=side,
    )
    tensors = {way: one.tensors for way, one in ones.items()}
    return Imported(spec, tensors, {way: one.words for way, one in ones.items()})


def read_options(path: Path) -> dict[str, str]:
    """Return the options in a `train_opt.txt`, a line each, `name: value` and then perhaps a default in brackets.

    Empty where there is no such file; what is not such a line is passed over.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(100_000)
    except OSError:
        return {}
    lines = re.findall(r"^[ \t]*(\w+): ([^\s\[]+)", text, flags=re.MULTILINE)
    return dict(lines)


class _One(NamedTuple):
    spec: GeneratorSpec
    tensors: dict[str, Tensor]
    words: str
    antialiased: bool


def _import_one(file: Path) -> _One:
    state = read_torch_file(file)
    try:
        name, arguments = recognise(state)
        network = build_empty(name, arguments)
        tensors = convert(state, network)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    refuse_not_finite(file, tensors.values())
    inputs, outputs = arguments["in_channels"], arguments["out_channels"]
    for count in (inputs, outputs):
        if count not in MEANINGS:
            raise ModelError(
                f"{file} takes pictures of {inputs} channels and makes pictures of {outputs}. "
                "i2i knows those of 1, 3 and 4: grey, RGB, RGB with alpha."
            )
    spec = GeneratorSpec(
        network=name,
        arguments=arguments,
        in_channels=inputs,
        in_meaning=MEANINGS[inputs],
        out_channels=outputs,
        out_meaning=MEANINGS[outputs],
        size_multiple=network.size_multiple,
        size_minimum=network.size_minimum,
    )
    return _One(spec, tensors, describe(network), is_antialiased(network))


def _directions(files: Sequence[Path], direction: str | None, options: dict[str, str]) -> list[str]:
    """Say which direction each file translates."""
    forth, back = ("B2A", "A2B") if options.get("direction") == "BtoA" else ("A2B", "B2A")
    first_is_back = files[0].stem.endswith("G_B")
    if len(files) == 2:
        return [back, forth] if first_is_back else [forth, back]
    return [direction or (back if first_is_back else forth)]


def _sizes(options: dict[str, str]) -> tuple[int, int]:
    """Return the sides of the crops and of the pictures trained on, 0 for what is not known."""

    def number(name: str) -> int:
        value = options.get(name, "")
        return int(value) if re.fullmatch(r"[0-9]{1,4}", value) else 0

    steps = options.get("preprocess", "")  # as resize_and_crop, scale_width, crop, none
    side = number("load_size") if "resize" in steps or "scale" in steps else 0
    crop = number("crop_size") if "crop" in steps else side
    return crop, side
