"""`model.safetensors`: the weights of the generators, with their ModelSpec in the header.

Tensors are named "<direction>.<name in the network>"; for pictures from noise, the direction is "generate". Weights of
other projects, in torch files or in .safetensors files without a spec, are read as if they were such a file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i import status
from i2i.config.names import did_you_mean
from i2i.config.plugins import load_for_run, load_installed
from i2i.errors import ModelError, UsageError
from i2i.files import write_bytes
from i2i.models.hub import fetch, is_hub_address
from i2i.models.mistaken import ONNX, TORCH, kind_of, refuse_not_finite, shown
from i2i.models.safetensorsfile import DIGEST_KEY, digest_of, parts_of, read_metadata, read_safetensors, refuse_changed
from i2i.models.shipped import find_shipped, shipped_names
from i2i.models.spec import (
    METADATA_KEY,
    ModelSpec,
    Part,
    spec_from_metadata,
    spec_to_metadata,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from i2i.interop.importing import Imported
    from i2i.networks import Classifier, Encoder, Generator

MODEL_NAME = "model.safetensors"
_MOST = 4096
"""Largest number allowed in the arguments of a network: channels, levels or blocks."""


def find_model(path: Path) -> Path:
    """Return `path` if it is a model file, the model file of a run folder, a shipped model, or one on a hub.

    Raises ModelError. Files and folders come before shipped models of the same name. hf://NAMESPACE/NAME is fetched.
    """
    if is_hub_address(path):
        path = fetch(path)
    if path.is_dir():
        if (path / MODEL_NAME).is_file():
            return path / MODEL_NAME
        raise ModelError(f"{path} holds no {MODEL_NAME}. Give a folder that `i2i train` wrote, or a model file.")
    if not path.exists() and (shipped := find_shipped(str(path))):
        return shipped
    if not path.is_file():
        nearest = did_you_mean(str(path), shipped_names())
        raise ModelError(
            f"{path} does not exist.{nearest} Give a run folder, a .safetensors, .onnx or .pth file, or the name of a "
            "shipped model (`i2i models` lists them)."
        )
    kind_of(path)
    return path


def find_weights(model: str | Path) -> Path:
    """Return the model file as `find_model` does; raises UsageError for ONNX models, which cannot be exported again."""
    source = find_model(Path(model))
    if is_onnx(source):
        raise UsageError(f"{source} is an ONNX file already. Give the run folder or the .safetensors file.")
    return source


def is_onnx(path: Path) -> bool:
    """Whether a model file is an ONNX model, by its content; raises ModelError as `find_model` does."""
    return kind_of(path) == ONNX


def save_model(path: Path, spec: ModelSpec, generators: Mapping[str, "nn.Module"]) -> None:
    """Write the generators (by direction) and their spec to `path`, atomically."""
    save_tensors(path, spec, {direction: network.state_dict() for direction, network in generators.items()})


def save_tensors(path: Path, spec: ModelSpec, tensors: "Mapping[str, Mapping[str, Tensor]]") -> None:
    """Write the tensors of each direction, by their name in the network, and their spec to `path`, atomically."""
    from safetensors.torch import save

    flat = {
        f"{direction}.{name}": tensor.detach().cpu().contiguous()
        for direction, own in tensors.items()
        for name, tensor in own.items()
    }
    content = memoryview(save(flat, spec_to_metadata(spec)))
    header, data = parts_of(content)
    # `save` would write two entries in any order. This way, equal models are equal files.
    header["__metadata__"][DIGEST_KEY] = digest_of(content)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(path, b"".join([len(text).to_bytes(8, "little"), text, data]))


def read_spec(path: Path) -> ModelSpec:
    """Read the spec from a .safetensors file, or recognise weights of other projects; only the latter need torch.

    Raises ModelError, also for a file that does not match its digest. A file without a digest is not compared.
    """
    if kind_of(path) == TORCH:
        return _import(path).spec
    metadata = read_metadata(path)
    refuse_changed(path, metadata)
    return spec_from_metadata(metadata, path) if METADATA_KEY in metadata else _import(path).spec


def load_tensors(path: Path, direction: str) -> "dict[str, Tensor]":
    """Read the tensors of one direction, by their name in the network. Raises ModelError."""
    if kind_of(path) == TORCH or METADATA_KEY not in read_metadata(path):
        return _import(path).tensors.get(direction, {})
    prefix = f"{direction}."
    tensors = {name.removeprefix(prefix): t for name, t in read_safetensors(path).items() if name.startswith(prefix)}
    refuse_not_finite(path, tensors.values())
    return tensors


def load_generator(path: Path, spec: ModelSpec, direction: str) -> "Generator | Encoder | Classifier":
    """Build the network of one part, a direction, GENERATE, ENCODE or CLASSIFY, with its weights, ready for inference.

    Raises ModelError.
    """
    return build_generator(path, spec, direction, load_tensors(path, direction))


def build_generator(
    path: Path, spec: ModelSpec, direction: str, tensors: "Mapping[str, Tensor]"
) -> "Generator | Encoder | Classifier":
    """Build the same from tensors by their names in the network; path: where its plugins are, and what errors name."""
    with status.loading_torch():
        import torch

        from i2i.networks import CLASSIFIERS, ENCODERS, GENERATORS, TranslatingGenerator
        from i2i.networks.layers import BlurPool, set_norm_statistics

    one = spec.parts[direction]
    tables: dict[str, dict[str, Any]] = {"encode": ENCODERS, "classify": CLASSIFIERS}
    table = tables.get(one.kind, GENERATORS)
    if one.network not in table:
        _load_plugins(path, one.network, table)
    try:
        _check_arguments(one)
        # Built without memory first: a file can claim a width of a million, or one that differs by one.
        with torch.device("meta"):
            network = table[one.network](**one.arguments)
        claimed = {name: tensor.shape for name, tensor in network.state_dict().items()}
        held = {name: tensor.shape for name, tensor in tensors.items()}
        differ = [name for name in {**claimed, **held} if claimed.get(name) != held.get(name)]
        if differ:
            raise ValueError(f"{shown(differ[0])} is {held.get(differ[0])}, not {claimed.get(differ[0])}")
        for name in ("kind", "size_multiple", "size_minimum", "latent", "place_px", "border_places"):
            if getattr(network, name, getattr(one, name)) != getattr(one, name):
                raise ValueError(f"{name} is {getattr(network, name)}, not {getattr(one, name)}")
        if isinstance(network, TranslatingGenerator) and network.condition != one.latent:
            raise ValueError(f"condition is {network.condition}, not {one.latent}")
        network.to_empty(device="cpu")  # building it again would draw weights, which takes longer than reading them
        for module in network.modules():
            if isinstance(module, BlurPool):
                module.reset()
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: weights and description do not match: {shown(error, 200)}") from error
    set_norm_statistics(network, spec.norm_statistics)
    network.eval()
    return network


def _load_plugins(path: Path, network: str, table: "Mapping[str, Any]") -> None:
    """Run the plugins that may bring a network: those that are installed, and those that the file's run names."""
    load_installed()
    if network not in table:
        load_for_run(path.parent)
    if network not in table:
        raise ModelError(
            f"{path} needs the network {shown(network)}, which i2i does not have. If a plugin brings it, add "
            "--plugin FILE."
        )


def _check_arguments(one: Part) -> None:
    """Raise ValueError for arguments that no training has, or that contradict the rest of the description."""
    said = {
        "in_channels": one.inputs and one.network_channels,
        "out_channels": one.outputs and one.outputs.channels,
        "latent": one.latent,
        "condition": one.latent,
        "size": one.out_px or one.size_minimum,
        "classes": one.latent,
    }
    for name, value in one.arguments.items():
        if not isinstance(value, int | float | str) or (isinstance(value, int) and value > _MOST):
            raise ValueError(f"{shown(name)} is {shown(value)}")
        if said.get(name, value) != value:
            raise ValueError(f"{shown(name)} is {value} in one place and {said[name]} in another")


def _import(path: Path) -> "Imported":
    with status.loading_torch():
        from i2i.interop.importing import import_weights

    return import_weights([path])
