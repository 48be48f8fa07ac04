"""Weights trained with pytorch-CycleGAN-and-pix2pix, and with contrastive-unpaired-translation.

Both name tensors by position in nested nn.Sequential. Their ResNets and PatchGANs run in the order of
their names, as ours do, so modules are matched one by one; a U-Net of theirs is nested level in level,
so its modules are first put in our order: all levels down, then all levels up.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from i2i.errors import ModelError
from i2i.networks import UNet

State = Mapping[str, Tensor]


def convert(state: State, network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of `state` for `network`, which must have the same layers.

    Raises ModelError when the numbers of layers differ; shapes are load_state_dict's to check.
    """
    # Low-pass filters are constants that our BlurPool holds itself.
    state = {name: tensor for name, tensor in state.items() if not name.endswith(".filt")}
    theirs = _unet_modules(state) if isinstance(network, UNet) else _modules(state)
    ours = _modules(network.state_dict())
    if len(theirs) != len(ours):
        raise ModelError(f"The weights have {len(theirs)} layers, the network has {len(ours)}.")
    renamed = {}
    for their, our in zip(theirs, ours, strict=True):
        for name, tensor in state.items():
            module, _, parameter = name.rpartition(".")
            if module == their:
                renamed[f"{our}.{parameter}"] = tensor
    return renamed


def _modules(state: Mapping[str, object]) -> list[str]:
    """Return the names of the modules that hold tensors, in the order of the state."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in state))


def _unet_modules(state: State) -> list[str]:
    """Return a nested U-Net's modules, those of the encoder from the outside in, then the decoder's back out.

    A level is [down, inner level, ReLU, up] outside, [leaky ReLU, down, norm, inner level, ReLU, up, norm]
    between, and [leaky ReLU, down, ReLU, up, norm] inside.
    """
    down, up = ["model.model.0"], ["model.model.3"]
    level = "model.model.1.model"
    while f"{level}.3.model.1.weight" in state:
        down += [f"{level}.1", f"{level}.2"]
        up = [f"{level}.5", f"{level}.6", *up]
        level = f"{level}.3.model"
    down.append(f"{level}.1")
    up = [f"{level}.3", f"{level}.4", *up]
    have = set(_modules(state))
    return [module for module in down + up if module in have]
