"""The names of settings, and which of them a wrong name may mean."""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

# Names of our settings in other projects, which newcomers try first.
KNOWN_ELSEWHERE = {
    "learning_rate": "optimizer.lr",
    "beta1": "optimizer.betas",
    "batch_size": "train.batch",
    "accumulate_grad_batches": "train.accumulate",
    "gradient_accumulation_steps": "train.accumulate",
    "gradient_clip_val": "optimizer.clip_norm",
    "max_grad_norm": "optimizer.clip_norm",
    "ema": "train.ema_half_life_images",
    "ema_decay": "train.ema_half_life_images",
    "patience": "train.patience_images",
    "early_stopping": "train.patience_images",
    "n_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "n_epochs_decay": "schedule.decay_epochs",
    "load_size": "data.resize_px",
    "crop_size": "data.crop_px",
    "image_size": "data.crop_px",
    "num_workers": "data.workers",
    "num_threads": "data.workers",
    "lambda_l1": "loss.l1",
    "lambda_nce": "loss.nce",
    "nce_layers": "loss.layers",
    "netg": "generator.name",
    "netd": "discriminator.name",
    "n_layers_d": "discriminator.layers",
    "init_type": "generator.init",
    "no_dropout": "generator.dropout",
    "no_flip": "data.flip",
    "input_nc": "data.channels_a",
    "output_nc": "data.channels_b",
    "gpu_ids": "train.device",
    "print_freq": "log.every_images",
    "display_freq": "log.samples_every_images",
    "save_latest_freq": "log.checkpoint_every_images",
    "gan_mode": "loss.adversarial",
    "ngf": "generator.width",
    "ndf": "discriminator.width",
    "nz": "generator.latent",
    "latent_dim": "generator.latent",
    "lambda_a": "loss.cycle_a",
    "lambda_b": "loss.cycle_b",
    "lambda_identity": "loss.identity",
    "lambda_feat": "loss.terms.feature_matching",
    "pool_size": "loss.history",
    "dataroot": "data.path",
    "size": "data.crop_px",
    "steps": "schedule.images",
    "iterations": "schedule.images",
}


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted name of every setting in `model`, including sections."""
    for own, field in model.model_fields.items():
        name = field.alias or own  # as `from`, a keyword of Python
        yield name
        for member in _members(field.annotation):
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield from (f"{name}.{inner}" for inner in setting_names(member))


def _members(annotation: Any) -> Iterator[Any]:
    """Yield a type and, for a union, its members."""
    yield annotation
    for member in get_args(annotation):
        yield from _members(member)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X?" for the nearest of `known`, or nothing where none is near.

    A name in the section of `name` may differ more than one elsewhere, where more names are alike by chance.
    """
    known = list(dict.fromkeys(known))
    section, _, leaf = name.rpartition(".")
    elsewhere = KNOWN_ELSEWHERE.get(leaf.lower())
    if elsewhere in known:
        return f" Did you mean {elsewhere}?"
    counts = Counter(one.rpartition(".")[2] for one in known)
    beside = {one.rpartition(".")[2]: one for one in known if one.rpartition(".")[0] == section}
    by_leaf = {one.rpartition(".")[2]: one for one in known if counts[one.rpartition(".")[2]] == 1}
    for names, cutoff in ((by_leaf, 1.0), (beside, 0.62 if section else 0.75), (by_leaf, 0.8)):
        near = difflib.get_close_matches(leaf, names, 1, cutoff)
        if near:
            return f" Did you mean {names[near[0]]}?"
    return ""
