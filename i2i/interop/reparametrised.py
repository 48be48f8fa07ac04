"""Fold torch's spectral norm and weight norm in a state dict into the weights that eval mode computes.

torch.nn.utils and torch.nn.utils.parametrizations store them under different names:

    spectral norm   weight_orig, weight_u, weight_v      parametrizations.weight.original, .0._u, .0._v
    weight norm     weight_g, weight_v                   parametrizations.weight.original0, .original1
"""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from i2i.errors import ModelError

SPECTRAL_PARTS = (
    ("weight_orig", "weight_u", "weight_v"),
    ("parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"),
)
_WEIGHT = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
_OTHER = (".parametrizations.", ".weight_orig", ".weight_bar")
"""Parts of the names of other reparametrised weights."""


def fold_norms(state: Mapping[str, Tensor], transposed: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the same weights without spectral and weight norm.

    transposed: names of the weights of transposed convolutions, whose second axis is the output. Until they are known,
    shapes are right, but values may be wrong. Raises ModelError for other reparametrisations.
    """
    folded = dict(state)
    folds: dict[tuple[str, ...], Callable[..., Tensor]] = {
        **dict.fromkeys(SPECTRAL_PARTS, _spectral),
        **dict.fromkeys(_WEIGHT, _weight),
    }
    for name in state:
        for parts, fold in folds.items():
            module = name.removesuffix(parts[0])
            if module == name or not (module == "" or module.endswith(".")):
                continue
            plain, tensors = f"{module}weight", [state.get(f"{module}{part}") for part in parts]
            present = [tensor for tensor in tensors if tensor is not None]
            if plain not in state and len(present) == len(parts):
                folded[plain] = fold(plain, *present, plain in transposed)
            if plain in folded:  # torch before 1.0 also stored the last result
                for part in parts:
                    folded.pop(f"{module}{part}", None)
    left = [name for name in folded if any(word in f".{name}" for word in _OTHER)]
    if left:
        raise ModelError(
            f"{left[0]} and others are reparametrised weights that i2i cannot fold.\n"
            "Where they were trained, fold them with torch.nn.utils.parametrize.remove_parametrizations or\n"
            "torch.nn.utils.remove_spectral_norm, and save the state_dict again."
        )
    return folded


def with_old_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors, those of spectral norm under the names of torch.nn.utils."""
    renamed = dict(state)
    for old, new in zip(*SPECTRAL_PARTS, strict=True):
        for name in [name for name in renamed if name.endswith(f".{new}")]:
            renamed[f"{name.removesuffix(new)}{old}"] = renamed.pop(name)
    return renamed


def _spectral(name: str, weight: Tensor, u: Tensor, v: Tensor, transposed: bool) -> Tensor:
    """Divide by the largest singular value u^T W v of the weight as a matrix W (Miyato et al. 2018, section 2.1)."""
    weight, u, v = (_float(name, tensor) for tensor in (weight, u, v))
    if weight.dim() > 1:
        axis = 1 if transposed or u.shape != weight.shape[:1] else 0
        matrix = weight.movedim(axis, 0).flatten(1)
        if u.shape == matrix.shape[:1] and v.shape == matrix.shape[1:]:
            return weight / torch.dot(u.to(weight.dtype), torch.mv(matrix, v.to(weight.dtype)))
    raise ModelError(f"The spectral norm of {name} does not fit its weight: the file is damaged.")


def _weight(name: str, magnitude: Tensor, direction: Tensor, transposed: bool) -> Tensor:
    """Return g v / |v| (Salimans and Kingma 2016, equation 2), the norm over the axes in which g has length 1."""
    magnitude, direction = _float(name, magnitude), _float(name, direction)
    lengths = magnitude.shape or (1,) * direction.dim()
    axes = [axis for axis, length in enumerate(lengths) if length == 1]
    own = [axis for axis, length in enumerate(lengths) if length != 1]
    if len(lengths) != direction.dim() or not axes or any(lengths[axis] != direction.shape[axis] for axis in own):
        raise ModelError(f"The weight norm of {name} does not fit its weight: the file is damaged.")
    return direction * (magnitude / torch.linalg.vector_norm(direction, dim=axes, keepdim=True))


def _float(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise ModelError(f"{name} holds integers, not floats: the file is damaged.")
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
