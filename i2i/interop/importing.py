"""Import weights of other projects: one file, or one for each direction."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from i2i.errors import ModelError, UsageError
from i2i.interop.directions import choose_directions
from i2i.interop.pytorch_cyclegan_pix2pix import (
    PROJECT,
    build_empty,
    convert,
    describe,
    project_of,
    recognise,
    transposed_names,
)
from i2i.interop.reparametrised import fold_norms
from i2i.models.mistaken import ONNX, TORCH, kind_of, refuse_not_finite
from i2i.models.safetensorsfile import read_metadata, read_safetensors, refuse_changed
from i2i.models.spec import MEANINGS, METADATA_KEY, ModelSpec, Part, translating
from i2i.models.torchfile import read_torch_file
from i2i.networks.layers import NormStatistics
from i2i.version import __version__

OPTIONS_NAME = "train_opt.txt"


class Imported(NamedTuple):
    """A model made from other weights.

    By direction: tensors, by their names in our network; words, a description of the network; origins, the file and why
    it has this direction. notes: for the user.
    """

    spec: ModelSpec
    tensors: dict[str, dict[str, Tensor]]
    words: dict[str, str]
    origins: dict[str, str]
    notes: list[str]


def import_weights(
    files: Sequence[Path], direction: str | None = None, norm_statistics: NormStatistics = "image"
) -> Imported:
    """Read a generator, or one for each direction, that pytorch-CycleGAN-and-pix2pix or its relatives saved.

    The tensors, in torch files or .safetensors files, show the network. A `train_opt.txt` beside the first file holds
    size and direction of its training; without one, sizes are unknown (0).
    direction: of a single file. By default its name decides (G_A, G_B, A2B, BtoA and so on), then train_opt.txt, then
    A2B. For two files, the names decide, then the order.
    norm_statistics: image computes what that project's test.py does, running what it does with --eval.
    Raises ModelError and UsageError.
    """
    if not 1 <= len(files) <= 2:
        raise UsageError(f"{len(files)} files were given. Give one, or two for the two directions.")
    if len(files) == 2 and direction is not None:
        raise UsageError("Two files already cover both directions. Leave out --direction.")
    options = read_options(files[0].with_name(OPTIONS_NAME))
    choices, (crop, side) = choose_directions(files, direction, options), _sizes(options)
    ones = {choice.direction: import_state(read_state(choice.file), choice.file) for choice in choices}
    spec = ModelSpec(
        i2i_version=__version__,
        algorithm=next((one.project for one in ones.values() if one.project != PROJECT), PROJECT),
        parts={way: ones[way].spec for way in sorted(ones)},
        norm_statistics=norm_statistics,
        trained_crop_px=crop,
        trained_side_px=side,
    )
    return Imported(
        spec,
        {way: one.tensors for way, one in ones.items()},
        {way: one.words for way, one in ones.items()},
        {choice.direction: f"{choice.file} ({choice.reason})" for choice in choices},
        [choice.note for choice in choices if choice.note],
    )


def read_options(path: Path) -> dict[str, str]:
    """Return the options in a `train_opt.txt`: lines `name: value`, some with a default in brackets.

    Empty without the file; other lines are ignored.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(100_000)
    except OSError:
        return {}
    lines = re.findall(r"^[ \t]*(\w+): ([^\s\[]+)", text, flags=re.MULTILINE)
    return dict(lines)


class ImportedPart(NamedTuple):
    """One network of another project: what it is, its tensors by their names in ours, and the project's name."""

    spec: Part
    tensors: dict[str, Tensor]
    words: str
    project: str


def import_state(state: Mapping[str, Tensor], file: Path) -> ImportedPart:
    """Recognise a network from its tensors, and rename them for ours. Raises ModelError, which names `file`."""
    try:
        name, arguments = recognise(fold_norms(state))
        network = build_empty(name, arguments)
        tensors = convert(fold_norms(state, transposed_names(network)), network)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    refuse_not_finite(file, tensors.values())
    inputs, outputs = arguments["in_channels"], arguments["out_channels"]
    for count in (inputs, outputs):
        if count not in MEANINGS:
            raise ModelError(
                f"{file} translates pictures with {inputs} channels into pictures with {outputs}. "
                "i2i supports 1, 3 and 4: grey, RGB, RGB with alpha."
            )
    spec = translating(name, arguments, inputs, outputs, network.size_multiple, network.size_minimum)
    return ImportedPart(spec, tensors, describe(network), project_of(network))


def read_state(file: Path, makes_pictures: bool = True) -> dict[str, Tensor]:
    """Return the tensors of another project's file; raises ModelError and UsageError for other kinds of files.

    makes_pictures: a network whose last layer makes numbers is refused.
    """
    kind = kind_of(file)
    if kind == ONNX:
        raise UsageError(f"{file} is an ONNX model, and needs no import. Use it with -m.")
    if kind == TORCH:
        return _without_module(read_torch_file(file, makes_pictures))
    metadata = read_metadata(file)
    refuse_changed(file, metadata)
    if METADATA_KEY in metadata:
        raise UsageError(f"{file} is already a model file of i2i. Use it with -m.")
    return _without_module(read_safetensors(file))


def _without_module(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the "module." that DataParallel puts before every name."""
    parallel = all(name.startswith("module.") for name in tensors)
    return {name.removeprefix("module.") if parallel else name: tensor for name, tensor in tensors.items()}


def _sizes(options: dict[str, str]) -> tuple[int, int]:
    """Return the sides of the training crops and of the training pictures; 0 if unknown."""

    def number(name: str) -> int:
        value = options.get(name, "")
        return int(value) if re.fullmatch(r"[0-9]{1,4}", value) else 0

    steps = options.get("preprocess", "")  # such as resize_and_crop, scale_width, crop, none
    side = number("load_size") if "resize" in steps or "scale" in steps else 0
    crop = number("crop_size") if "crop" in steps else side
    return crop, side
