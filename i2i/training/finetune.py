"""Weights of another model at the start: of its generators, as far as they fit (`--init-from`), or all of one, which
stay frozen (`--after`)."""

from pathlib import Path

from i2i.algorithms import Algorithm
from i2i.errors import ConfigError, ModelError, UsageError
from i2i.interop.beside import load_beside
from i2i.models.modelfile import find_model, is_onnx, load_tensors, read_spec
from i2i.models.spec import GENERATE


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
    stages = [getattr(network, "first", None) for network in algorithm.networks.values()]
    own = next((stage.state_dict() for stage in stages if stage is not None), None)
    if not own or not after:
        if after:
            raise ConfigError(f"train.after is {after}, but this {algorithm.config.algorithm} builds on no other run.")
        if own:
            chosen = algorithm.config.generator.name
            raise ConfigError(
                f"generator.name is {chosen}, which builds on a first stage. Name its run with --after RUN."
            )
        return
    file = find_model(Path(after))
    part = None if is_onnx(file) else read_spec(file).latent_generator
    if part is None:
        raise ConfigError(f"train.after is {after}, which is no run that makes pictures from latents.")
    theirs = load_tensors(file, GENERATE)
    shapes, found = ({name: tensor.shape for name, tensor in one.items()} for one in (own, theirs))
    if shapes != found:
        described = ", ".join(f"{name} {value}" for name, value in part.arguments.items())
        raise ConfigError(
            f"train.after is {after}, which does not fit the first stage of these settings. It is {part.network} with "
            f"{described}. Set the generator to the same."
        )
    for name, tensor in theirs.items():
        own[name].copy_(tensor)
