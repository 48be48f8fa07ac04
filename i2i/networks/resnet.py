"""The residual generator of CycleGAN (Zhu et al. 2017, section 7.2), after Johnson et al. 2016."""

from collections.abc import Iterator

from torch import Tensor, nn

from i2i.networks.base import TranslatingGenerator
from i2i.networks.film import Stage, make_conditional_norm
from i2i.networks.layers import (
    BlurPool,
    Centre,
    Downsampling,
    Initialisation,
    Norm,
    UnbiasedConv2d,
    UnbiasedConvTranspose2d,
    Upsampling,
    initialise,
    make_upsampling,
    needs_bias,
)
from i2i.networks.small_maps import Conv2d


def _conv_before(norm: Norm) -> type[nn.Conv2d]:
    return UnbiasedConv2d if norm == "instance" else nn.Conv2d


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflect padding, added to their input."""

    def __init__(self, channels: int, norm: Norm, dropout: float, condition: int = 0):
        super().__init__()
        bias, conv = needs_bias(norm), _conv_before(norm)
        self.body = Stage(
            nn.ReflectionPad2d(1),
            conv(channels, channels, 3, bias=bias),
            make_conditional_norm(norm, channels, condition),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout) if dropout > 0 else nn.Identity(),
            nn.ReflectionPad2d(1),
            conv(channels, channels, 3, bias=bias),
            make_conditional_norm(norm, channels, condition),
        )

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W), and (N, condition) if it takes one, to (N, C, H, W)."""
        return input + self.body(input, condition)


class ResNet(TranslatingGenerator):
    """Two halvings, `blocks` residual blocks at a quarter of the size, two doublings.

    halvings: 2 as in the paper; 3 or 4 make the global generator of pix2pixHD (Wang et al. 2018, section 3.1).

    blocks: 6 for 128 px and 9 from 256 px on in the paper; any number from 1.
    upsample: "transpose" as in the paper, or "resize", which avoids checkerboards.
    downsample: "strided" as in the paper, or "blur", low-pass filtered, as in contrastive unpaired
        translation (Park et al. 2020), together with upsample "resize".
    init: "normal" as in the paper, or "xavier".
    fills_holes, condition: see TranslatingGenerator; FiLM follows each norm.
    Sides must be multiples of 4 and at least 8 (reflect padding needs two pixels at a quarter), or of 2**halvings.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        blocks: int = 9,
        width: int = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsampling = "transpose",
        downsample: Downsampling = "strided",
        init: Initialisation = "normal",
        halvings: int = 2,
        fills_holes: bool = False,
        condition: int = 0,
    ):
        super().__init__()
        self.fills_holes, self.condition = fills_holes, condition
        if blocks < 1 or not 1 <= halvings <= 8:
            raise ValueError(f"blocks is {blocks} and halvings is {halvings}; a ResNet has at least 1, and 1 to 8")
        self.size_multiple, self.size_minimum = 2**halvings, 2 * 2**halvings
        bias, conv = needs_bias(norm), _conv_before(norm)
        widths = [width * 2**level for level in range(halvings)]

        self.centre = Centre(norm)
        self.stem = Stage(
            nn.ReflectionPad2d(3),
            conv(in_channels, width, 7, bias=bias),
            make_conditional_norm(norm, width, condition),
            nn.ReLU(inplace=True),
        )
        self.down = nn.ModuleList()
        for count in widths:
            stride = 2 if downsample == "strided" else 1
            self.down.append(
                Stage(
                    conv(count, 2 * count, 3, stride, 1, bias=bias),
                    make_conditional_norm(norm, 2 * count, condition),
                    nn.ReLU(inplace=True),
                    nn.Identity() if downsample == "strided" else BlurPool(2 * count),
                )
            )
        self.blocks = nn.ModuleList(ResidualBlock(2 * widths[-1], norm, dropout, condition) for _ in range(blocks))
        self.up = nn.ModuleList()
        for count in (2 * count for count in reversed(widths)):
            conv_transpose = UnbiasedConvTranspose2d if norm == "instance" else nn.ConvTranspose2d
            transposed = conv_transpose(count, count // 2, 3, 2, 1, output_padding=1, bias=bias)
            normed = make_conditional_norm(norm, count // 2, condition)
            self.up.append(Stage(make_upsampling(upsample, transposed), normed, nn.ReLU(inplace=True)))
        self.head = Stage(nn.ReflectionPad2d(3), Conv2d(width, out_channels, 7), nn.Tanh())
        initialise(self, init)

    def encoder(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield centre, stem, down.0, down.1, blocks.0, ..."""
        yield "centre", self.centre
        yield "stem", self.stem
        yield from ((f"down.{level}", stage) for level, stage in enumerate(self.down))
        yield from ((f"blocks.{number}", block) for number, block in enumerate(self.blocks))

    def translate(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], and (N, condition) if it takes one, to (N, out_channels, H, W)."""
        # Centred before it is cast: in fp16 a dark image would keep few digits.
        value = self.stem(self.centre(image).to(self.dtype), condition)
        for level in (*self.down, *self.blocks, *self.up):
            value = level(value, condition)
        return self.head(value)
