"""The PatchGAN discriminator (Isola et al. 2017, sections 3.2.2 and 6.1.2)."""

from collections.abc import Mapping

from torch import Tensor, nn

from i2i.networks.base import Discriminator, DiscriminatorOutput, layer_outputs
from i2i.networks.batches import BatchChannels, MinibatchDistance, pack
from i2i.networks.heads import Heads
from i2i.networks.layers import (
    BlurPool,
    Downsampling,
    Norm,
    Projection,
    initialise,
    make_norm,
    needs_bias,
    normalise_spectrally,
)
from i2i.networks.small_maps import Conv2d

# The receptive field of a logit, by `layers` (1, 16, 70 and 286 are the paper's).
RECEPTIVE_FIELD_PX = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}
_BLURRED_FIELD_PX = {0: 1, 1: 18, 2: 40, 3: 84, 4: 172, 5: 348}


def smallest_side(layers: int) -> int:
    """Return the smallest side of an image, in pixels, that leaves one logit: 3 px after the halvings."""
    return 3 * 2**layers if layers else 1


class PatchGAN(Discriminator):
    """A discriminator with a logit for every patch of an image, so that it models texture, not layout.

    layers: halvings, 0 to 5; a patch is RECEPTIVE_FIELD_PX[layers] wide. 0 is the PixelGAN of 1x1
        convolutions.
    width: channels of the first layer; they double down to the fourth and stay at 8 * width.
    spectral_norm: divide every weight by its largest singular value.
    scales: number of discriminators. Each further one has weights of its own, and sees the image at half the size of
        the one before (Wang et al. 2018, "High-resolution image synthesis", section 3.2).
    downsample: "strided" as in the paper, or "blur": convolutions keep the size, and a low-pass filter halves it, as in
        the code of contrastive unpaired translation (Park et al. 2020).
    padding: zeros around an image or map, for each convolution of 4 px: 1, or 2 as in the code of the paper on scales.
    minibatch_std: show the head of each scale how much the images of a batch differ (see append_spread).
    minibatch_discrimination: show it how close they are, by "l1" or "l2" (see MinibatchDiscrimination), or "none".
    packing: images that are judged together, with the logits of one (see pack).
    condition: length of a condition vector, which forward then also takes and projects onto each patch; 0: none.
    heads: length of each further output, by name (see Heads), from the mean features of the finest scale.
    The first and the last layer have no normalisation.
    """

    def __init__(
        self,
        in_channels: int = 6,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        scales: int = 1,
        downsample: Downsampling = "strided",
        padding: int = 1,
        minibatch_std: bool = False,
        minibatch_discrimination: MinibatchDistance = "none",
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        if layers not in RECEPTIVE_FIELD_PX:
            raise ValueError(f"layers is {layers}; a PatchGAN has 0 to 5")
        self.count, self.scales, self.packing = layers, scales, packing
        in_channels, condition = in_channels * packing, condition * packing
        self.receptive_field_px = (RECEPTIVE_FIELD_PX if downsample == "strided" else _BLURRED_FIELD_PX)[layers]
        kernel, padding = (4, padding) if layers else (1, 0)
        bias, halving = needs_bias(norm), 2 if downsample == "strided" else 1
        self.layers = nn.ModuleList()
        count = in_channels
        for index, stride in enumerate([halving] * layers + [1] if layers else [1, 1]):
            target = width * min(2**index, 8)
            convolution = Conv2d(count, target, kernel, stride, padding, bias=index == 0 or bias)
            layer = nn.Sequential(convolution, nn.Identity() if index == 0 else make_norm(norm, target))
            layer.append(nn.LeakyReLU(0.2, inplace=True))
            if downsample == "blur" and index < layers:
                layer.append(BlurPool(target))
            self.layers.append(layer)
            count = target
        self.batch_channels = BatchChannels(count, minibatch_std, minibatch_discrimination)
        channels = count + self.batch_channels.added
        self.head = Conv2d(channels, 1, kernel, 1, padding, bias=bias if layers == 0 else True)
        self.projection = Projection(count, condition) if condition else None
        self.pool = nn.AvgPool2d(kernel, 1, padding) if layers else nn.Identity()  # to the size of the head's output
        initialise(self)
        if spectral_norm:
            normalise_spectrally(self)
        self.heads = Heads(count, heads, packing) if heads else None
        self.coarser: PatchGAN | None = None
        if scales > 1:
            further = (width, norm, spectral_norm, scales - 1, downsample, padding)
            batches = (minibatch_std, minibatch_discrimination)
            self.coarser = PatchGAN(in_channels, layers, *further, *batches, condition=condition)  # it is given packs
            self.halve = nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def fits(self, side_px: int) -> str | None:
        """Return None if at least one patch fits, at every scale."""
        if side_px < smallest_side(self.count):
            most = max(count for count in RECEPTIVE_FIELD_PX if side_px >= smallest_side(count))
            least = smallest_side(self.count)
            return f"a PatchGAN of {self.count} layers needs {least} px or more; it allows up to {most}"
        whole = (smallest_side(self.count) - 1) * 2 ** (self.scales - 1) + 1  # a half is rounded up
        if side_px < whole:
            return f"discriminator.scales {self.scales} with {self.count} layers needs {whole} px or more"
        return None

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels, H, W) to logits (N, 1, h, w), one a patch, the features of each layer and the heads."""
        images, image = len(image), pack(image, self.packing)
        condition = None if condition is None else pack(condition, self.packing)
        features = layer_outputs(self.layers, image)
        logits = self.head(self.batch_channels(features[-1]))
        if self.projection is not None:
            logits = logits + self.projection(self.pool(features[-1]), condition)
        further = self.heads(features[-1].mean(dim=(2, 3)), images) if self.heads else None
        if self.coarser is None:
            return DiscriminatorOutput(logits, tuple(features), further)
        output: DiscriminatorOutput = self.coarser(self.halve(image), condition)
        return DiscriminatorOutput(logits, (*features, *output.features), further, output.scales)
