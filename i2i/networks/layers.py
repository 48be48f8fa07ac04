"""Layers that generators and discriminators share: norms, convolutions and resampling, and their initialisation."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from i2i.networks.small_maps import Conv2d, ConvTranspose2d

Norm = Literal["batch", "instance", "group", "layer", "none"]
NormStatistics = Literal["image", "running"]
Upsampling = Literal["transpose", "resize"]
Downsampling = Literal["strided", "blur"]
Initialisation = Literal["normal", "xavier"]


class Projection(nn.Module):
    """The term that a condition adds to the logits: its product with the features (Miyato and Koyama 2018, eq. 3).

    channels: of the features. condition: length of the condition vector.
    """

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.embedding = nn.Linear(condition, channels, bias=False)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(N, C, ...) and (N, condition) to (N, 1, ...)."""
        embedded = self.embedding(condition)
        return (features * embedded.view(*embedded.shape, *[1] * (features.dim() - 2))).sum(dim=1, keepdim=True)


def freeze(network: nn.Module) -> None:
    """Turn the parameters of a network into buffers of the same names: nothing trains them, and files hold them."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe and Szegedy 2015) that can use an image's own statistics at inference.

    With `norm_statistics` "image", eval mode normalises every image of a batch by its own mean and
    variance, as training does at batch size 1, and as the pix2pix paper (section 3.3) does at test
    time. With "running" it is torch's layer.

    synchronised: all ranks of a training share the statistics of their images. Written out here, because
    torch's SyncBatchNorm runs on GPUs only and is another class.
    """

    norm_statistics: NormStatistics = "running"
    synchronised: bool = False

    @property
    def own_statistics(self) -> bool:
        """Whether each image is normalised by its own mean and variance."""
        return self.norm_statistics == "image" and not self.training

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if self.training and self.synchronised:
            return self._forward_synchronised(input)
        if not self.own_statistics:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, use_input_stats=True, eps=self.eps)

    def _forward_synchronised(self, input: Tensor) -> Tensor:
        x = input.float()
        own = torch.cat([*torch.var_mean(x, dim=(0, 2, 3), correction=0), x.new_tensor([x.numel() / x.shape[1]])])
        # A row for each rank, the others' still zero: the sum is the whole table, and its gradient comes for free.
        rank, ranks = distributed.get_rank(), distributed.get_world_size()
        rows = _SumOverRanks.apply(F.pad(own[None], (0, 0, rank, ranks - rank - 1)))
        variances, means, counts = rows.split([x.shape[1], x.shape[1], 1], dim=1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean).square())).sum(0) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)  # unbiased, as torch's
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(input.dtype)


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks; its gradient is summed, too."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        """Return the sum."""
        total = tensor.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Return the sum of the gradients, which unrolling differentiates again."""
        total: Tensor = _SumOverRanks.apply(gradient)
        return total


ONE_BY_ONE = 4
"""Images of a batch up to which instance norm on a CPU takes each by itself."""


class InstanceNorm(nn.Module):
    """Instance normalisation without affine terms (Ulyanov et al. 2016), the same in both modes.

    In training it is group_norm with one channel in each group: the same function, faster, and correct on a
    CPU, where the gradient of F.instance_norm is wrong (torch 2.15, batch 1 in channels_last). Images in
    channels_last go through batch_norm there, one by one: its gradient takes a third of the time. At inference it
    is F.instance_norm, which exports to one ONNX node instead of five.
    """

    own_statistics = True

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.channels = channels
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if self.training:
            one_by_one = len(input) <= ONE_BY_ONE and input[0, 0].numel() > 1 and input.device.type == "cpu"
            if one_by_one and input.is_contiguous(memory_format=torch.channels_last):
                images = [F.batch_norm(one, None, None, training=True, eps=self.eps) for one in input.split(1)]
                return torch.cat(images) if len(images) > 1 else images[0]
            return F.group_norm(input, self.channels, eps=self.eps)
        return F.instance_norm(input, eps=self.eps)


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu and He 2018), the same in both modes; with one group it is layer normalisation."""

    own_statistics = True


class Centre(nn.Module):
    """Subtract each channel's mean from an image, where the norm after the first convolution does so anyway.

    With reflect padding and each image's own statistics, a constant added to the input does not change the output,
    but for rounding errors. In a flat image the norms see nothing else, and three of them, each dividing by
    sqrt(variance + 1e-5), turn 1e-7 into grey levels. Centred, a flat image is zero, exactly and in every
    precision, and a nearly flat one keeps its digits.

    norm: of the network. It centres before instance norm, and in eval mode before batch norm with
    `norm_statistics` "image". Otherwise the mean matters, and it does nothing.
    """

    norm_statistics: NormStatistics = "running"

    def __init__(self, norm: Norm):
        super().__init__()
        self.norm = norm

    @property
    def own_statistics(self) -> bool:
        """Whether the norm after the first convolution normalises each image by its own mean and variance."""
        image = self.norm_statistics == "image" and not self.training
        return self.norm == "instance" or (self.norm == "batch" and image)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return image - centre(image) if self.own_statistics else image


def centre(image: Tensor) -> Tensor:
    """Return the mean (N, C, 1, 1) of each channel; for a flat one exactly its value, however the sum is rounded."""
    low, high = image.detach().amin((2, 3), keepdim=True), image.detach().amax((2, 3), keepdim=True)
    return image.detach().mean((2, 3), keepdim=True).clamp(low, high)


class UnbiasedConv2d(Conv2d):
    """A convolution before an instance norm, which would subtract its bias again.

    The bias exists for model files that have one, and is not added: zeros stay zeros, and nothing is rounded.
    """

    adds_bias = False


class UnbiasedConvTranspose2d(ConvTranspose2d):
    """The same, transposed."""

    adds_bias = False


class BlurPool(nn.Module):
    """Halve the sides after a [1, 2, 1] low-pass filter (Zhang 2019, "Making CNNs shift-invariant again")."""

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.register_buffer("kernel", torch.empty(channels, 1, 3, 3), persistent=False)
        self.reset()

    def reset(self) -> None:
        """Write the filter, which model files do not hold."""
        line = torch.tensor([1.0, 2.0, 1.0], device=self.kernel.device) / 4
        self.kernel.copy_(torch.outer(line, line))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H/2), ceil(W/2))."""
        return F.conv2d(F.pad(input, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=self.channels)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation layer of this name for `channels` channels."""
    if norm == "batch":
        return BatchNorm(channels)
    if norm == "instance":
        return InstanceNorm(channels)
    if norm == "group":  # of 16 channels, also in narrow networks; Wu and He 2018 found them as good as 32 groups
        return GroupNorm(math.gcd(channels, max(1, channels // 16)), channels)
    if norm == "layer":
        return GroupNorm(1, channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this normalisation has a bias; batch norm's own shift replaces it."""
    return norm != "batch"


def make_upsampling(upsample: Upsampling, transposed: nn.ConvTranspose2d) -> nn.Module:
    """Return `transposed` itself, or a resize-convolution in its place.

    A resize-convolution (bilinear upsampling, then a 3x3 convolution) avoids checkerboards (Odena et al. 2016).
    """
    if upsample == "transpose":
        return transposed
    kind = UnbiasedConv2d if isinstance(transposed, UnbiasedConvTranspose2d) else nn.Conv2d
    conv = kind(transposed.in_channels, transposed.out_channels, 3, padding=1, bias=transposed.bias is not None)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), conv)


def initialise(network: nn.Module, init: Initialisation = "normal", std: float = 0.02) -> None:
    """Draw weights as in the papers: convolutions N(0, std), batch norm scale N(1, std), all biases 0.

    With init "xavier", convolutions have the variance that keeps activations and gradients of a linear network at
    one size (Glorot and Bengio 2010, eq. 12).
    Nothing is drawn on the meta device, where torch would load 900 modules for it.
    """
    if next(network.parameters()).is_meta:
        return
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            if init == "xavier":
                nn.init.xavier_normal_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Projection):
            nn.init.normal_(module.embedding.weight, 0.0, std)
        elif isinstance(module, BatchNorm):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)


def set_norm_statistics(network: nn.Module, statistics: NormStatistics) -> None:
    """Choose the statistics that every BatchNorm and Centre in `network` uses in eval mode."""
    for module in network.modules():
        if isinstance(module, BatchNorm | Centre):
            module.norm_statistics = statistics


def synchronise_batch_norm(network: nn.Module) -> None:
    """Let every BatchNorm in `network`, and what else can, share its statistics with the other ranks."""
    for module in network.modules():
        if hasattr(module, "synchronised"):
            module.synchronised = True  # type: ignore[assignment]


def normalise_spectrally(network: nn.Module) -> None:
    """Divide every weight of `network` by its largest singular value, in each forward (Miyato et al. 2018, eq. 8)."""
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.utils.parametrizations.spectral_norm(module)


def has_batch_norm(network: nn.Module) -> bool:
    """Whether `network` has batch norm, which mixes the images of a batch."""
    return any(isinstance(module, BatchNorm) for module in network.modules())


def has_spectral_norm(network: nn.Module) -> bool:
    """Whether `network` has spectral norm."""
    return any(nn.utils.parametrize.is_parametrized(module) for module in network.modules())
