"""The networks that other projects save beside a generator, to go on with their training.

They call a generator `latest_net_G.pth`, its discriminator `latest_net_D.pth`, and the heads of CUT `latest_net_F.pth`.
CycleGAN has `latest_net_G_A.pth` and `latest_net_G_B.pth`, whose translations `latest_net_D_A.pth` and
`latest_net_D_B.pth` judge.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from i2i.errors import ModelError
from i2i.interop.importing import read_state
from i2i.interop.pytorch_cyclegan_pix2pix import convert
from i2i.interop.reparametrised import fold_norms, with_old_names
from i2i.interop.their_names import in_sequence
from i2i.models.mistaken import refuse_not_finite
from i2i.networks import PatchGAN, ResNet, UNet
from i2i.networks.layers import has_spectral_norm
from i2i.networks.patch_heads import PatchHeads

_LETTERS = {"discriminator": "D", "heads": "F"}
_OF_CYCLEGAN = ("G_A2B", "G_B2A", "D_A", "D_B")
_OTHER = {"A": "B", "B": "A"}
_THEIRS = UNet | ResNet | PatchGAN | PatchHeads


def find_beside(generator: Path, network: str, direction: str = "A2B") -> Path | None:
    """Return the file of `network` beside that of a generator, if there is one.

    network: discriminator, heads, or of CycleGAN G_A2B, G_B2A, D_A or D_B. direction: that of the generator.
    """
    found = re.fullmatch(r"(.*(?<![A-Za-z])(?:net_?)?)G(?:_([AB]))?", generator.stem)
    if found is None:
        return None
    start, side = found.groups()
    letter = _LETTERS.get(network)
    if side and network in _OF_CYCLEGAN:  # theirs go by the generator: what G_A makes, D_A judges
        letter = f"{network[0]}_{side if network[-1] == direction[-1] else _OTHER[side]}"
    elif side or letter is None:
        return None
    path = generator.with_stem(f"{start}{letter}")
    return path if path.is_file() else None


def load_beside(generator: Path, networks: Mapping[str, nn.Module], direction: str = "A2B") -> dict[str, str]:
    """Load what lies beside a generator into `networks`, as far as it fits; return a line on each file found.

    A network is loaded as a whole or not at all. Spectral norm is kept where both have it, else folded. direction:
    that of the generator.
    """
    lines = {}
    for name, network in networks.items():
        if path := find_beside(generator, name, direction):
            try:
                tensors = _tensors(path, network)
            except ModelError as error:
                lines[name] = f"{name}: starts fresh, since {path} does not fit: {' '.join(str(error).split())}"
                continue
            network.load_state_dict(tensors)
            lines[name] = f"{name}: {len(tensors)} of {len(tensors)} tensors from {path}."
    return lines


def _tensors(path: Path, network: nn.Module) -> dict[str, Tensor]:
    if not isinstance(network, _THEIRS):
        raise ModelError("The settings name a network that the other project lacks.")
    theirs = read_state(path, makes_pictures=False)
    state = in_sequence(theirs)
    refuse_not_finite(path, state.values())
    if isinstance(network, PatchGAN) and network.count:
        padding = 1 if [*state] == [*theirs] else 2
        if network.head.padding != (padding, padding):
            raise ModelError(f"It pads by {padding} px. Set discriminator.padding to {padding} to start from it.")
    if not has_spectral_norm(network):
        return convert(fold_norms(state), network)
    state = with_old_names(state)
    if not any(name.endswith("weight_orig") for name in state):
        raise ModelError("It has no spectral norm. Set discriminator.spectral_norm to false to start from it.")
    return convert(state, network)
