"""The parts of a model, as its file describes them: their inputs, outputs and latents."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from i2i.images import Layout
from i2i.models.picture_spec import MEANINGS as MEANINGS
from i2i.models.picture_spec import PictureSpec, picture_spec

GENERATE = "generate"
"""Name of the part that makes pictures from noise, in place of a direction."""
ENCODE = "encode"
"""Name of the part that finds the latents of pictures."""
CLASSIFY = "classify"
"""Name of the part that tells the labels of pictures."""
PHASE = "phase"
"""Name of the latent block with the phases of a texture's waves."""
Word = Annotated[str, Field(pattern=r"^[\w.+-]{1,80}$")]
"""A name that is safe to print: files come from strangers, and terminals obey control characters."""
CLASS_NAME = r"[^\x00-\x1f\x7f-\x9f,=]{1,80}"
ClassName = Annotated[str, Field(pattern=f"^{CLASS_NAME}$")]
"""The name of a class or label set, as in a folder or a table, without control characters and the syntax of --label."""
TEXT = r"[^\x00-\x1f\x7f-\x9f]{1,256}"
Text = Annotated[str, Field(pattern=f"^{TEXT}$")]
"""A text on one line, without control characters."""
Side = Annotated[int, Field(ge=1, le=1 << 16)]
"""In pixels, and bounded: memory depends on it before any picture is read."""
Multiple = Annotated[int, Field(ge=1, le=1 << 10)]
"""The same for the multiple that every picture is padded to."""
SideOrNone = Annotated[int, Field(ge=0, le=1 << 16)]
"""As Side, or 0 for none."""


class LatentBlock(BaseModel):
    """A block of numbers in a latent, and the prior that they are drawn from."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: ClassName
    """noise, augmentation, text, or the name of a label set."""
    size: Side
    """How many numbers."""
    prior: Literal["normal", "uniform", "one_hot", "text", "constant"] = "normal"
    """Standard normal; uniform in [-1, 1]; a single 1 among zeros; a hashed text (see i2i.models.texts); or the same
    value for every seed, which users may set between 0 and 1."""
    value: Annotated[float, Field(ge=0, le=1)] = 0.0
    """For a constant block: each of its numbers."""
    classes: tuple[ClassName, ...] = ()
    """For a label set: the names of its classes, in the order of the numbers."""
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Probability of each number of a one_hot block to be the 1; empty: all equal."""
    texts: tuple[Text, ...] = ()
    """For a text block: some texts of the training data, of which one is drawn where none is given."""
    each_place: bool = False
    """In a map of latents, whether each place has a draw of its own; else all places have the same."""

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        for counted in (self.classes, self.shares):
            if counted and (len(counted) != self.size or self.prior != "one_hot"):
                raise ValueError(f"the latent block {self.name} has {self.size} numbers and {len(counted)} classes")
        if len({*self.classes}) < len(self.classes):
            raise ValueError(f"the latent block {self.name} has two classes with the same name")
        if (self.prior == "text") != bool(self.texts):
            raise ValueError(f"the latent block {self.name} has the prior {self.prior} and {len(self.texts)} texts")
        if self.each_place and self.prior not in ("normal", "uniform"):
            raise ValueError(f"the latent block {self.name} has the prior {self.prior}, one for all places")
        if self.shares and not sum(self.shares):
            raise ValueError(f"the latent block {self.name} never draws any of its classes")
        return self

    def at(self, places: int) -> Self:
        """Return the block of a whole map with so many places."""
        return self.model_copy(update={"size": self.size * places}) if self.each_place else self

    def only(self, number: int) -> Self:
        """Return the block of a label set with one of its classes alone."""
        return self.model_copy(update={"size": 1, "classes": (self.classes[number],), "shares": ()})


class Part(BaseModel):
    """One task of a model, and the network that does it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: Literal["translate", "generate", "encode", "classify"]
    """Pictures from pictures, pictures from latents, latents from pictures, or labels of pictures."""
    network: Word
    """A name in i2i.networks.GENERATORS, of kind encode in ENCODERS, of kind classify in CLASSIFIERS."""
    arguments: dict[str, Any]
    """Arguments of its constructor."""
    inputs: PictureSpec | None = None
    """The image that goes in, if any."""
    outputs: PictureSpec | None = None
    """The image or points that come out, if any."""
    blocks: tuple[LatentBlock, ...] = ()
    """The blocks of its latent, in order. Of a part that translates: the label sets that its network is conditioned on;
    an exported file has one class of each. Of a part that classifies: the label sets that it tells."""
    size_multiple: Multiple = 1
    """Sides of the images that go in are multiples of this, in pixels, ..."""
    size_minimum: Multiple = 1
    """... and at least this."""
    out_px: SideOrNone = 0
    """Side of the square images made from a latent; 0 for points, and where the output has the size of the input."""
    place_px: Annotated[int, Field(ge=0, le=1 << 10)] = 0
    """0 for images of that side alone. Else the network takes maps of latents, (N, latent, H, W), each of whose places
    is so many pixels of the image's side."""
    recurrent: bool = False
    """Whether it translates the frames of a clip in order: with the channels of an image, its network gets those of the
    frame before it and of what it made of that; all of these are 0 for the first frame."""
    border_places: Annotated[int, Field(ge=0, le=16)] = 0
    """How many further places such a map has on each side, which reach into the image."""
    alpha: Literal["kept", "consumed"] = "kept"
    """What happens to the input's alpha. Networks of 1 or 3 channels always see pictures on white, in training and in
    use. kept: trained on opaque pictures, so the output gets the input's alpha back. consumed: trained on transparent
    pictures, so the output already answers to it; or the network itself takes or makes alpha."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needs = {"translate": (True, True, False), "generate": (False, True, True)}
        needs |= dict.fromkeys(("encode", "classify"), (True, False, True))
        has = (self.inputs is not None, self.outputs is not None, bool(self.blocks))
        if any(needed and not there for needed, there in zip(needs[self.kind], has, strict=True)):
            raise ValueError(f"a part of kind {self.kind} lacks inputs, outputs or a latent")
        points = [one for one in (self.inputs, self.outputs) if one and one.meaning == "points"]
        if (self.kind == "generate") != (self.out_px > 0 or bool(points)) or (points and self.out_px):
            raise ValueError(f"a part of kind {self.kind} has the wrong sides or points")
        maps = self.place_px or self.border_places or any(block.each_place for block in self.blocks)
        if maps and (not self.place_px or not self.out_px or self.out_px % self.place_px):
            raise ValueError(f"a part of kind {self.kind} has the wrong maps of latents")
        if self.recurrent and self.kind != "translate":
            raise ValueError(f"a part of kind {self.kind} has no frames in order")
        if len({block.name for block in self.blocks}) < len(self.blocks):
            raise ValueError("two latent blocks have the same name")
        return self

    @property
    def in_channels(self) -> int:
        """Channels of the image that goes in."""
        assert self.inputs is not None
        return self.inputs.channels

    @property
    def network_channels(self) -> int:
        """Channels that its network takes: those of the image and, if it is recurrent, of the frame before it."""
        return self.in_channels + (self.in_channels + self.out_channels if self.recurrent else 0)

    @property
    def in_meaning(self) -> str:
        """What they are."""
        assert self.inputs is not None
        return self.inputs.meaning

    @property
    def out_channels(self) -> int:
        """Channels of the image that comes out."""
        assert self.outputs is not None
        return self.outputs.channels

    @property
    def out_meaning(self) -> str:
        """What they are."""
        assert self.outputs is not None
        return self.outputs.meaning

    @property
    def in_bands(self) -> tuple[str, ...]:
        """The names of the bands that go in; empty for pictures."""
        return self.inputs.bands if self.inputs else ()

    @property
    def out_bands(self) -> tuple[str, ...]:
        """The names of the bands that come out; empty for pictures."""
        return self.outputs.bands if self.outputs else ()

    @property
    def latent(self) -> int:
        """Length of its latent; 0 for none."""
        return sum(block.size for block in self.blocks)

    def places(self, sides: tuple[int, int], tile: bool = False) -> tuple[int, int]:
        """Return the rows and columns of the map of latents that makes an image with these sides.

        tile: without the places beyond its border, if they are those of the border opposite.
        """
        border = 0 if tile else 2 * self.border_places
        return sides[0] // self.place_px + border, sides[1] // self.place_px + border

    def at(self, rows: int, columns: int) -> Self:
        """Return the part with the blocks of a whole map, as a row of numbers holds it."""
        return self.model_copy(update={"blocks": tuple(block.at(rows * columns) for block in self.blocks)})

    @property
    def labels(self) -> list[str]:
        """The class of each label set whose class is chosen, as --label takes it."""
        return [f"{block.name}={block.classes[0]}" for block in self.blocks if len(block.classes) == 1]

    @property
    def keeps_alpha(self) -> bool:
        """Whether outputs get the input's alpha back unless the user says otherwise."""
        if self.in_bands or self.out_bands:
            return False
        return self.alpha == "kept" and 4 not in (self.in_channels, self.out_channels)


def translating(
    network: str,
    arguments: Mapping[str, Any],
    inputs: int | Layout,
    outputs: int | Layout,
    size_multiple: int,
    size_minimum: int,
    blocks: Sequence[LatentBlock] = (),
    recurrent: bool = False,
) -> Part:
    """Describe a network from images of `inputs` channels, or of that layout, to images of `outputs`.

    blocks: of its condition, if any. recurrent: see Part.
    """
    return Part(
        kind="translate",
        network=network,
        arguments=dict(arguments),
        inputs=picture_spec(inputs),
        outputs=picture_spec(outputs),
        size_multiple=size_multiple,
        size_minimum=size_minimum,
        blocks=tuple(blocks),
        recurrent=recurrent,
    )


def generating(
    network: str,
    arguments: Mapping[str, Any],
    blocks: Sequence[LatentBlock],
    channels: int,
    out_px: int,
    place_px: int = 0,
    border_places: int = 0,
) -> Part:
    """Describe a network from latents to images of `channels` and side `out_px`; 0 px means points in the plane.

    place_px, border_places: see Part.
    """
    made = picture_spec(channels) if out_px else PictureSpec(channels=2, meaning="points")
    return Part(
        kind="generate",
        network=network,
        arguments=dict(arguments),
        outputs=made,
        blocks=tuple(blocks),
        out_px=out_px,
        place_px=place_px,
        border_places=border_places,
    )


def encoding(
    network: str, arguments: Mapping[str, Any], blocks: Sequence[LatentBlock], channels: int, side_px: int
) -> Part:
    """Describe a network from images of `channels` and one side to the means and log variances of latents."""
    return _of_images("encode", network, arguments, blocks, channels, side_px)


def classifying(
    network: str, arguments: Mapping[str, Any], blocks: Sequence[LatentBlock], channels: int, side_px: int
) -> Part:
    """Describe a network from images of `channels` and one side to the logits of label sets, which `blocks` are."""
    return _of_images("classify", network, arguments, blocks, channels, side_px)


def _of_images(
    kind: Literal["encode", "classify"],
    network: str,
    arguments: Mapping[str, Any],
    blocks: Sequence[LatentBlock],
    channels: int,
    side_px: int,
) -> Part:
    return Part(
        kind=kind,
        network=network,
        arguments=dict(arguments),
        inputs=picture_spec(channels),
        blocks=tuple(blocks),
        size_multiple=side_px,
        size_minimum=side_px,
    )
