"""`i2i export`."""

from pathlib import Path

import click

from i2i.cli import options


@click.command(
    epilog="""\b
Examples:
  i2i export runs/lineart -o model.onnx
  i2i export model.safetensors -o model.onnx --verify photos
  i2i export runs/faces -o faces.onnx
  i2i export runs/horses -o horses.onnx --direction both
"""
)
@click.argument("model", metavar="RUN|MODEL.safetensors")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .onnx file to write.")
@click.option(
    "--direction",
    type=click.Choice(["A2B", "B2A", "both"]),
    help="For models that hold both; both writes NAME.A2B.onnx and NAME.B2A.onnx.",
)
@options.overwrite
@click.option("--verify", type=click.Path(path_type=Path), help="Pictures to prove it on.  [default: the run's own]")
def export(model: str, output: Path, direction: str | None, overwrite: bool, verify: Path | None) -> None:
    """Write a model as one ONNX file that runs at any size, and prove that it equals torch.

    ONNX Runtime and torch are compared first, on real pictures at three sizes or, where a model makes
    pictures from noise, on five seeds; above 1e-4 nothing is written.
    """
    from i2i.export import export_both, export_onnx

    if direction == "both":
        specs = export_both(model, output, verify, overwrite)
    else:
        specs = {output: export_onnx(model, output, direction, verify, overwrite)}
    for path, spec in specs.items():
        proof, sizes = spec.proof, " at three sizes" if spec.task == "translate" else ""
        assert proof is not None
        click.echo(
            f"{path}: equal to torch within {proof.max_difference:.1e}, on average {proof.mean_difference:.1e}\n"
            f"(values in -1 to 1; {proof.pictures} pictures of {proof.source}{sizes})."
        )
