"""Options that several commands share."""

import click

DEVICES = ["auto", "cpu", "cuda", "mps"]

model = click.option("-m", "--model", required=True, help="Run folder, .safetensors or .onnx file.")
direction = click.option("--direction", type=click.Choice(["A2B", "B2A"]), help="For models that hold both.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
