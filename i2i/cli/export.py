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
  i2i export summer.safetensors -o latest_net_G.pth --format pytorch-CycleGAN-and-pix2pix
"""
)
@click.argument("model", metavar="RUN|MODEL.safetensors")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option(
    "--direction",
    type=click.Choice(["A2B", "B2A", "both"]),
    help="For models that hold both; both writes NAME.A2B.onnx and NAME.B2A.onnx.",
)
@options.overwrite
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "pytorch-CycleGAN-and-pix2pix"]),
    default="onnx",
    show_default=True,
    help="An ONNX file, or weights (.pth) that the other project loads.",
)
@click.option("--verify", type=click.Path(path_type=Path), help="Pictures to prove it on.  [default: the run's own]")
def export(model: str, output: Path, direction: str | None, overwrite: bool, kind: str, verify: Path | None) -> None:
    """Write a model as one ONNX file that runs at any size, and prove that it equals torch.

    ONNX Runtime and torch are compared first, on real pictures at three sizes or, where a model makes
    pictures from noise, on five seeds; above 1e-4 nothing is written.
    """
    if kind != "onnx":
        _export_weights(model, output, direction, overwrite, verify)
        return
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


def _export_weights(model: str, output: Path, direction: str | None, overwrite: bool, verify: Path | None) -> None:
    from i2i.errors import UsageError
    from i2i.export_weights import export_weights

    if verify is not None:
        raise UsageError("--verify proves an .onnx file; weights are only renamed. Leave it out.")
    for path, words in export_weights(model, output, direction, overwrite).items():
        click.echo(f"{path}: load it with {words}")
