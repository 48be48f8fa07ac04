"""The U-Net generator of pix2pix (Isola et al. 2017, section 6.1.1)."""

from collections.abc import Iterator

from torch import Tensor, nn

from i2i.networks.base import TranslatingGenerator
from i2i.networks.film import Stage, make_conditional_norm
from i2i.networks.layers import Norm, Upsampling, initialise, make_upsampling, needs_bias
from i2i.networks.layout import join
from i2i.networks.small_maps import Conv2d, ConvTranspose2d


class UNet(TranslatingGenerator):
    """Encoder-decoder with skip connections between levels of the same size.

    depth: halvings, 4 to 9; sides must be multiples of 2**depth (at depth 8, the innermost map of a
        256 px image is one pixel).
    width: channels of the first level; they double down to the fourth and stay at 8 * width.
    dropout: probability in the three innermost decoder levels (the paper's CD512 layers), its only
        source of noise; 0 leaves it out.
    upsample: "transpose" as in the paper, or "resize", which avoids checkerboards.
    fills_holes, condition: see TranslatingGenerator; FiLM follows each norm.
    The innermost level has no normalisation: at batch size 1 its one pixel would become zero.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        depth: int = 8,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        upsample: Upsampling = "transpose",
        fills_holes: bool = False,
        condition: int = 0,
    ):
        super().__init__()
        self.fills_holes, self.condition = fills_holes, condition
        if not 4 <= depth <= 9:
            raise ValueError(f"depth is {depth}; a U-Net has 4 to 9 levels")
        self.size_multiple = self.size_minimum = 2**depth
        channels = [width * min(2**level, 8) for level in range(depth)]

        self.down = nn.ModuleList()
        for level, count in enumerate(channels):
            outer, inner = level == 0, level == depth - 1
            self.down.append(
                Stage(
                    # In place, so the skip carries leaky values, which the decoder's ReLU maps to those of a ReLU.
                    nn.Identity() if outer else nn.LeakyReLU(0.2, inplace=True),
                    Conv2d(in_channels if outer else channels[level - 1], count, 4, 2, 1, bias=needs_bias(norm)),
                    nn.Identity() if outer or inner else make_conditional_norm(norm, count, condition),
                )
            )

        self.up = nn.ModuleList()
        for level in reversed(range(depth)):
            outer, inner = level == 0, level == depth - 1
            count = channels[level] * (1 if inner else 2)
            target = out_channels if outer else channels[level - 1]
            transposed = ConvTranspose2d(count, target, 4, 2, 1, bias=outer or needs_bias(norm))
            noisy = dropout > 0 and level > depth - 4 and not outer
            self.up.append(
                Stage(
                    nn.ReLU(inplace=True),
                    make_upsampling(upsample, transposed),
                    nn.Tanh() if outer else make_conditional_norm(norm, target, condition),
                    nn.Dropout(dropout) if noisy else nn.Identity(),
                )
            )
        initialise(self)

    def encoder(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield down.0, down.1, ..."""
        yield from ((f"down.{level}", stage) for level, stage in enumerate(self.down))

    def translate(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], and (N, condition) if it takes one, to (N, out_channels, H, W)."""
        skips = []
        value = image.to(self.dtype)
        for level in self.down:
            value = level(value, condition)
            skips.append(value)
        skips.pop()
        for level in self.up:
            value = level(value, condition)
            if skips:
                value = join(skips.pop(), value)
        return value
