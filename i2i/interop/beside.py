"""The networks that other projects save beside a generator, to go on with their training.

They call a generator `latest_net_G.pth`, its discriminator `latest_net_D.pth`, and the heads of CUT `latest_net_F.pth`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from i2i.errors import ModelError
from i2i.interop.importing import read_state
from i2i.interop.pytorch_cyclegan_pix2pix import convert
from i2i.interop.reparametrised import fold_norms, with_old_names
from i2i.models.mistaken import refuse_not_finite
from i2i.networks.layers import has_spectral_norm

_LETTERS = {"discriminator": "D", "heads": "F"}


def find_beside(generator: Path, network: str) -> Path | None:
    """Return the file of `network`, discriminator or heads, beside that of a generator, if there is one."""
    stem = re.sub(r"(?<![A-Za-z])((?:net_?)?)G$", rf"\g<1>{_LETTERS.get(network, '')}", generator.stem)
    path = generator.with_stem(stem)
    return path if network in _LETTERS and stem != generator.stem and path.is_file() else None


def load_beside(generator: Path, networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """Load what lies beside a generator into `networks`, as far as it fits; return a line on each file found.

    A network is loaded as a whole or not at all. Spectral norm is kept where both have it, else folded.
    """
    lines = {}
    for name, network in networks.items():
        if path := find_beside(generator, name):
            try:
                tensors = _tensors(path, network)
            except ModelError as error:
                lines[name] = f"{name}: starts fresh, since {path} does not fit: {' '.join(str(error).split())}"
                continue
            network.load_state_dict(tensors)
            lines[name] = f"{name}: {len(tensors)} of {len(tensors)} tensors from {path}."
    return lines


def _tensors(path: Path, network: nn.Module) -> dict[str, Tensor]:
    state = read_state(path, makes_pictures=False)
    refuse_not_finite(path, state.values())
    if not has_spectral_norm(network):
        return convert(fold_norms(state), network)
    state = with_old_names(state)
    if not any(name.endswith("weight_orig") for name in state):
        raise ModelError("It has no spectral norm. Set discriminator.spectral_norm to false to start from it.")
    return convert(state, network)
