"""The parts of a model as its file describes them: what each takes and makes, and the latents that it takes."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from i2i.images import Channels

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
