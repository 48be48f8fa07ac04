"""`i2i export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.card import author, licence
from i2i.cli.commands import ModelCommand, PluginCommand
from i2i.cli.directions import Directions
from i2i.errors import UsageError
from i2i.files import show_size
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.exporting import ExportOptions
    from i2i.models.spec import ModelSpec


_WEIGHTS = "pytorch-CycleGAN-and-pix2pix"


class ExportCommand(ModelCommand):
    """A command that needs no model where --verify names a file, which it proves."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as without a model for such a file."""
        given, words = self._split(ctx, args)
        file = Path(given.get("verify") or "")
        if not words and "model" not in given and (file.is_file() or file.suffix == ".onnx"):
            return PluginCommand.parse_args(self, ctx, args)
        return super().parse_args(ctx, args)


@click.command(
    cls=ExportCommand,
    short_help="Write one ONNX file, and prove that it equals torch.",
    epilog="""\b
Examples:
  i2i export runs/lineart -o model.onnx
  i2i export model.safetensors -o model.onnx --verify photos
  i2i export runs/lineart -o model.onnx --io image --precision fp16
  i2i export runs/lineart --io image --triton models
  i2i export runs/faces -o faces.onnx --licence mit --author "A. Artist"
  i2i export runs/lineart --page demo.html --precision int8
  i2i export runs/faces --page faces.html
  i2i export runs/horses -o horses.onnx --direction both
  i2i export --verify model.onnx
  i2i export summer.safetensors -o latest_net_G.pth
""",
)
@options.model
@click.option("-o", "--output", type=options.OutputPath(), help="The file to write.")
@click.option(
    "--direction",
    type=Directions("both"),
    help="Of models that hold both; by default the usual one; both writes NAME.A2B.onnx and NAME.B2A.onnx.",
)
@options.translated_label
@options.overwrite
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", _WEIGHTS]),
    help="An ONNX file, or weights that the other project loads.  [default: onnx, or weights if -o ends in .pth]",
)
@click.option(
    "--verify",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of inputs, or data folder, to prove it on and to set scales of int8.  [default: the run's pictures, "
    "or the sheet of a shipped model]  Or an exported .onnx file: prove it on this machine, and write nothing.",
)
@click.option("--device", type=click.Choice(options.DEVICES), help="With --verify FILE: where to run it.")
@click.option(
    "--io",
    type=click.Choice(["tensor", "image"]),
    default="tensor",
    show_default=True,
    help="What goes in and comes out: float NCHW in -1 to 1; or 8-bit NHWC of any size, with all processing inside.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "int8_weights"]),
    default="fp32",
    show_default=True,
    help="What the network computes in; int8 only where it is faster here and within 35 dB (PSNR) of fp32; "
    "int8_weights: fp32, with weights in a quarter of the bytes. On a page, int8 means int8_weights.",
)
@click.option(
    "--size",
    type=options.WidthByHeight(9999, dynamic=True),
    default="dynamic",
    show_default=True,
    help="One width x height, for TensorRT and NPUs.",
)
@click.option(
    "--triton",
    type=options.OutputPath(),
    help="Instead of -o: the folder of models that a Triton server serves.",
)
@click.option(
    "--triton-version",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which version of the model in that folder; a server serves the largest.  [default: 1]",
)
@click.option(
    "--page",
    type=options.OutputPath(),
    help="Instead of -o: an HTML page that runs the model, also an .onnx file of --io image, in any browser.",
)
@click.option("--webgpu", is_flag=True, help="Let the page run on a GPU where the browser offers one; 4 MB more.")
@click.option(
    "--examples",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pictures that the page holds and offers to try.",
)
@licence
@author
@json_output.flag
def export(
    model: str | None, kind: str | None, label: tuple[str, ...], device: str | None, as_json: bool, **choices: Any
) -> None:
    """Write a model as one ONNX file, and prove that it equals torch.

    ONNX Runtime and torch are compared first, on real pictures at three sizes, singly and as a batch, and on flat
    ones; or, if the model makes pictures from noise, on five seeds. Above 1e-4, or one grey level in 1 of 10,000
    values of an 8-bit file, or two grey levels in fp16 (more if torch itself rounds as much: docs/deploy.md),
    nothing is written, and the error names the picture and the layer where the difference starts.

    --verify FILE proves a finished file again, on the machine and device that it shall run on: with the model that
    lies beside it or is given, or with what the file itself keeps.
    """
    kind = kind or (_WEIGHTS if Path(choices["output"] or "").suffix.lower() == ".pth" else "onnx")
    if choices["verify"] is not None and choices["verify"].is_file():
        _verify(model, device, {"format": kind != "onnx", "label": label, **choices}, as_json)
        return
    if device is not None:
        raise UsageError("--device goes with --verify FILE. Exported files run on any device; leave it out.")
    assert model is not None
    from i2i.exporting import ExportOptions, export_model

    chosen = ExportOptions(labels=label, **choices)
    if kind != "onnx":
        _export_weights(model, kind, chosen, as_json)
        return
    if chosen.page is not None:
        _export_page(model, chosen, as_json)
        return
    with status.shown():
        specs = export_model(model, chosen)
    _tell(list(specs.items()), as_json)
    for spec in specs.values():
        if spec.io == "image" and any(one.inputs and one.inputs.scale for one in spec.generators.values()):
            click.echo(
                "Note: the model was trained on values by the scale of each channel (data.normalise_a), and --io image "
                "takes 8 bits.\nMap black and white to 0 and 255 before, or export with --io tensor for i2i translate.",
                err=True,
            )
        elif spec.io == "image" and spec.input_range:
            low, high = spec.input_range
            click.echo(
                f"Note: the model was trained on values from {low:g} to {high:g} (data.input_range), and --io image "
                "takes 8 bits.\nMap them to 0..255 before and the outputs back after, or export with --io tensor for "
                "i2i translate.",
                err=True,
            )


_UNSET = {"io": "tensor", "precision": "fp32"}
"""Options with defaults that are not empty."""


def _tell(files: "list[tuple[Path, ModelSpec]]", as_json: bool) -> None:
    """Print what was written, and how well it agrees with torch."""
    for path, spec in files:
        click.echo(f"{path}: {_proof_sentence(spec)}", err=as_json)
    if as_json:
        known = {"parts", "io", "precision", "proof", "int8"}
        told = [{"path": str(path), **spec.model_dump(include=known)} for path, spec in files]
        json_output.print_json("export", {"files": [{**one, "parts": [*one["parts"]]} for one in told]})


def _verify(model: str | None, device: str | None, choices: dict[str, Any], as_json: bool) -> None:
    """Prove a finished file; raises UsageError for options of an export."""
    file = choices.pop("verify")
    if given := [name for name, value in choices.items() if value and value != _UNSET.get(name)]:
        said = "-o" if given[0] == "output" else f"--{given[0].replace('_', '-')}"
        raise UsageError(f"--verify {file} proves a finished file and writes none. Leave out {said}.")
    with status.shown():
        from i2i.exporting.verify import verify_onnx

        found = verify_onnx(file, device or "auto", model)
    if found.proof:
        proved = found.spec.model_copy(update={"proof": found.proof})
        click.echo(f"{file} on {found.device}: {_proof_sentence(proved)}", err=as_json)
    unit = found.spec.unit
    if found.self_test is not None:
        whose = "its own answers at the export" if found.spec.int8 else "torch's answers kept in the file"
        click.echo(f"{file} on {found.device}: within {found.self_test:.2g} ({unit}) of {whose}.", err=as_json)
    if found.cpu is not None:
        said = f"{file} on {found.device}: within {found.cpu:.2g} ({unit}) of the same file on the CPU."
        click.echo(said, err=as_json)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    if as_json:
        proof = found.proof and found.proof.model_dump()
        measured = {"device": found.device, "unit": unit, "self_test": found.self_test, "cpu": found.cpu}
        json_output.print_json("export", {"file": str(file), **measured, "proof": proof, "notes": list(found.notes)})


def _proof_sentence(spec: "ModelSpec") -> str:
    """Say what an exported file was compared on, and how well it agreed."""
    from i2i.exporting.agreement import agreement

    proof = spec.proof
    assert proof is not None
    if spec.int8 and spec.int8.scales_from:
        scales, others = show_count(spec.int8.scales_from, "picture"), show_count(spec.int8.pictures, "other")
        return f"{agreement(spec)}\n(scales from {scales}, compared on {others})."
    if spec.int8:
        return f"{agreement(spec)}\n({show_count(spec.int8.pictures, 'picture')})."
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


def _export_page(model: str, options: "ExportOptions", as_json: bool) -> None:
    """Write a page; raises UsageError for options that would be without effect."""
    options.refuse_for_page()
    from i2i.exporting.page import export_page

    with status.shown():
        specs = export_page(model, options)
    page = Path(options.page or "")
    _tell([(page, spec) for spec in specs.values()], as_json)
    click.echo(f"{show_size(page.stat().st_size)}. Open it in a browser, or send it; it needs no network.", err=True)


def _export_weights(model: str, kind: str, options: "ExportOptions", as_json: bool) -> None:
    """Write weights that another project loads; raises UsageError for options of ONNX files."""
    options.refuse_for_weights(kind)
    assert options.output is not None
    from i2i.interop.exporting import export_weights

    with status.shown():
        written = export_weights(model, Path(options.output), options.direction, options.overwrite)
    for path, words in written.items():
        click.echo(f"{path}: load it with {words}", err=as_json)
    if as_json:
        files = [{"path": str(path), "load_with": words} for path, words in written.items()]
        json_output.print_json("export", {"files": files})
