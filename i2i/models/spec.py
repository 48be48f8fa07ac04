"""ModelSpec: the description in a model file, so that using the file takes no flags.

The same JSON is in the header of `model.safetensors` and in the metadata of `model.onnx`. Reading it needs neither
torch nor the code that trained the model.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from i2i.config.derive import DeriveSettings
from i2i.errors import ModelError, UsageError
from i2i.models.format_1 import from_format_1
from i2i.models.parts import CLASS_NAME as CLASS_NAME
from i2i.models.parts import CLASSIFY as CLASSIFY
from i2i.models.parts import ENCODE as ENCODE
from i2i.models.parts import GENERATE as GENERATE
from i2i.models.parts import PHASE as PHASE
from i2i.models.parts import LatentBlock as LatentBlock
from i2i.models.parts import Part as Part
from i2i.models.parts import Side, SideOrNone, Text, Word
from i2i.models.parts import classifying as classifying
from i2i.models.parts import encoding as encoding
from i2i.models.parts import generating as generating
from i2i.models.parts import translating as translating
from i2i.models.picture_spec import MEANINGS as MEANINGS
from i2i.models.picture_spec import PictureSpec as PictureSpec
from i2i.version import __version__

METADATA_KEY = "i2i"
UNDESCRIBED = "undescribed"
"""Stands for what a stranger's ONNX model does not state."""


class ExportProof(BaseModel):
    """How an exported file differed from its model, on real pictures or seeded noise."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    max_difference: float
    """Largest difference of any value, in units of the value range; in grey levels if the file returns uint8."""
    mean_difference: float
    """Mean difference."""
    differing: float = 1.0
    """Share of the values that differ at all."""
    torch_rounding: float | None = None
    """Largest difference between torch in the file's precision and in float64, in [-1, 1], on the pictures where it
    lets the file differ more."""
    torch_differing: float | None = None
    """In files by earlier versions: number of pixels that differ between torch's own float32 and float64."""
    pictures: int
    """Number of pictures, each at several sizes, or made from noise."""
    source: str
    """Where they came from: val, train, the name of a folder, or seeds."""


class Int8Proof(BaseModel):
    """What an int8 file lost and gained against the same file in fp32, on pictures that set no scale."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    psnr_db: float
    """Mean PSNR against fp32, in dB."""
    speed: float
    """How many times as fast it was on the processor that exported it, on one thread."""
    pictures: int
    """Number of pictures compared."""
    scales_from: int | None = None
    """Number of other pictures that set the scales; null for int8_weights, and in files by earlier versions."""


class Derivation(BaseModel):
    """How training derived its inputs from pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    settings: DeriveSettings
    """The training's `data.derive`."""
    side: Literal["A", "B"] | None = None
    """The training's `data.side`: the half used of files that hold two pictures."""


class Origin(BaseModel):
    """Where an exported file comes from, as far as it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: Text
    """Of the run folder or model file that it was exported from."""
    licence: Text | None = None
    """Licence of the model."""
    author: Text | None = None
    """Who made the model."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """The day on which its training was last started; null without a run."""
    data_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest of the training pictures; null without a run."""


class ModelSpec(BaseModel):
    """All that the runtime needs to know about a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    format: Literal[2] = 2
    """Format of this description; format 1 is read, too."""
    i2i_version: Word
    """Version of i2i that wrote the file."""
    algorithm: Word
    """The algorithm that trained it."""
    parts: Annotated[dict[Word, Part], Field(min_length=1)]
    """Its tasks by name: A2B and B2A for directions, generate for pictures from noise."""
    usual: Literal["A2B", "B2A"] | None = None
    """Which of two directions is taken where none is asked for: the training's `data.direction`; null: it must be."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Range of inputs and outputs; integers map to it by their full range."""
    input_range: tuple[float, float] | None = None
    """Black and white in 16-bit and float pictures; null: the full range of integers, 0 to 1 for floats."""
    derivation: Derivation | None = None
    """How inputs were derived from their targets, also for scoring; null: inputs were files."""
    norm_statistics: Literal["image", "running"]
    """What batch norm uses at inference: each picture's own statistics, or those of training."""
    dropout: Literal["off"] = "off"
    """Dropout at inference."""
    trained_crop_px: SideOrNone
    """Side of the training crops; 0 where unknown, and for points."""
    trained_side_px: SideOrNone
    """Shorter side of the training pictures after resizing, the scale that the model knows; 0 as above."""
    images_seen: int = 0
    """Images seen in training."""
    metrics: dict[str, float] = {}
    """Scores at the end of training; their names say on what."""
    io: Literal["tensor", "image"] = "tensor"
    """Input and output of an exported file. tensor: float32 NCHW in [-1, 1], with sides as the generator needs them;
    image: uint8 NHWC of any size, with normalisation, padding and cropping inside."""
    precision: Literal["fp32", "fp16", "int8", "int8_weights"] = "fp32"
    """Precision in which an exported file computes; int8_weights: in fp32, with weights that are kept in int8."""
    fixed_size: tuple[Side, Side] | None = None
    """Height and width of an exported file that runs at one size only, in pixels."""
    proof: ExportProof | None = None
    """How an exported file was compared with its model."""
    int8: Int8Proof | None = None
    """How an int8 file was compared with the fp32 file that `proof` is of; null in others."""
    self_test: Annotated[tuple[float, ...], Field(max_length=256)] = ()
    """Of an exported file: values that torch, or an int8 file itself, answers to a made-up input
    (i2i.exporting.selftest); empty in files by earlier versions."""
    origin: Origin | None = None
    """Where an exported file comes from; null in files by earlier versions."""

    @model_validator(mode="before")
    @classmethod
    def _from_format_1(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("format") != 1:
            return values
        try:
            return from_format_1(values)
        except (AttributeError, TypeError) as error:  # files that somebody wrote by hand
            raise ValueError("this is not a description in format 1") from error

    @model_validator(mode="after")
    def _has_a_task(self) -> Self:
        named = {name: part.kind for name, part in self.parts.items() if part.kind in ("translate", "generate")}
        if not named or any((name == GENERATE) != (kind == "generate") for name, kind in named.items()):
            raise ValueError(f"a model has directions that translate, or a part {GENERATE} that generates")
        return self

    @field_validator("input_range")
    @classmethod
    def _is_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
            raise ValueError("input_range is not a range")
        return value

    @property
    def generators(self) -> dict[str, Part]:
        """The parts that translate, by direction."""
        return {name: part for name, part in self.parts.items() if part.kind == "translate"}

    @property
    def latent_generator(self) -> Part | None:
        """The part that makes pictures from latents, if there is one."""
        return next((part for part in self.parts.values() if part.kind == "generate"), None)

    @property
    def encoder(self) -> Part | None:
        """The part that finds the latents of pictures, if there is one."""
        return next((part for part in self.parts.values() if part.kind == "encode"), None)

    @property
    def classifier(self) -> Part | None:
        """The part that tells the labels of pictures, if there is one."""
        return next((part for part in self.parts.values() if part.kind == "classify"), None)

    @property
    def task(self) -> Literal["translate", "generate"]:
        """The task of the model: pictures from pictures, or pictures from latents."""
        return "translate" if self.generators else "generate"

    @property
    def unit(self) -> str:
        """Unit of the differences in a proof."""
        return "grey levels" if self.io == "image" else "values in -1 to 1"

    def pick(self, direction: str | None) -> str:
        """Return the direction to use: the one asked for, the only one, or the usual one; raises UsageError."""
        have = list(self.generators)
        if not have:
            raise UsageError("This model makes pictures from noise, and cannot translate. Use `i2i generate`.")
        if direction is None:
            if len(have) == 1:
                return have[0]
            if self.usual in have:
                return self.usual
            raise UsageError(f"This model translates {' and '.join(have)}. Choose one with --direction.")
        if direction not in have:
            raise UsageError(f"This model translates {' and '.join(have)}, not {direction}.")
        return direction


def spec_to_metadata(spec: ModelSpec) -> dict[str, str]:
    """Return the metadata entry that carries `spec` in a model file."""
    return {METADATA_KEY: spec.model_dump_json()}


def spec_from_metadata(metadata: Mapping[str, str] | None, path: Path) -> ModelSpec:
    """Read the spec from a model file's metadata; raises ModelError if it is missing, damaged or newer."""
    if not metadata or METADATA_KEY not in metadata:
        raise ModelError(f"{path} holds no description by i2i. Models come from `i2i train` and `i2i export`.")
    try:
        return ModelSpec.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        raise ModelError(
            f"{path}: i2i {__version__} cannot read its description. The file is damaged, or from another version.\n"
            "Update i2i, or get the model again."
        ) from error
