"""`i2i train`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import completing, options
from i2i.cli.commands import PluginCommand
from i2i.errors import RunExistsError, Stopped, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from i2i.config.settings import Config

_HERE = ""
"""--resume without a folder."""


@click.command(
    cls=PluginCommand,
    short_help="Train a model on your own pictures.",
    epilog="""\b
Examples:
  i2i train lineart --data datasets/lineart --out runs/lineart
  i2i train mine.yaml --data photos --data drawings --out runs/mine
  i2i train cyclegan --data photos --data drawings --out runs/both
  i2i train dcgan --data pictures --out runs/noise --init-from runs/faces
  i2i train stackgan_emoji_64 --data data/hues --out runs/large --after runs/hues
  i2i train pix2pix --data D --out runs/d --set train.batch=4 --dry-run
  i2i train --resume runs/lineart
""",
)
@click.argument("config", metavar="PRESET|FILE.yaml", required=False, shell_complete=completing.presets)
@click.option("--data", multiple=True, help="Data folder; give it twice for A's and B's folders.")
@click.option("--out", type=options.OutputPath(), help="Run folder to write.  [default: runs/PRESET]")
@click.option("--device", type=click.Choice(options.TRAINING_DEVICES), help="Where to compute.")
@click.option("--devices", type=click.IntRange(min=1), help="How many devices on each machine.")
@click.option("--nodes", type=click.IntRange(min=1), help="How many machines; start the command on each.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="Precision of the networks.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of weights, order, crops and dropout.")
@click.option("--init-from", metavar="MODEL", help="Start from the weights of a run, .safetensors or .pth file.")
@click.option("--after", metavar="RUN", help="Build on the frozen generator of a run, as the second stage of StackGAN.")
@click.option("--full-check", is_flag=True, help="Decode every picture before training, not only its header.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_HERE,
    metavar="[RUN]",
    help="Go on with a run, with its own settings; without RUN, with the newest checkpoint in --out, if there is one.",
)
@click.option("--allow-config-change", is_flag=True, help="Resume even if settings or data differ.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.NAME=VALUE",
    shell_complete=completing.settings,
    help="Change one setting; the name of a network brings its own defaults.",
)
@click.option("--dry-run", is_flag=True, help="Print settings and estimates, then stop.")
def train(
    config: str | None,
    out: Path | None,
    resume: str | None,
    allow_config_change: bool,
    overrides: tuple[str, ...],
    dry_run: bool,
    **flags: Any,
) -> None:
    """Train a model with the settings of a preset or a YAML file, on your folder of pictures.

    The run folder gets config.yaml, checkpoints/, model.safetensors, metrics.jsonl, samples/ and report.html.
    """
    config, out, resumes = _what_to_train(config, out, resume)
    try:
        with status.shown():
            settings = _checked(config, overrides, flags, None if dry_run else out, resumes)
            with status.loading_torch():
                from i2i.training import ranks, start
        if dry_run:
            _dry_run(settings)
            return
        model = start.train(settings, out, resumes, allow_config_change)
    except RunExistsError as error:
        raise RunExistsError(f"{error}\n{_resume_command(out)}") from None
    except Stopped as stopped:
        click.echo(f"{stopped} To go on:\n{_resume_command(out)}", err=True)
        raise click.exceptions.Exit(stopped.exit_code) from None
    if ranks.rank() == 0:
        click.echo(f"Model:  {model}\nReport: {model.parent / 'report.html'}")


def _what_to_train(config: str | None, out: Path | None, resume: str | None) -> tuple[str, Path, bool]:
    """Return the settings' name or file, the run folder, and whether to go on with it.

    resume: what stands after --resume: a run; _HERE for nothing; or a preset, as in `train --resume lineart`.
    """
    from i2i.config.presets import is_run, preset_names

    run = None if resume in (None, _HERE) else resume
    if run and config is None and (run in preset_names() or run.endswith((".yaml", ".yml"))):
        config, run = run, None
    if resume == _HERE and config and config not in preset_names() and is_run(config):  # train RUN --resume
        config, run = None, config
    if run and out and out.resolve() != Path(run).resolve():
        raise UsageError(f"--resume {run} goes on in that folder, and --out is {out}. Leave one of them out.")
    if run and not is_run(run):
        raise UsageError(f"{run} holds no run: it has no config.yaml. Give --resume the folder of a training.")
    if run:
        return config or str(Path(run) / "config.yaml"), Path(run), True
    if config is None:
        raise UsageError(f"Give a preset or a YAML file, or --resume RUN. Presets: {', '.join(preset_names())}.")
    return config, out or Path("runs") / Path(config).stem, resume is not None


_SETTINGS = {
    "data": "data.path",
    "full_check": "data.full_check",
    **{name: f"train.{name}" for name in ("device", "devices", "nodes", "precision", "seed", "init_from", "after")},
}
"""The settings that options stand for."""


def _checked(
    config: str, overrides: "Sequence[str]", flags: "Mapping[str, Any]", out: Path | None, resume: bool
) -> "Config":
    """Read the settings and refuse what is wrong before torch is loaded; out: the run folder, None for a dry run."""
    import json

    with status.doing("Reading the settings"):
        from i2i.config import load_config
        from i2i.config.plugins import LOADED
        from i2i.training.folder import refuse_early

        given = {name: value for name, value in flags.items() if value not in (None, ()) and value is not False}
        flagged = [f"{_SETTINGS[name]}={json.dumps(value)}" for name, value in given.items()]
        written = {_SETTINGS[name]: f"--{name.replace('_', '-')}" for name in given}
        if LOADED:
            flagged.append(f"plugins={json.dumps([str(one) for one in LOADED])}")
            written["plugins"] = "--plugin"
        settings = load_config(config, [*overrides, *flagged], written)
    with status.doing("Looking for the data"):
        refuse_early(settings, out, resume)
    return settings


def _dry_run(settings: "Config") -> None:
    """Print the settings and, as YAML comments, what a training with them would cost."""
    import torch

    from i2i.algorithms import ALGORITHMS, resolve
    from i2i.config import to_yaml
    from i2i.data.sets import with_facts
    from i2i.training.estimate import describe, estimate, find_data
    from i2i.training.finetune import build_on, init_from

    settings = resolve(settings)
    with status.shown():
        data = find_data(settings)
    settings = with_facts(settings, data) if data else settings
    with torch.device("meta"):  # builds the networks, to see that they fit, without taking memory
        algorithm = ALGORITHMS[settings.algorithm](settings)
    source = settings.train.init_from
    taken = init_from(algorithm, source) if source else []
    if settings.train.after:
        build_on(algorithm, settings.train.after)
    click.echo(to_yaml(settings), nl=False)
    _comment([*describe(algorithm), *taken])
    with status.shown():
        lines = list(estimate(settings, data))
    _comment(lines)


def _comment(lines: "Iterable[str]") -> None:
    for line in lines:
        click.echo(f"# {line}")  # so that the whole output is still YAML


def _resume_command(out: Path) -> str:
    """Return the command that goes on with a run; with one that has not begun, the same one with --resume added."""
    from i2i.config.presets import is_run

    if is_run(out):
        return f"  {shlex.join(['i2i', 'train', '--resume', str(out)])}"
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--debug")]
    return f"  {shlex.join(['i2i', *words])} --resume"
