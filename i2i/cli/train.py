"""`i2i train`."""

from pathlib import Path

import click

from i2i.cli import options


@click.command(
    epilog="""\b
Examples:
  i2i train lineart --data datasets/lineart --out runs/lineart
  i2i train mine.yaml --data photos --data drawings --out runs/mine
  i2i train cyclegan --data photos --data drawings --out runs/both
  i2i train dcgan --data pictures --out runs/noise --init-from runs/faces
  i2i train pix2pix --data D --out runs/d --set train.batch=4 --dry-run
  i2i train lineart --data datasets/lineart --out runs/lineart --resume
"""
)
@click.argument("config", metavar="PRESET|FILE.yaml")
@click.option("--data", multiple=True, help="Data folder; give it twice for A's and B's folders.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder to write.  [default: runs/PRESET]")
@click.option("--device", type=click.Choice(options.DEVICES), help="Where to compute.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="Arithmetic of the networks.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of weights, order, crops and dropout.")
@click.option("--init-from", metavar="MODEL", help="Begin with the weights of a run or .safetensors file.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in --out.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="Change one setting.")
@click.option("--dry-run", is_flag=True, help="Print the resolved settings and stop.")
def train(
    config: str,
    data: tuple[str, ...],
    out: Path | None,
    device: str | None,
    precision: str | None,
    seed: int | None,
    init_from: str | None,
    resume: bool,
    overrides: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train a model as a preset or a YAML file says, on your folder of pictures.

    The run folder gets config.yaml, checkpoints/, model.safetensors, metrics.jsonl, samples/ and
    report.html.
    """
    import json

    import torch

    from i2i.algorithms import ALGORITHMS, resolve
    from i2i.config import load_config, to_yaml
    from i2i.training.loop import train as run_training

    named = {"data.path": data or None, "train.device": device, "train.precision": precision, "train.seed": seed}
    named |= {"train.init_from": init_from}
    flags = [f"{name}={json.dumps(value)}" for name, value in named.items() if value is not None]
    settings = load_config(config, [*overrides, *flags])
    if dry_run:
        settings = resolve(settings)
        with torch.device("meta"):  # builds the networks, to see that they fit, without their memory
            ALGORITHMS[settings.algorithm](settings)
        click.echo(to_yaml(settings), nl=False)
        return
    model = run_training(settings, out or Path("runs") / Path(config).stem, resume=resume)
    click.echo(f"Model:  {model}\nReport: {model.parent / 'report.html'}")
