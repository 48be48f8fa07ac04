"""`i2i translate`."""

from pathlib import Path
from typing import Any

import click

from i2i.cli import options
from i2i.errors import SOME_REFUSED


@click.command(
    epilog="""\b
Examples:
  i2i translate photo.jpg -m runs/lineart -o drawing.png
  i2i translate photos -m model.onnx -o drawings
"""
)
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, path_type=Path))
@options.model
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Picture or folder to write.")
@options.direction
@options.device
@options.backend
@click.option("--skip-existing", is_flag=True, help="Leave outputs that exist, do the rest.")
@options.overwrite
@options.pictures
def translate(
    source: Path,
    model: str,
    output: Path,
    direction: str | None,
    device: str,
    backend: str,
    skip_existing: bool,
    overwrite: bool,
    **pictures: Any,
) -> int:
    """Translate a picture, or every picture in a folder and its subfolders.

    Pictures of any size come out at the same size and in the same format, under the same name and in the
    same subfolder, with their alpha and colour profile. A picture that cannot be read is named and the
    others still come out; the exit code is then 3.
    """
    from rich.console import Console
    from rich.progress import Progress

    from i2i.runtime.folder import plan, translate_files
    from i2i.runtime.pictures import PictureOptions
    from i2i.runtime.translator import Translator

    kinds = PictureOptions(**pictures)
    translator = Translator.open(model, direction, device, backend)
    tasks = plan(source, output, translator.generator.out_channels, skip_existing, overwrite, kinds)
    click.echo(
        f"{len(tasks)} pictures, {translator.direction} in {translator.backend.name} on {translator.backend.device}.",
        err=True,
    )
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        whole = bar.add_task("Translating", total=len(tasks))
        result = translate_files(translator, tasks, lambda task: bar.advance(whole), kinds)
    if result.large:
        click.echo(
            f"Note: {result.large[0]} ({len(result.large)} in all) is more than twice as large as the "
            f"{translator.spec.trained_side_px} px that the model was trained at; it may look better reduced.",
            err=True,
        )
    for refused in result.refused:
        click.echo(f"Refused: {refused.reason}", err=True)
    click.echo(f"{len(tasks) - len(result.refused)} of {len(tasks)} pictures written to {output}.", err=True)
    return SOME_REFUSED if result.refused else 0
