"""What the interface takes and tells, as OpenAPI shows it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from i2i.models.spec import GENERATE
from i2i.serving.accept import KINDS
from i2i.serving.body import FIELD
from i2i.serving.problems import ErrorBody
from i2i.serving.store import ModelStore, Served

_TOLD = ConfigDict(use_attribute_docstrings=True)
_ASKED = ConfigDict(use_attribute_docstrings=True, extra="forbid")
_QUALITY = Annotated[int, Field(ge=1, le=100)] | Literal["lossless"] | None


class TranslateQuery(BaseModel):
    """How a picture is translated."""

    model_config = _ASKED

    direction: Literal["A2B", "B2A"] | None = None
    """Needed only for a model that holds both, and neither is usual."""
    label: list[str] = []
    """Classes by name, for a model that translates to labels."""
    quality: _QUALITY = None
    """1 to 100 for JPEG and WebP, by default 95; lossless: for WebP."""


class GenerateQuery(BaseModel):
    """What is made from noise."""

    model_config = _ASKED

    seed: int = Field(0, ge=0, lt=2**63)
    """The same seed gives the same picture."""
    label: list[str] = []
    """Classes by name; the seed draws the others."""
    text: str | None = Field(None, max_length=256)
    """What to show, for a model that was trained with text."""
    truncation: float | None = Field(None, ge=0, le=1)
    """For a model with styles: 0 is the mean picture, 1 the whole variety."""
    size: str | None = Field(None, pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$")
    """Width x height in pixels, as in 512x384, for a model that makes any size; by default as in training."""
    quality: _QUALITY = None
    """1 to 100 for JPEG and WebP, by default 95; lossless: for WebP."""


class PartInfo(BaseModel):
    """One thing that a model does."""

    model_config = _TOLD

    part: str
    """A2B, B2A, or generate."""
    channels_in: int | None
    """Of the pictures that go in: 1 (grey), 3 (RGB) or 4 (RGB with alpha); null for noise."""
    channels_out: int
    """Of those that come out."""
    size: list[int] | None
    """Height and width of what comes out of noise, in pixels; null: those of the picture that goes in."""
    size_step: int | None
    """Sides that the model makes from noise besides are multiples of this; null: it makes that size alone."""
    labels: dict[str, list[str]]
    """Classes of each label set."""


class ModelInfo(BaseModel):
    """A model that is served."""

    model_config = _TOLD

    name: str
    """Its name in addresses."""
    algorithm: str
    """What trained it."""
    parts: list[PartInfo]
    """What it does."""
    bytes: int
    """Size of its file."""
    trained_side_px: int
    """Shorter side of the training pictures; 0: unknown."""
    open: bool
    """Whether it is in memory; else the next request opens it."""


class ModelList(BaseModel):
    """All models that are served."""

    models: list[ModelInfo]


class Health(BaseModel):
    """Whether the server takes requests."""

    model_config = _TOLD

    status: Literal["ok"]
    version: str
    """Of i2i."""
    waiting: int
    """Pictures in the queue."""


def describe(store: ModelStore) -> ModelList:
    """Return what is served."""
    return ModelList(models=[_describe(one, store.is_open(one.name)) for one in store.served.values()])


def _describe(one: Served, is_open: bool) -> ModelInfo:
    parts = []
    for name in one.parts:
        part = one.spec.parts[name]
        made = name == GENERATE
        parts.append(
            PartInfo(
                part=name,
                channels_in=None if made else part.in_channels,
                channels_out=part.out_channels,
                size=[part.out_px, part.out_px] if made else None,
                size_step=(part.place_px or None) if made else None,
                labels={block.name: list(block.classes) for block in part.blocks if block.classes},
            )
        )
    return ModelInfo(
        name=one.name,
        algorithm=one.spec.algorithm,
        parts=parts,
        bytes=one.bytes,
        trained_side_px=one.spec.trained_side_px,
        open=is_open,
    )


_BINARY = {"type": "string", "format": "binary"}
TAKES_PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _BINARY}},
            },
        },
    }
}
_REFUSALS = {
    401: "No token, or a wrong one",
    404: "No such model",
    406: "No format that is sent",
    408: "The body came too slowly",
    413: "The body is too long",
    415: "The body is no picture and no form",
    422: "The picture is damaged or too large, or the model cannot do what was asked",
    503: "The queue is full; Retry-After says when to come again",
}
SENDS_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture", "content": {kind: {"schema": _BINARY} for kind in KINDS}},
    **{status: {"description": text, "model": ErrorBody} for status, text in _REFUSALS.items()},
}
