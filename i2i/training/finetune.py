"""Weights of another model at the start: of its generators, as far as they fit (`--init-from`), or all of one, which
stay frozen (`--after`)."""

from operator import attrgetter
from pathlib import Path
from typing import Any

from i2i.algorithms import Algorithm
from i2i.errors import ConfigError, ModelError, UsageError
from i2i.interop.beside import load_beside
from i2i.models.modelfile import find_model, is_onnx, load_tensors, read_spec
from i2i.models.spec import GENERATE, Part
from i2i.networks import GENERATORS


def init_from(algorithm: Algorithm, source: str) -> list[str]:
    """Copy weights of a run folder, .safetensors or .pth file into the generators; return lines on what was copied.

    A tensor is copied where name and shape agree. Raises ModelError when none does. Of another project, the
    discriminators, the generator of the other direction and the heads of CUT come from the files beside, if they fit.
    """
    file = find_model(Path(source))
    if is_onnx(file):
        raise UsageError(f"{file} cannot be trained on. Give the run folder or the .safetensors file it came from.")
    theirs = list(read_spec(file).parts)
    if (GENERATE in theirs) != (GENERATE in algorithm.generators):
        kinds = ("translates pictures", "makes pictures from noise")
        raise UsageError(f"{file} {kinds[GENERATE in theirs]}, and this training {kinds[GENERATE not in theirs]}.")
    lines, copied = [], 0
    fresh = [name for name in algorithm.networks if name not in algorithm.generators.values()]
    for direction, name in algorithm.generators.items():
        one_each = len(theirs) == len(algorithm.generators) == 1
        origin = direction if direction in theirs else theirs[0] if one_each else None
        if origin is None:
            fresh.append(name)
            continue
        own = algorithm.networks[name].state_dict()
        fits = {key: t for key, t in load_tensors(file, origin).items() if key in own and own[key].shape == t.shape}
        for key, tensor in fits.items():
            own[key].copy_(tensor)  # on the device meta, which a dry run takes, it does nothing
        copied += sum(tensor.dim() > 0 for tensor in fits.values())  # batch norm's counter fits anything
        left = [key for key in own if key not in fits]
        more = f" and {len(left) - 4} more" if len(left) > 4 else ""
        rest = f"; these start fresh: {', '.join(left[:4])}{more}" if left else ""
        lines.append(f"{name}: {len(fits)} of {len(own)} tensors from {file} ({origin}){rest}.")
    beside = load_beside(file, {name: algorithm.networks[name] for name in fresh}, theirs[0])
    lines += beside.values()
    fresh = [name for name in fresh if name not in beside]
    if not copied:
        raise ModelError(f"Nothing in {file} fits these networks. Train with the generator settings that it has.")
    return [*lines, f"Fresh weights: {', '.join(fresh)}."] if fresh else lines


def build_on(algorithm: Algorithm, after: str | None) -> None:
    """Copy the generator of a run folder or .safetensors file into `first`, the frozen stage of a network.

    Raises ConfigError if one is missing or they do not fit, ModelError for an unreadable file.
    """
    config, stages = algorithm.config, [getattr(network, "first", None) for network in algorithm.networks.values()]
    stage = next((one for one in stages if one is not None), None)
    if stage is None:
        if after:
            raise ConfigError(f"train.after is {after}, but this {config.algorithm} builds on no other run.")
        return
    chosen = config.generator.name
    if not after:
        raise ConfigError(f"generator.name is {chosen}, which builds on a first stage. Name its run with --after RUN.")
    file = find_model(Path(after))
    part = None if is_onnx(file) else read_spec(file).latent_generator
    wanted = next(name for name, network in GENERATORS.items() if network is type(stage))
    if part is None or part.network != wanted:
        found = f"a run with {part.network}" if part else "no run that makes pictures from latents"
        raise ConfigError(f"train.after is {after}, {found}, but {chosen} builds on one with generator.name {wanted}.")
    theirs, own = load_tensors(file, GENERATE), stage.state_dict()
    shapes, found_shapes = ({name: tensor.shape for name, tensor in one.items()} for one in (own, theirs))
    if shapes != found_shapes:
        differ = {name: value for name, value in _of_first(part).items() if attrgetter(name)(config) != value}
        raise ConfigError(
            f"train.after is {after}, whose settings differ from those of the first stage here. Add "
            f"{' '.join(f'--set {name}={value}' for name, value in differ.items())}."
        )
    for name, tensor in theirs.items():
        own[name].copy_(tensor)


def _of_first(part: Part) -> dict[str, Any]:
    """Return the settings of a second stage that fits a first one."""
    same = {f"generator.{name}": part.arguments[name] for name in ("text", "augmentation", "norm")}
    first = {f"generator.first_{name}": part.arguments[name] for name in ("size", "width")}
    noise = next(block.size for block in part.blocks if block.name == "noise")
    return {"data.channels": part.out_channels, "generator.latent": noise, **same, **first}
