"""Resuming a run: its newest checkpoint, and which settings may differ from those it was trained with."""

from collections.abc import Iterable, Iterator
from typing import Any

from i2i import status
from i2i.algorithms import resolve
from i2i.config import differences, load_config, parse
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.training.best import Best
from i2i.training.checkpoint import State, load_newest
from i2i.training.log import tell
from i2i.training.run import Run, holds_model_of
from i2i.words import show_count

# Settings that a resumed run may change. data.path may change too: its content is compared instead.
FREE_ON_RESUME = (
    "train.device",
    "train.devices",
    "train.nodes",
    "train.precision",
    "train.init_from",
    "train.after",
    "train.tf32",
    "train.cuda_graphs",
    "train.channels_last",
    "train.compile",
    "train.activation_checkpointing",
    "train.keep",
    "train.best_by",
    "train.best_interval",
    "train.scored_pictures",
    "train.patience_images",
    "data.workers",
    "data.cache",
    "data.timeout_s",
    "data.full_check",
    "data.skip_broken",
    "data.path",
    "log.",
    "plugins",
    "alarms.",
)


def find_state(run: Run, resume: bool, allow_config_change: bool) -> State | None:
    """Return the newest state in the run's folder, None to start from the first image; nothing is written.

    Prints which damaged checkpoints are passed over, and which settings changed that may change. Raises
    ConfigError for other changes, unless they are allowed, and ModelError when every checkpoint is damaged.
    """
    if not run.settings_file.exists():
        if resume:
            tell(f"{run.folder} holds no run yet: starting one.")
        return None
    with status.doing("Reading the newest checkpoint"):
        state, run.damaged = load_newest(run.checkpoints)
    if not state:
        tell(f"{run.folder} holds no checkpoint yet: starting at the first image.")
    if run.damaged and state:
        newest, names = run.damaged[0], ", ".join(path.name for path in run.damaged)
        tell(
            f"Warning: {names} in {run.checkpoints} cannot be read back; going on after "
            f"{show_count(state['images'], 'image')}, {int(newest.stem) - state['images']:,} before it."
        )
    # A run that was killed before its first checkpoint has its settings only in the file.
    before = state["config"] if state else load_config(run.settings_file).model_dump(mode="json")
    _refuse_changes(run, _changes(run, _with_defaults(before), state), allow_config_change)
    if state:
        run.scores = state["scores"]
        _find_best(run, state)
    return state


def _find_best(run: Run, state: State) -> None:
    """Go on from the best of a checkpoint, if its model is there and its score is of what is scored now."""
    if run.scorer is None or not state["best"]:
        return
    best, reason = Best.model_validate(state["best"]), ""
    if not best.is_of(run.scorer.measure):
        reason = f"{run.model} was chosen by {best.by} and other pictures than now"
    elif not any(holds_model_of(path, best.images) for path in (run.model, run.candidate)):
        reason = f"{run.model} is no longer the one with the best val score"
    if reason:
        tell(f"{reason}; the next one decides anew.")
    else:
        run.best = best


def _changes(run: Run, before: dict[str, Any], state: State | None) -> Iterator[tuple[str, bool]]:
    """Yield each difference from `before`, in words, and whether it is allowed without further ado."""
    longer = state is None or run.schedule.total_images > state["total_images"]
    same_schedule = state and tuple(run.schedule[:2]) == (state["total_images"], state["decay_images"])
    for name, old, new in differences(before, run.config.model_dump(mode="json")):
        if name == "data.direction" and {old, new} <= {None, "A2B"}:  # null is A2B, the default of earlier versions
            continue
        length = name.startswith("schedule.") and not name.startswith("schedule.lr_ramp")
        free = name.startswith(FREE_ON_RESUME) or (length and (longer or same_schedule))
        yield f"{name} was {old!r}, now {new!r}", bool(free)
    if state and state["data"] != run.data.digest:
        yield f"{', '.join(run.config.data.path)} does not hold the {state['what']} it was trained on", False
    if state and run.schedule.total_images < state["total_images"]:
        end = show_count(run.schedule.total_images, "image")
        yield f"the schedule ends after {end}, before {state['total_images']:,}", False


def _refuse_changes(run: Run, changes: Iterable[tuple[str, bool]], allow: bool) -> None:
    changes = list(changes)
    refused = [text for text, free in changes if not (free or allow)]
    if refused:
        raise ConfigError(
            f"{run.folder} was trained differently: {'; '.join(refused)}.\n"
            "Resume as before, give another folder with --out, or add --allow-config-change; the result then "
            "belongs neither to the old settings nor to the new ones."
        )
    if changes:
        tell(f"Changed on resuming: {'; '.join(text for text, _ in changes)}.")


def _with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an older run with later additions at their defaults, which change nothing."""
    try:
        return resolve(parse(Config, settings, "the run")).model_dump(mode="json")
    except ConfigError:  # of another algorithm, or too old: compared as they are
        return settings
