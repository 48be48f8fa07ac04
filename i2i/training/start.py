"""A training from the command to the model file: checks and setup before the first step, the loop, and the end."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from i2i import status
from i2i.algorithms import ALGORITHMS
from i2i.config.settings import Config
from i2i.errors import ConfigError, DataError, LoaderError
from i2i.machine import is_out_of_memory
from i2i.networks.layers import set_norm_statistics
from i2i.report.record import RUN_FACTS
from i2i.training import ranks
from i2i.training.callbacks import Listener
from i2i.training.checkpoint import State
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric, with_torchrun_devices
from i2i.training.finetune import build_on, init_from
from i2i.training.folder import refuse_foreign, refuse_run
from i2i.training.lock import only_training
from i2i.training.log import tell
from i2i.training.loop import Training
from i2i.training.memory import memory_explained
from i2i.training.resume import find_state
from i2i.training.run import Run, holds_model_of, require_space
from i2i.training.sessions import begin_session
from i2i.training.signals import Stop
from i2i.training.validation import lost_to_inputs
from i2i.words import show_count


def train(
    config: Config,
    out: str | Path,
    resume: bool = False,
    allow_config_change: bool = False,
    callbacks: Sequence[Listener] = (),
) -> Path:
    """Train as `config` says into the run folder `out`; return the model file.

    resume: go on from the newest undamaged checkpoint in `out`. allow_config_change: even with settings or data
    that change the result. callbacks: hear of rows and samples. Raises I2IError for wrong settings, data and folders,
    before anything is written; then NonFiniteError for non-finite losses or weights, OutOfMemoryError, and
    DiskFullError. Raises Stopped, a KeyboardInterrupt, on Ctrl-C and other signals, after saving.
    """
    with Stop() as stop, ranks.fail_together():
        config = with_torchrun_devices(config)
        fabric = make_fabric(config)
        if ranks.under_torchrun():
            fabric.launch()  # connects the ranks; otherwise rank 0 stays alone until all checks have passed
        with contextlib.ExitStack() as held:
            if fabric.is_global_zero:  # the only rank that writes
                refuse_foreign(Path(out))
                held.enter_context(only_training(Path(out)))
                if not resume:
                    refuse_run(Path(out))
            with status.shown():
                with status.doing("Checking the data"):
                    run = Run(config, Path(out))
                    run.callbacks = tuple(callbacks)
                training = _prepare(run, fabric, resume, allow_config_change)
            _finish(training, stop)
    return run.model


def _prepare(run: Run, fabric: Fabric, resume: bool, allow_config_change: bool) -> Training:
    """Build the training on this rank, in the state of the newest checkpoint if there is one."""
    state = find_state(run, resume, allow_config_change) if fabric.is_global_zero else None
    fabric.launch()  # starts the other ranks, unless they run; each reaches this line itself
    ranks.refuse_differences(run.data.digest, f"the data, {run.data.what}")
    state = ranks.broadcast(state)
    if state and run.config.train.norm_statistics == "auto":  # it stays, even with other devices or batches
        run.norm_statistics = state.get("norm_statistics", run.norm_statistics)
    torch.manual_seed(run.config.train.seed)
    with status.doing("Building the networks"):
        algorithm = ALGORITHMS[run.config.algorithm](run.config)
        for network in algorithm.networks.values():
            set_norm_statistics(network, run.norm_statistics)
        source = run.config.train.init_from
        if source and not state:  # before anything is written, since it may fail
            algorithm.notes += init_from(algorithm, source)
        if not state:
            build_on(algorithm, run.config.train.after)
        with memory_explained(run.config, fabric.device):
            training = Training(run, Engine(fabric, algorithm))
            if state:
                _load_state(training, state)
        training.is_enough = ranks.broadcast(run.is_out_of_patience)
    return training


def _finish(training: Training, stop: Stop) -> None:
    """Train to the end and write the rest of the run; the report also where the training ends early."""
    run, engine = training.run, training.engine
    unfinished = training.unscored or not (training.is_enough or training.images >= run.schedule.total_images)
    engine_state = engine.state_dict() if unfinished else {}  # on every rank, since they gather it
    if engine.fabric.is_global_zero:
        if unfinished:
            require_space(run, engine.algorithm, engine_state)
        run.begin()
        if unfinished:
            with training.reporter.best_effort(RUN_FACTS):
                begin_session(run, engine.algorithm, engine.fabric, training.images)
    del engine_state
    try:
        if unfinished:
            with memory_explained(run.config, engine.fabric.device):
                training.train_to_end(stop)
        else:
            stop.hold()
            more = " Raise train.patience_images, or set it to null, to go on." if training.is_enough else ""
            tell(f"{run.folder} is already finished, after {show_count(training.images, 'image')}.{more}")
        images = run.best.images if run.best else training.images
        if engine.fabric.is_global_zero and not holds_model_of(run.model, images):
            run.save_model(engine.algorithm, engine.model_networks, training.images)
        if engine.fabric.is_global_zero and unfinished:
            with contextlib.suppress(DataError, LoaderError):  # previews that have gone
                for line in lost_to_inputs(run):
                    tell(line)
    finally:
        training.reporter.write_report()


def _load_state(training: Training, state: State) -> None:
    """Load a checkpoint; raises ConfigError when it does not fit the networks of the settings."""
    try:
        training.load_state_dict(state)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        raise ConfigError(
            f"The newest checkpoint in {training.run.checkpoints} does not fit these settings: "
            f"{' '.join(str(error).split())[:200]}\n"
            "Networks and optimizers must stay as they were; a new run can start from weights with --init-from."
        ) from error
