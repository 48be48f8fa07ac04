"""ModelSpec: what a model file says of itself, so that using it takes no flag.

The same JSON stands in the header of `model.safetensors` and in the metadata of `model.onnx`. Reading
it needs neither torch nor the code that trained the model.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import i2i
from i2i.errors import ModelError, UsageError
from i2i.images import Channels

METADATA_KEY = "i2i"
UNDESCRIBED = "undescribed"
"""Stands for what a stranger's ONNX model does not say of itself."""
GENERATE = "generate"
"""Takes the place of a direction where a model has none, because it makes pictures from noise."""
Meaning = Literal["grey", "rgb", "rgba"]
Word = Annotated[str, Field(pattern=r"^[\w.+-]{1,80}$")]
"""A name that may be shown: files come from strangers, and terminals obey control characters."""
Side = Annotated[int, Field(ge=1, le=1 << 16)]
"""In pixels, and bounded: memory is taken by it before a picture is seen."""
Multiple = Annotated[int, Field(ge=1, le=1 << 10)]
"""The same of what every picture is padded to."""
SideOrNone = Annotated[int, Field(ge=0, le=1 << 16)]
"""The same, or 0 where there is none."""
MEANINGS: dict[int, Meaning] = {1: "grey", 3: "rgb", 4: "rgba"}


class GeneratorSpec(BaseModel):
    """One direction of a model: which network, and what goes in and comes out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    network: Word
    """A name in i2i.networks.GENERATORS."""
    arguments: dict[str, Any]
    """What its constructor was given."""
    in_channels: Channels
    """Channels of the input picture."""
    in_meaning: Meaning
    """What they are."""
    out_channels: Channels
    """Channels of the output picture."""
    out_meaning: Meaning
    """What they are."""
    size_multiple: Multiple
    """Sides that the network takes are multiples of this, in pixels."""
    size_minimum: Multiple
    """And at least this."""
    alpha: Literal["kept", "consumed"] = "kept"
    """What becomes of the input's alpha. Networks of 1 or 3 channels always see pictures laid on white, in training
    as in use. kept: trained on opaque pictures, so the output gets the input's alpha back. consumed: trained on
    transparent pictures, whose answer to transparency is in the output; or the network itself takes or makes alpha.
    Files from before this field say nothing, which means kept."""

    @property
    def keeps_alpha(self) -> bool:
        """Whether outputs get the input's alpha back unless the user says otherwise."""
        return self.alpha == "kept" and 4 not in (self.in_channels, self.out_channels)


class LatentGeneratorSpec(BaseModel):
    """A generator that makes pictures from noise."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    network: Word
    """A name in i2i.networks.LATENT_GENERATORS."""
    arguments: dict[str, Any]
    """What its constructor was given."""
    latent: Side
    """Length of the vector of standard normal numbers that goes in."""
    out_channels: Literal[1, 2, 3, 4]
    """Channels of the output picture, or coordinates of an output point."""
    out_meaning: Meaning | Literal["points"]
    """What they are."""
    out_px: SideOrNone
    """Side of the square output picture; 0 for points."""


class ExportProof(BaseModel):
    """How an exported file compared with the model it came from, on real pictures or seeded noise."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_difference: float
    """Largest difference of any value, in units of the value range; in grey levels where pixels come out."""
    mean_difference: float
    """Mean difference."""
    differing: float = 1.0
    """How many values differ at all, as a part of all."""
    torch_rounding: float | None = None
    """Largest difference between torch in the file's precision and in float64, in [-1, 1], of the pictures on which
    the file may differ more for it."""
    torch_differing: float | None = None
    """Of files by earlier versions: how many pixels torch's own float32 turned against its float64."""
    pictures: int
    """How many pictures, each at several sizes, or made from noise."""
    source: str
    """Where they came from: val, train, the folder given, or the seeds."""


class ModelSpec(BaseModel):
    """All that a runtime must know of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Literal[1] = 1
    """Version of this description."""
    i2i_version: Word
    """Version that wrote the file."""
    task: Literal["translate", "generate"] = "translate"
    """What the model does: pictures from pictures, or pictures from noise."""
    algorithm: Word
    """What trained it."""
    generators: dict[Word, GeneratorSpec] = {}
    """Of the task translate, by direction: A2B, B2A."""
    latent_generator: LatentGeneratorSpec | None = None
    """Of the task generate."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Of inputs and outputs; integers map to it by their full range."""
    input_range: tuple[float, float] | None = None
    """What is black and white in 16-bit and float pictures; null: the full range of integers, 0 to 1 of floats."""
    norm_statistics: Literal["image", "running"]
    """What batch norm uses at inference: each picture's own statistics, or those of training."""
    dropout: Literal["off"] = "off"
    """Dropout at inference."""
    trained_crop_px: SideOrNone
    """Side of the squares that training showed; 0 where unknown, and for points."""
    trained_side_px: SideOrNone
    """Shorter side of the training pictures, after any resizing: the scale the model knows; 0 as above."""
    images_seen: int = 0
    """How long it was trained."""
    metrics: dict[str, float] = {}
    """Measured at the end of training; the names say on what."""
    io: Literal["tensor", "image"] = "tensor"
    """What goes into an exported file and comes out: float32 NCHW in [-1, 1], its sides as the generator asks; or
    uint8 NHWC of any size, and the normalisation, padding and cropping are inside."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """What an exported file computes in."""
    fixed_size: tuple[Side, Side] | None = None
    """Height and width of an exported file that runs at this size only, in pixels."""
    proof: ExportProof | None = None
    """Of an exported file."""

    @model_validator(mode="after")
    def _has_its_generator(self) -> Self:
        if (self.latent_generator is None) == (self.task == "generate") or bool(self.generators) != (
            self.task == "translate"
        ):
            raise ValueError(f"a model of the task {self.task} has other generators")
        return self

    @field_validator("input_range")
    @classmethod
    def _is_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
            raise ValueError("input_range is not a range")
        return value

    @property
    def unit(self) -> str:
        """What a proof counts differences in."""
        return "grey levels" if self.io == "image" else "values in -1 to 1"

    def pick(self, direction: str | None) -> str:
        """Return the direction to use: the one asked for, or the only one; raises UsageError."""
        have = list(self.generators)
        if not have:
            raise UsageError("This model makes pictures from noise and translates none. Use `i2i generate`.")
        if direction is None:
            if len(have) == 1:
                return have[0]
            raise UsageError(f"This model translates {' and '.join(have)}. Choose one with --direction.")
        if direction not in have:
            raise UsageError(f"This model translates {' and '.join(have)}, not {direction}.")
        return direction


def spec_to_metadata(spec: ModelSpec) -> dict[str, str]:
    """Return the metadata entry that carries `spec` in a model file."""
    return {METADATA_KEY: spec.model_dump_json()}


def spec_from_metadata(metadata: Mapping[str, str] | None, path: Path) -> ModelSpec:
    """Read the spec from a model file's metadata; raises ModelError when there is none or it is newer."""
    if not metadata or METADATA_KEY not in metadata:
        raise ModelError(f"{path} holds no description by i2i. Models come from `i2i train` and `i2i export`.")
    try:
        return ModelSpec.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        raise ModelError(
            f"{path}: its description does not fit i2i {i2i.__version__}; the file is damaged or another version's.\n"
            "Update i2i, or get the model again."
        ) from error
