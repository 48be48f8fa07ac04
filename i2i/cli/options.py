"""Options that several commands share."""

from pathlib import Path

import click

TRAINING_DEVICES = ["auto", "cpu", "cuda", "mps"]
DEVICES = [*TRAINING_DEVICES, "tensorrt", "coreml", "openvino"]
BACKENDS = ["auto", "onnx", "torch"]


class SeedList(click.ParamType):
    """Seeds with commas between them, as in 3,17,3."""

    name = "seeds"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the seeds; fail with what a list of seeds is."""
        if not isinstance(value, str):
            return value
        try:
            seeds = tuple(int(word) for word in value.split(","))
        except ValueError:
            seeds = (-1,)
        if min(seeds) < 0:
            self.fail(f"'{value}' is no list of seeds: whole numbers from 0 with commas, as in 3,17,3.", param, ctx)
        return seeds


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
backend = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="What computes; auto: what the model file is for.",
)
latents = click.option(
    "--latents", type=click.Path(path_type=Path), help="Take latents from this .npy file, one a row, in place of seeds."
)
save_latents = click.option(
    "--save-latents", type=click.Path(path_type=Path), help="Write the latents to this .npy file."
)
