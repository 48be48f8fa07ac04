"""`i2i info`."""

from collections.abc import Mapping
from typing import Any

import click


@click.command(
    epilog="""\b
Examples:
  i2i info runs/lineart
  i2i info model.onnx --json
"""
)
@click.argument("model", metavar="MODEL")
@click.option("--json", "as_json", is_flag=True, help="Print the whole description as JSON.")
def info(model: str, as_json: bool) -> None:
    """Say what a model file (run folder, .safetensors, .onnx or .pth) is."""
    from pathlib import Path

    from i2i.cli.export import agreement
    from i2i.modelfile import find_model, read_spec
    from i2i.runtime.backends import open_backend
    from i2i.spec import GENERATE, UNDESCRIBED

    file = find_model(Path(model))
    is_onnx = file.suffix == ".onnx"
    spec = open_backend(file, lambda spec: GENERATE, "cpu")[0] if is_onnx else read_spec(file)
    if as_json:
        click.echo(spec.model_dump_json(indent=2))
        return
    if spec.algorithm == UNDESCRIBED:
        click.echo(f"{file}: no description by i2i; this is what it does with zeros")
    else:
        trained = f", trained on {spec.images_seen:,} images" if spec.images_seen else ""
        click.echo(f"{file}: {spec.algorithm}{trained}, by i2i {spec.i2i_version}")
    for direction, generator in spec.generators.items():
        click.echo(
            f"  {direction}: {generator.in_meaning} to {generator.out_meaning}, "
            f"{generator.network} ({_listed(generator.arguments)})"
        )
        click.echo(f"       sides are padded to multiples of {generator.size_multiple} px and cropped back")
    if noise := spec.latent_generator:
        made = "points" if noise.out_meaning == "points" else f"{noise.out_meaning} of {noise.out_px}x{noise.out_px} px"
        click.echo(f"  from noise, {noise.latent} numbers, to {made}, {noise.network} ({_listed(noise.arguments)})")
    if spec.trained_side_px:  # none of points, nor known of imported weights
        click.echo(
            f"  trained on {spec.trained_crop_px} px squares of pictures "
            f"whose shorter side is {spec.trained_side_px} px"
        )
    click.echo(f"  at inference: batch norm by {spec.norm_statistics} statistics, dropout {spec.dropout}")
    if spec.proof:
        size = "one size of {}x{} px (height x width)".format(*spec.fixed_size) if spec.fixed_size else "any size"
        click.echo(f"  exported for {'pixels' if spec.io == 'image' else 'tensors'} in {spec.precision}, {size}")
        click.echo(f"  export: {agreement(spec)}")


def _listed(arguments: Mapping[str, Any]) -> str:
    """What a network was made with, in words; a stranger's file may hold anything there."""
    from i2i.mistaken import shown

    return shown(", ".join(f"{name} {value}" for name, value in arguments.items()), 500)
