"""`i2i export`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from i2i import status
from i2i.cli import options
from i2i.errors import UsageError
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.models.spec import ModelSpec


class Size(click.ParamType):
    """HEIGHTxWIDTH in pixels, or dynamic."""

    name = "dynamic|HxW"

    def convert(
        self, value: str | tuple[int, int] | None, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int] | None:
        """Return (height, width), or None for dynamic."""
        if not isinstance(value, str):
            return value
        if value == "dynamic":
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", value)
        if not found:
            self.fail(f"'{value}' is not a size: dynamic, or height x width up to 9999 px, as in 256x512.", param, ctx)
        return int(found[1]), int(found[2])


@click.command(
    epilog="""\b
Examples:
  i2i export runs/lineart -o model.onnx
  i2i export model.safetensors -o model.onnx --verify photos
  i2i export runs/lineart -o model.onnx --io image --precision fp16
  i2i export runs/lineart --io image --triton models
  i2i export runs/faces -o faces.onnx
  i2i export runs/horses -o horses.onnx --direction both
  i2i export summer.safetensors -o latest_net_G.pth --format pytorch-CycleGAN-and-pix2pix
"""
)
@click.argument("model", metavar="RUN|MODEL.safetensors")
@click.option("-o", "--output", type=options.Output(), help="The file to write.")
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
@click.option(
    "--verify",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pictures to prove it on.  [default: the run's own]",
)
@click.option(
    "--io",
    type=click.Choice(["tensor", "image"]),
    default="tensor",
    show_default=True,
    help="What goes in and comes out: float NCHW in -1 to 1; or 8-bit NHWC of any size, with the rest inside.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="What the network computes in.",
)
@click.option(
    "--size", type=Size(), default="dynamic", show_default=True, help="One height x width, for TensorRT and NPUs."
)
@click.option(
    "--triton",
    type=options.Output(),
    help="In place of -o: the folder of models that a Triton server serves.",
)
def export(
    model: str,
    output: Path | None,
    direction: str | None,
    overwrite: bool,
    kind: str,
    verify: Path | None,
    io: Literal["tensor", "image"],
    precision: Literal["fp32", "fp16"],
    size: tuple[int, int] | None,
    triton: Path | None,
) -> None:
    """Write a model as one ONNX file, and prove that it equals torch.

    ONNX Runtime and torch are compared first, on real pictures at three sizes, singly and as a batch, and on flat
    ones; or, where a model makes pictures from noise, on five seeds. Above 1e-4, or one grey level in 1 of 10,000
    values of an 8-bit file, or two grey levels in fp16 (more where torch rounds as much itself: docs/deploy.md),
    nothing is written, and the picture and the layer where the difference starts are named.
    """
    if (output is None) == (triton is None):
        raise UsageError("Give either -o FILE or, for a Triton server, --triton FOLDER.")
    if triton is not None and (kind != "onnx" or direction == "both"):
        raise UsageError("--triton writes one direction as ONNX. Leave out --format, and choose A2B or B2A.")
    if output is not None and kind != "onnx":
        if verify is not None or io != "tensor" or precision != "fp32" or size is not None:
            raise UsageError(f"--format {kind} only renames weights. Leave out --verify, --io, --precision and --size.")
        _export_weights(model, output, direction, overwrite)
        return
    with status.shown():
        with status.doing("Looking for the model"):  # what is wrong is refused before torch is loaded
            from i2i.files import check_output
            from i2i.models.modelfile import find_weights

            if output is not None and direction != "both":
                check_output(output, overwrite, ".onnx")
            find_weights(model)
        with status.loading_torch():
            from i2i.export import export_both, export_onnx, export_triton

        if output is None:
            assert triton is not None
            specs = dict([export_triton(model, triton, direction, verify, overwrite, io, precision, size)])
        elif direction == "both":
            specs = export_both(model, output, verify, overwrite, io, precision, size)
        else:
            specs = {output: export_onnx(model, output, direction, verify, overwrite, io, precision, size)}
    for path, spec in specs.items():
        click.echo(f"{path}: {_said(spec)}")
        if spec.io == "image" and spec.input_range:
            low, high = spec.input_range
            click.echo(
                f"Note: it was trained on values from {low:g} to {high:g} (data.input_range), and --io image takes 8 "
                "bits: map them\nto 0..255 before, and the outputs back, or export with --io tensor for i2i translate.",
                err=True,
            )


def _said(spec: "ModelSpec") -> str:
    proof = spec.proof
    assert proof is not None
    pictures = show_count(proof.pictures, "picture")
    if spec.task == "generate":
        on = f"{pictures} of {proof.source}, singly and in batches"
    else:
        sizes = "its size" if spec.fixed_size else "three sizes"
        on = f"{pictures} of {proof.source} at {sizes}, singly and as a batch, and flat ones"
    rounding = ""
    if proof.torch_rounding is not None:
        rounding = f"\nOn some, torch in {spec.precision} is itself up to {proof.torch_rounding:.1e} off its float64."
    return f"{agreement(spec)}\n({on}).{rounding}"


def agreement(spec: "ModelSpec") -> str:
    """Say in words how an exported file compared with torch."""
    proof = spec.proof
    assert proof is not None
    if proof.max_difference == 0:
        return "identical to torch"
    if spec.io == "tensor":
        return f"equal to torch within {proof.max_difference:.1e}, on average {proof.mean_difference:.1e} ({spec.unit})"
    of = 10_000 if proof.differing >= 1e-4 else 1_000_000
    levels = "one level" if proof.max_difference == 1 else f"up to {proof.max_difference:.0f} levels"
    differing = proof.differing * of
    count = f"{differing:,.0f}" if differing >= 1 else "at most 1"  # some do
    return f"equal to torch but for {count} of {of:,} values, by {levels}"


def _export_weights(model: str, output: Path, direction: str | None, overwrite: bool) -> None:
    from i2i.interop.exporting import export_weights

    with status.shown():
        written = export_weights(model, output, direction, overwrite)
    for path, words in written.items():
        click.echo(f"{path}: load it with {words}")
