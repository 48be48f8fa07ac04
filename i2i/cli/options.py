"""Options that several commands share."""

import click

model = click.option("-m", "--model", required=True, help="Run folder, .safetensors or .onnx file.")
direction = click.option("--direction", type=click.Choice(["A2B", "B2A"]), help="For models that hold both.")
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
