"""`i2i import`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.directions import Directions
from i2i.errors import one_line

if TYPE_CHECKING:
    from i2i.interop.importing import Imported

_STATISTICS = {
    "image": "each picture's own statistics, as that project's test.py; its --eval is --norm-statistics running",
    "running": "the statistics of training, as that project's test.py --eval",
}


@click.command(
    "import",
    short_help="Convert weights of another project to a model file.",
    epilog="""\b
Examples:
  i2i import latest_net_G.pth -o facades.safetensors
  i2i import latest_net_G.pth -o facades.safetensors --direction B2A --norm-statistics running
  i2i import latest_net_G_A.pth latest_net_G_B.pth -o zebras.safetensors
""",
)
@click.argument("weights", metavar="WEIGHTS...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=options.OutputPath(), help="The .safetensors file to write.")
@click.option(
    "--direction",
    type=Directions(),
    help="Direction of a single file.  [default: as its name and train_opt.txt say, otherwise A2B]",
)
@click.option(
    "--norm-statistics",
    type=click.Choice(["image", "running"]),
    default="image",
    show_default=True,
    help="What batch norm uses: image, as that project's test.py does; running, as its --eval.",
)
@options.overwrite
@json_output.flag
def import_(
    weights: tuple[Path, ...], output: Path, direction: str | None, norm_statistics: str, overwrite: bool, as_json: bool
) -> None:
    """Convert weights of pytorch-CycleGAN-and-pix2pix or contrastive-unpaired-translation to a model file.

    The network is recognised from the tensors, in a torch or .safetensors file. Two files, G_A and G_B, become one
    model with both directions: their names decide which is which, otherwise their order.
    """
    from i2i.files import check_output
    from i2i.models.mistaken import kind_of
    from i2i.models.modelfile import save_tensors

    check_output(output, overwrite, ".safetensors")
    for file in weights:  # refused before torch is loaded
        kind_of(file)
    with status.shown():
        with status.loading_torch():
            from i2i.interop.importing import import_weights
        model = import_weights(weights, direction, norm_statistics)  # type: ignore[arg-type]
    save_tensors(output, model.spec, model.tensors)
    if as_json:
        parts = {way: {"from": model.origins[way], "network": words} for way, words in model.words.items()}
        trained = {"trained_side_px": model.spec.trained_side_px, "norm_statistics": norm_statistics}
        json_output.print_json("import", {"output": str(output), "parts": parts, **trained, "notes": model.notes})
    else:
        _tell(model, norm_statistics)


def _tell(model: "Imported", norm_statistics: str) -> None:
    """Print what was recognised."""
    for way, one in model.spec.generators.items():
        words = f"{model.words[way]}, {one.in_meaning} to {one.out_meaning}"
        click.echo(f"{way} from {one_line(model.origins[way])}: {words}")
    for note in model.notes:
        click.echo(f"Note: {one_line(note)}", err=True)
    if any(one.arguments["norm"] == "batch" for one in model.spec.generators.values()):
        click.echo(f"Batch norm uses {_STATISTICS[norm_statistics]}.")
    side = model.spec.trained_side_px
    click.echo(
        f"Trained on pictures of {side} px." if side else "Trained at an unknown size: train_opt.txt is missing."
    )
