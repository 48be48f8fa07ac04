"""ModelSpec: what a model file says of itself, so that using it takes no flag.

The same JSON stands in the header of `model.safetensors` and in the metadata of `model.onnx`. Reading
it needs neither torch nor the code that trained the model.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from i2i.config.derive import DeriveSettings
from i2i.errors import ModelError, UsageError
from i2i.images import Channels
from i2i.version import __version__

METADATA_KEY = "i2i"
UNDESCRIBED = "undescribed"
"""Stands for what a stranger's ONNX model does not say of itself."""
GENERATE = "generate"
"""Takes the place of a direction where a model has none, because it makes pictures from noise."""
Meaning = Literal["grey", "rgb", "rgba"]
Word = Annotated[str, Field(pattern=r"^[\w.+-]{1,80}$")]
"""A name that may be shown: files come from strangers, and terminals obey control characters."""
CLASS_NAME = r"[^\x00-\x1f\x7f-\x9f,=]{1,80}"
ClassName = Annotated[str, Field(pattern=f"^{CLASS_NAME}$")]
"""The name of a class or of a label set, as a folder or a table has it; without control characters, and without what
--label needs."""
Side = Annotated[int, Field(ge=1, le=1 << 16)]
"""In pixels, and bounded: memory is taken by it before a picture is seen."""
Multiple = Annotated[int, Field(ge=1, le=1 << 10)]
"""The same of what every picture is padded to."""
SideOrNone = Annotated[int, Field(ge=0, le=1 << 16)]
"""The same, or 0 where there is none."""
MEANINGS: dict[int, Meaning] = {1: "grey", 3: "rgb", 4: "rgba"}


class LatentBlock(BaseModel):
    """A run of numbers in a latent: what they are and what they are drawn from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: ClassName
    """As noise, or the name of a label set."""
    size: Side
    """How many numbers."""
    prior: Literal["normal", "uniform", "one_hot"] = "normal"
    """Standard normal; uniform in [-1, 1]; or one of them 1 and all others 0."""
    classes: tuple[ClassName, ...] = ()
    """Of a label, in the order of the numbers; a person picks one by its name."""
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """How often each number of a one_hot block is the 1; empty: all alike."""

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        for counted in (self.classes, self.shares):
            if counted and (len(counted) != self.size or self.prior != "one_hot"):
                raise ValueError(f"the latent block {self.name} has {self.size} numbers and {len(counted)} classes")
        if len({*self.classes}) < len(self.classes):
            raise ValueError(f"the latent block {self.name} has two classes of one name")
        if self.shares and not sum(self.shares):
            raise ValueError(f"the latent block {self.name} has no class that is ever drawn")
        return self


class PictureSpec(BaseModel):
    """What a network takes or makes: pictures, or points in the plane."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    channels: Literal[1, 2, 3, 4]
    """Channels of a picture, or coordinates of a point."""
    meaning: Meaning | Literal["points"]
    """What they are."""

    @model_validator(mode="after")
    def _points_have_two(self) -> Self:
        if (self.meaning == "points") != (self.channels == 2):
            raise ValueError(f"{self.meaning} cannot have {self.channels} channels")
        return self


class Part(BaseModel):
    """One thing that a model does, and the network that does it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["translate", "generate", "encode"]
    """Pictures from pictures, pictures from latents, or latents from pictures."""
    network: Word
    """A name in i2i.networks.GENERATORS."""
    arguments: dict[str, Any]
    """What its constructor was given."""
    inputs: PictureSpec | None = None
    """The picture that goes in, if one does."""
    outputs: PictureSpec | None = None
    """The picture, or the points, that come out, if some do."""
    blocks: tuple[LatentBlock, ...] = ()
    """What its latent is made of, in this order."""
    size_multiple: Multiple = 1
    """Sides of pictures that the network takes are multiples of this, in pixels ..."""
    size_minimum: Multiple = 1
    """... and at least this."""
    out_px: SideOrNone = 0
    """Side of the square pictures that come out of a latent; 0 for points, and where it is that of the input."""
    alpha: Literal["kept", "consumed"] = "kept"
    """What becomes of the input's alpha. Networks of 1 or 3 channels always see pictures laid on white, in training
    as in use. kept: trained on opaque pictures, so the output gets the input's alpha back. consumed: trained on
    transparent pictures, whose answer to transparency is in the output; or the network itself takes or makes alpha."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needs = {"translate": (True, True, False), "generate": (False, True, True), "encode": (True, False, True)}
        has = (self.inputs is not None, self.outputs is not None, bool(self.blocks))
        if any(needed and not there for needed, there in zip(needs[self.kind], has, strict=True)):
            raise ValueError(f"a part that does {self.kind} lacks its inputs, outputs or latent")
        points = [one for one in (self.inputs, self.outputs) if one and one.meaning == "points"]
        if (self.kind == "generate") != (self.out_px > 0 or bool(points)) or (points and self.out_px):
            raise ValueError(f"a part that does {self.kind} has other sides, or points")
        if len({block.name for block in self.blocks}) < len(self.blocks):
            raise ValueError("two latent blocks have one name")
        return self

    @property
    def in_channels(self) -> Channels:
        """Channels of the picture that goes in."""
        assert self.inputs is not None
        return cast(Channels, self.inputs.channels)

    @property
    def in_meaning(self) -> str:
        """What they are."""
        assert self.inputs is not None
        return self.inputs.meaning

    @property
    def out_channels(self) -> Channels:
        """Channels of the picture that comes out."""
        assert self.outputs is not None
        return cast(Channels, self.outputs.channels)

    @property
    def out_meaning(self) -> str:
        """What they are."""
        assert self.outputs is not None
        return self.outputs.meaning

    @property
    def latent(self) -> int:
        """Length of its latent; 0 where it has none."""
        return sum(block.size for block in self.blocks)

    @property
    def keeps_alpha(self) -> bool:
        """Whether outputs get the input's alpha back unless the user says otherwise."""
        return self.alpha == "kept" and 4 not in (self.in_channels, self.out_channels)


def translating(
    network: str, arguments: Mapping[str, Any], inputs: int, outputs: int, size_multiple: int, size_minimum: int
) -> Part:
    """Describe a network from pictures of `inputs` channels to pictures of `outputs`."""
    return Part(
        kind="translate",
        network=network,
        arguments=dict(arguments),
        inputs=PictureSpec(channels=inputs, meaning=MEANINGS[inputs]),  # type: ignore[arg-type]
        outputs=PictureSpec(channels=outputs, meaning=MEANINGS[outputs]),  # type: ignore[arg-type]
        size_multiple=size_multiple,
        size_minimum=size_minimum,
    )


def generating(
    network: str, arguments: Mapping[str, Any], blocks: Sequence[LatentBlock], channels: int, out_px: int
) -> Part:
    """Describe a network from latents to pictures of `channels` and side `out_px`; 0 px are points in the plane."""
    meaning = MEANINGS[channels] if out_px else "points"
    return Part(
        kind="generate",
        network=network,
        arguments=dict(arguments),
        outputs=PictureSpec(channels=channels, meaning=meaning),  # type: ignore[arg-type]
        blocks=tuple(blocks),
        out_px=out_px,
    )


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


class Derivation(BaseModel):
    """How training made its inputs from pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    settings: DeriveSettings
    """The training's `data.derive`."""
    side: Literal["A", "B"] | None = None
    """The training's `data.side`: which half of files that hold two pictures."""


class ModelSpec(BaseModel):
    """All that a runtime must know of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Literal[2] = 2
    """Version of this description; files of version 1 are read, too."""
    i2i_version: Word
    """Version that wrote the file."""
    algorithm: Word
    """What trained it."""
    parts: Annotated[dict[Word, Part], Field(min_length=1)]
    """What it does, by name: A2B and B2A for directions, generate for pictures from noise."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Of inputs and outputs; integers map to it by their full range."""
    input_range: tuple[float, float] | None = None
    """What is black and white in 16-bit and float pictures; null: the full range of integers, 0 to 1 of floats."""
    derivation: Derivation | None = None
    """How inputs were derived from their targets, as scoring does too; null: they were files."""
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

    @model_validator(mode="before")
    @classmethod
    def _from_format_1(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("format") != 1:
            return values
        try:
            return _from_format_1(values)
        except (AttributeError, TypeError) as error:  # of files that somebody wrote by hand
            raise ValueError("this is not a description of version 1") from error

    @model_validator(mode="after")
    def _has_a_task(self) -> Self:
        named = {name: part.kind for name, part in self.parts.items() if part.kind != "encode"}
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
    def task(self) -> Literal["translate", "generate"]:
        """What the model is for: pictures from pictures, or pictures from latents."""
        return "translate" if self.generators else "generate"

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


def _from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """Return a description of version 1, which knew generators by direction or one from noise, as one of version 2."""
    values = {**values, "format": 2}
    generators, noise = values.pop("generators", {}), values.pop("latent_generator", None)
    values.pop("task", None)
    parts = {name: _part_of_format_1("translate", one) for name, one in generators.items()}
    if noise:
        noise = dict(noise)
        size = noise.pop("latent", 0)
        parts[GENERATE] = _part_of_format_1("generate", noise) | {"blocks": [{"name": "noise", "size": size}]}
    return values | {"parts": parts}


def _part_of_format_1(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    part = {"kind": kind, **values}
    for new, old in (("inputs", "in"), ("outputs", "out")):
        if f"{old}_channels" in part:
            part[new] = {"channels": part.pop(f"{old}_channels"), "meaning": part.pop(f"{old}_meaning", None)}
    return part


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
            f"{path}: its description does not fit i2i {__version__}; the file is damaged or another version's.\n"
            "Update i2i, or get the model again."
        ) from error
