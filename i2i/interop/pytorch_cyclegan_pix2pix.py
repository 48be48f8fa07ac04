"""Convert networks of pytorch-CycleGAN-and-pix2pix, contrastive-unpaired-translation and pix2pixHD to ours, and back.

i2i.interop.their_names maps the names of tensors. Some tensors exist on one side only:

- The low-pass filters of contrastive-unpaired-translation are buffers there and constants here.
- Files from before torch 0.4 hold running statistics for instance norm, which uses none. They are left out.
- Without normalisation, only the last of their convolutions has a bias; ours all have one, and get zeros.
- In pix2pixHD, convolutions before a batch norm have a bias. It moves into the running mean.
"""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import ExportError, ModelError
from i2i.interop.their_names import (
    blurs,
    filters_of,
    has_dropout,
    may_be_absent,
    module_names,
    norm_of,
    resizes,
    tensor_names,
    unused,
)
from i2i.networks import GENERATORS, PatchGAN, ResNet, TranslatingGenerator, UNet
from i2i.networks.layers import Norm

PROJECT = "pytorch-CycleGAN-and-pix2pix"
ANTIALIASED_PROJECT = "contrastive-unpaired-translation"
DEEPER_PROJECT = "pix2pixHD"
SHOWN = 4
"""Number of tensors that an error names."""
_NOT_THEIRS = (
    PROJECT + " has no generator like this one, {}.\n"
    "It has unet_128, unet_256, resnet_6blocks and resnet_9blocks, with the norms batch, instance and none."
)
State = Mapping[str, Tensor]


def recognise(state: State) -> tuple[str, dict[str, Any]]:
    """Return the generator's name in GENERATORS and its constructor arguments, as the tensors show them.

    They do not show the dropout of a U-Net, which is then off. `convert` checks whether all of them fit.
    Raises ModelError for anything but one of their generators.
    """
    if any(key.startswith("model1_1.") for key in state):
        raise ModelError(
            f"These are the tensors of a local enhancer of {DEEPER_PROJECT}, a network that i2i does not have.\n"
            "Give the file of its global generator, from a training with --netG global."
        )
    if "model.model.1.model.1.weight" in state:
        return "unet", _unet_arguments(state)
    if any(".conv_block." in key for key in state):
        return "resnet", _resnet_arguments(state)
    raise _unknown(state)


def build_empty(name: str, arguments: Mapping[str, Any]) -> TranslatingGenerator:
    """Return a generator with shapes but no memory; raises ModelError if its arguments are impossible."""
    try:
        with torch.device("meta"):
            network = GENERATORS[name](**arguments)
    except (ValueError, RuntimeError) as error:  # RuntimeError for sizes that overflow
        raise ModelError(f"i2i has no such network: {str(error).splitlines()[0]}.") from error
    assert isinstance(network, TranslatingGenerator)
    return network


def convert(state: State, network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of their U-Net, ResNet, PatchGAN or heads of patches for `network`, ours.

    Raises ModelError, which names the first tensors that do not fit.
    """
    state = _without_biases(state, network)
    own, names, filters = network.state_dict(), tensor_names(network), dict(filters_of(network))
    absent = may_be_absent(network)
    known = {**names, **filters, **dict.fromkeys(unused(network))}
    unfit = [key for key in state if key not in known]
    unfit += [f"{key} (missing)" for key in (*names, *filters) if key not in state and key not in absent]
    unfit += [
        f"{key} ({_shape(state[key])}, not {_shape(own[our])})"
        for key, our in names.items()
        if key in state and state[key].shape != own[our].shape
    ]
    unfit += [
        f"{key} ({str(state[key].dtype).removeprefix('torch.')})"
        for key, our in names.items()
        if key in state and own[our].is_floating_point() and not state[key].is_floating_point()
    ]
    unfit += [
        f"{key} (another filter)" for key, value in filters.items() if key in state and not _same(state[key], value)
    ]
    if unfit:
        more = f" and {len(unfit) - SHOWN} more" if len(unfit) > SHOWN else ""
        raise ModelError(
            f"The tensors come closest to {describe(network)},\nbut do not fit it: {', '.join(unfit[:SHOWN])}{more}."
        )
    return {
        our: state[key].to(own[our].dtype) if key in state else torch.zeros(own[our].shape, dtype=own[our].dtype)
        for key, our in names.items()
    }


def revert(network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of our U-Net or ResNet for theirs; raises ExportError if they have no such network."""
    if reason := _not_theirs(network):
        raise ExportError(_NOT_THEIRS.format(reason))
    own, names = network.state_dict(), tensor_names(network)
    biases = {key for key in may_be_absent(network) if key.endswith(".bias")}
    if any(own[names[key]].any() for key in biases):
        raise ExportError(_NOT_THEIRS.format("biases without a norm"))
    kept = {key: own[our].detach().cpu().contiguous() for key, our in names.items() if key not in biases}
    return kept | {key: value.contiguous() for key, value in filters_of(network)}


def transposed_names(network: nn.Module) -> set[str]:
    """Return their names for the weights of transposed convolutions."""
    return {
        f"{their}.weight"
        for our, their in module_names(network)
        if isinstance(network.get_submodule(our), nn.ConvTranspose2d)
    }


def describe(network: nn.Module) -> str:
    """Describe a network: its name in their option --netG, and its other traits."""
    if isinstance(network, UNet):
        words = [f"unet_{2 ** len(network.down)}"]
    elif isinstance(network, ResNet):
        words = [f"resnet_{len(network.blocks)}blocks"]
        words += [f"{len(network.down)} halvings"] if is_deeper(network) else []
    else:
        return "a discriminator" if isinstance(network, PatchGAN) else "the heads of CUT"
    norm = norm_of(network)
    words += [f"width {next(network.parameters()).shape[0]}", "no norm" if norm == "none" else f"{norm} norm"]
    if isinstance(network, ResNet):
        words += ["dropout"] * has_dropout(network) + ["antialiased down"] * blurs(network)
        words += ["antialiased up"] * resizes(network)
    return ", ".join(words)


def their_options(network: nn.Module) -> str:
    """Return the options that build the network in its project."""
    assert isinstance(network, UNet | ResNet)
    kind, *_ = describe(network).split(",")
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    norm = "--normG" if is_antialiased(network) else "--norm"
    words = [f"--netG {kind} {norm} {norm_of(network)} --ngf {convolutions[0].out_channels}"]
    words += [f"--input_nc {convolutions[0].in_channels} --output_nc {convolutions[-1].out_channels}"]
    if not any(isinstance(module, nn.Dropout) for module in network.modules()):
        words.append("--no_dropout")
    if isinstance(network, ResNet) and is_antialiased(network):
        words += ["--no_antialias"] * (not blurs(network)) + ["--no_antialias_up"] * (not resizes(network))
    return " ".join(words)


def project_of(network: nn.Module) -> str:
    """Return the name of the project that has this network; the first if several have it."""
    return DEEPER_PROJECT if is_deeper(network) else ANTIALIASED_PROJECT if is_antialiased(network) else PROJECT


def is_deeper(network: nn.Module) -> bool:
    """Whether this is a global generator of pix2pixHD only."""
    return isinstance(network, ResNet) and len(network.down) != 2


def is_antialiased(network: nn.Module) -> bool:
    """Whether this is a network of contrastive-unpaired-translation only."""
    return any(True for _ in filters_of(network))


def _unet_arguments(state: State) -> dict[str, Any]:
    depth, level = 2, "model.model.1.model.3.model"
    while f"{level}.1.weight" in state:
        depth, level = depth + 1, f"{level}.3.model"
    first, last = _kernel(state, "model.model.0.weight"), _kernel(state, "model.model.3.weight")
    return {
        "in_channels": first.shape[1],
        "out_channels": last.shape[1],  # a transposed convolution
        "depth": depth,
        "width": first.shape[0],
        "norm": _norm_shown(state, "model.model.1.model.2", "model.model.0"),
        "dropout": 0.0,
    }


def _resnet_arguments(state: State) -> dict[str, Any]:
    found = (re.match(r"model\.(\d{1,4})\.conv_block\.", key) for key in state)
    blocks = sorted({int(match[1]) for match in found if match})
    if not blocks:
        raise _unknown(state)
    after, blurs = blocks[-1] + 1, "model.7.filt" in state
    halvings = (blocks[0] - 4) // (4 if blurs else 3)  # four modules come before the first
    resizes = f"model.{after}.filt" in state
    head = f"model.{after + (4 if resizes else 3) * halvings + 1}.weight"
    first, last = _kernel(state, "model.1.weight"), _kernel(state, head)
    second = state.get(f"model.{blocks[0]}.conv_block.6.weight")  # the norm's scale, unless dropout comes before
    return {
        "in_channels": first.shape[1],
        "out_channels": last.shape[0],
        "blocks": len(blocks),
        "width": first.shape[0],
        "norm": _norm_shown(state, "model.2", "model.1"),
        "dropout": 0.5 if second is not None and second.dim() == 4 else 0.0,
        "upsample": "resize" if resizes else "transpose",
        "downsample": "blur" if blurs else "strided",
        **({"halvings": halvings} if halvings != 2 else {}),
    }


def _kernel(state: State, key: str) -> Tensor:
    kernel = state.get(key)
    if kernel is None or kernel.dim() != 4 or 0 in kernel.shape:
        raise _unknown(state)
    return kernel


def _norm_shown(state: State, norm: str, convolution: str) -> Norm:
    """Tell the norm: batch norm has a scale; instance norm has none, but the convolution before it has a bias."""
    if f"{norm}.weight" in state:
        return "batch"
    return "instance" if f"{convolution}.bias" in state else "none"


def _unknown(state: State) -> ModelError:
    first = ", ".join(list(state)[:SHOWN]) or "none"
    if {"model.0.weight", "net.0.weight"} & set(state) and "model.1.weight" not in state:
        first += " (a discriminator's)"
    if any(key.startswith(("A2B.", "B2A.", "generate.")) for key in state):
        return ModelError(
            "These tensors are a model of i2i, but another program removed its description.\n"
            "Give the file that `i2i train` or `i2i import` wrote."
        )
    return ModelError(
        f"These are not the tensors of a generator of {PROJECT} or {ANTIALIASED_PROJECT}; the first are {first}.\n"
        "Give the file of a unet_128, unet_256, resnet_6blocks or resnet_9blocks, such as latest_net_G.pth."
    )


def _without_biases(state: State, network: nn.Module) -> State:
    """Move the biases before a batch norm into its running mean: (x + b) - m = x - (m - b)."""
    changed, modules = dict(state), list(module_names(network))
    for (our, their), (_, norm) in itertools.pairwise(modules):
        bias, mean = state.get(f"{their}.bias"), state.get(f"{norm}.running_mean")
        convolution = network.get_submodule(our)
        if bias is None or mean is None or getattr(convolution, "bias", 0) is not None or bias.shape != mean.shape:
            continue
        changed[f"{norm}.running_mean"] = mean - bias
        del changed[f"{their}.bias"]
    return changed


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other, atol=1e-3)


def _not_theirs(network: nn.Module) -> str:
    """Return what makes our network differ from all of theirs; empty if nothing."""
    if isinstance(network, TranslatingGenerator) and network.fills_holes:
        return "a network that fills holes and keeps the rest"
    if isinstance(network, TranslatingGenerator) and network.condition:
        return "a network that takes labels"
    if isinstance(network, UNet):
        if len(network.down) not in (7, 8):
            return f"a U-Net of depth {len(network.down)}"
        return (
            ""
            if isinstance(network.get_submodule("up.0.1"), nn.ConvTranspose2d)
            else "a U-Net that upsamples by resizing"
        )
    if not isinstance(network, ResNet):
        return f"a {type(network).__name__}"
    if is_deeper(network):
        return f"{len(network.down)} halvings"
    return "" if len(network.blocks) in (6, 9) else f"{len(network.blocks)} residual blocks"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
