"""Names of our networks' tensors in pytorch-CycleGAN-and-pix2pix, contrastive-unpaired-translation and pix2pixHD.

These projects name tensors by their position in nested nn.Sequential. `module_names` maps our modules to theirs;
everything else follows from it.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from i2i.interop.reparametrised import SPECTRAL_PARTS
from i2i.networks import PatchGAN, ResNet, UNet
from i2i.networks.layers import BatchNorm, BlurPool, InstanceNorm, Norm
from i2i.networks.patch_heads import PatchHeads


def tensor_names(network: nn.Module) -> dict[str, str]:
    """Return our name for every tensor by theirs; the bias of the last convolution comes last.

    Weights under spectral norm have the names that torch.nn.utils.spectral_norm gives them.
    """
    modules = dict(module_names(network))
    names = {}
    for our in network.state_dict():
        old = our
        for new, part in zip(SPECTRAL_PARTS[1], SPECTRAL_PARTS[0], strict=True):
            old = f"{our.removesuffix(new)}{part}" if our.endswith(new) else old
        module, _, tensor = old.rpartition(".")
        names[f"{modules.get(module, module)}.{tensor}"] = our  # a module that they lack keeps our name, and is missing
    return names


def module_names(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield our name and theirs for modules that hold tensors, and for all norms."""
    if isinstance(network, PatchHeads):
        return (
            (f"heads.{number}.{layer}", f"mlp_{number}.{layer}")
            for number in range(len(network.heads))
            for layer in (0, 2)
        )
    if isinstance(network, UNet):
        return _unet_names(len(network.down))
    if isinstance(network, ResNet):
        return _resnet_names(network)
    assert isinstance(network, PatchGAN)
    return _patchgan_names(network)


def _unet_names(depth: int) -> Iterator[tuple[str, str]]:
    """Yield names for a U-Net. Their levels are nested in each other.

    A level is [down, inner level, ReLU, up] outside, [leaky ReLU, down, norm, inner level, ReLU, up, norm]
    between, and [leaky ReLU, down, ReLU, up, norm] inside.
    """
    yield from (("down.0.1", "model.model.0"), (f"up.{depth - 1}.1", "model.model.3"))
    level = "model.model.1.model"
    for index in range(1, depth - 1):
        up = f"up.{depth - 1 - index}"
        yield from ((f"down.{index}.1", f"{level}.1"), (f"down.{index}.2", f"{level}.2"))
        yield from ((f"{up}.1", f"{level}.5"), (f"{up}.2", f"{level}.6"))
        level = f"{level}.3.model"
    yield from ((f"down.{depth - 1}.1", f"{level}.1"), ("up.0.1", f"{level}.3"), ("up.0.2", f"{level}.4"))


def _resnet_names(network: ResNet) -> Iterator[tuple[str, str]]:
    """Yield names for a ResNet.

    Theirs is one sequence: [pad, conv, norm, ReLU], [conv, norm, ReLU(, blur)] twice, the blocks,
    [(doubling, )conv, norm, ReLU] twice, [pad, conv, tanh]. In a block, dropout takes an index. In pix2pixHD, "twice"
    is as often as the network halves.
    """
    yield from (("stem.1", "model.1"), ("stem.2", "model.2"))
    index = 4
    for level in range(len(network.down)):
        yield from ((f"down.{level}.0", f"model.{index}"), (f"down.{level}.1", f"model.{index + 1}"))
        index += 3 + blurs(network)
    shift = 0 if has_dropout(network) else 1
    for block in range(len(network.blocks)):
        for our, their in ((1, 1), (2, 2), (6, 6 - shift), (7, 7 - shift)):
            yield f"blocks.{block}.body.{our}", f"model.{index}.conv_block.{their}"
        index += 1
    for level in range(len(network.up)):
        conv = f"up.{level}.0.1" if resizes(network) else f"up.{level}.0"
        index += resizes(network)
        yield from ((conv, f"model.{index}"), (f"up.{level}.1", f"model.{index + 1}"))
        index += 3
    yield "head.1", f"model.{index + 1}"


def _patchgan_names(network: PatchGAN) -> Iterator[tuple[str, str]]:
    """Yield names for a PatchGAN.

    Theirs is [conv, leaky ReLU(, blur)], then [conv, norm, leaky ReLU(, blur)] a layer, then a conv. For more scales,
    see in_sequence.
    """
    model = "net" if network.head.kernel_size == (1, 1) else "model"  # their PixelGAN
    index = 0
    for layer, stage in enumerate(network.layers):
        yield from ((f"layers.{layer}.0", f"{model}.{index}"), (f"layers.{layer}.1", f"{model}.{index + 1}"))
        index += len(list(stage.children())) - (layer == 0)
    yield "head", f"{model}.{index}"
    if network.coarser is not None:
        yield from ((f"coarser.{our}", f"coarser.{their}") for our, their in _patchgan_names(network.coarser))


def in_sequence(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of pix2pixHD's discriminators as if each were a sequence, and the next in `coarser`.

    Theirs are `layer0` and on, or in groups, [conv, leaky ReLU], [conv, norm, leaky ReLU] a layer and [conv],
    `scale0_layer0` and on. They count from the coarsest image.
    """
    found = [re.fullmatch(r"(?:scale(\d)_)?layer(\d)\.(\d{1,2})\.(.*)", name) for name in state]
    matches = [match for match in found if match]
    if len(matches) < len(state):
        return dict(state)
    finest = max((int(match[1] or match[2]) for match in matches), default=0)
    renamed = {}
    for match in matches:
        scale, group = (int(match[1]), int(match[2])) if match[1] else (int(match[2]), 0)
        index = int(match[3]) + (3 * group - 1 if group else 0)
        renamed[f"{'coarser.' * (finest - scale)}model.{index}.{match[4]}"] = state[match[0]]
    return renamed


def filters_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the low-pass filters of a network as they store them, for downsampling and for upsampling."""
    modules = dict(module_names(network))
    if isinstance(network, PatchGAN):
        for number, stage in enumerate(network.layers):
            blur = list(stage.children())[-1]
            if isinstance(blur, BlurPool):
                model, _, place = modules[f"layers.{number}.0"].partition(".")
                yield f"{model}.{int(place) + (2 if number == 0 else 3)}.filt", _filter([1, 2, 1], blur.channels)
    if not isinstance(network, ResNet):
        return
    for level in range(len(network.down)):
        blur = network.get_submodule(f"down.{level}.3")
        if isinstance(blur, BlurPool):
            index = int(modules[f"down.{level}.0"].removeprefix("model.")) + 3
            yield f"model.{index}.filt", _filter([1, 2, 1], blur.channels)
        if resizes(network):
            index = int(modules[f"up.{level}.0.1"].removeprefix("model.")) - 1
            convolution = network.get_parameter(f"up.{level}.0.1.weight")
            yield f"model.{index}.filt", _filter([1, 3, 3, 1], convolution.shape[1])


def _filter(line: list[float], channels: int) -> Tensor:
    """Return the outer square of a line for each channel, without memory for each.

    Divided by 16, the smaller filter keeps brightness; so does the larger one after zeros are inserted between pixels.
    """
    values = torch.tensor(line)
    return (torch.outer(values, values) / 16).expand(channels, 1, len(line), len(line))


def unused(network: nn.Module) -> Iterator[str]:
    """Yield the names of the tensors that old files hold for instance norm."""
    for our, their in module_names(network):
        if isinstance(network.get_submodule(our), InstanceNorm):
            yield from (f"{their}.{name}" for name in ("running_mean", "running_var", "num_batches_tracked"))


def may_be_absent(network: nn.Module) -> set[str]:
    """Return the tensors that their files may lack: counters, absent in old torch, and biases without a norm."""
    names = list(tensor_names(network))
    biases = [key for key in names[:-1] if key.endswith(".bias")] if norm_of(network) == "none" else []
    return {*biases, *(key for key in names if key.endswith(".num_batches_tracked"))}


def norm_of(network: nn.Module) -> Norm:
    """Return the norm of a network."""
    kinds = {type(module) for module in network.modules()}
    return "batch" if BatchNorm in kinds else "instance" if InstanceNorm in kinds else "none"


def has_dropout(network: ResNet) -> bool:
    """Whether the blocks of a ResNet drop values in training."""
    return isinstance(network.get_submodule("blocks.0.body.4"), nn.Dropout)


def blurs(network: ResNet) -> bool:
    """Whether a ResNet blurs before it drops pixels."""
    return isinstance(network.get_submodule("down.0.3"), BlurPool)


def resizes(network: ResNet) -> bool:
    """Whether a ResNet upsamples by resizing, not by transposed convolutions."""
    return not isinstance(network.get_submodule("up.0.0"), nn.ConvTranspose2d)
