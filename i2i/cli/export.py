"""`i2i export`."""

from pathlib import Path

import click

from i2i.cli import options


@click.command(
    epilog="""\b
Examples:
  i2i export runs/lineart -o model.onnx
  i2i export model.safetensors -o model.onnx --verify photos
"""
)
@click.argument("model", metavar="RUN|MODEL.safetensors")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .onnx file to write.")
@options.direction
@options.overwrite
@click.option("--verify", type=click.Path(path_type=Path), help="Pictures to prove it on.  [default: the run's own]")
def export(model: str, output: Path, direction: str | None, overwrite: bool, verify: Path | None) -> None:
    """Write a model as one ONNX file that runs at any size, and prove that it equals torch.

    ONNX Runtime and torch are compared on real pictures at three sizes first; above 1e-4 nothing is
    written.
    """
    from i2i.export import export_onnx

    proof = export_onnx(model, output, direction, verify, overwrite).proof
    assert proof is not None
    click.echo(
        f"{output}: equal to torch within {proof.max_difference:.1e}, on average {proof.mean_difference:.1e}\n"
        f"(values in -1 to 1; {proof.pictures} pictures of {proof.source} at three sizes)."
    )
