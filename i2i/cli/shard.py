"""`i2i shard`."""

from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.words import show_count


@click.command(
    short_help="Pack the pictures of a data folder into tar shards.",
    epilog="""\b
Examples:
  i2i shard datasets/maps -o shards
  i2i train pix2pix --data shards --out runs/maps
  i2i shard photos/A photos/B -o shards --mb 1000
""",
)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option("-o", "--output", type=options.OutputPath(), required=True, help="Folder of the archives.")
@click.option(
    "--mb", type=click.IntRange(min=1), default=500, show_default=True, help="Size of an archive, in millions of bytes."
)
@click.option(
    "--columns",
    type=options.NameList(),
    default=(),
    help="Of parquet files: the column of A's pictures and that of B's, or one.  [default: those of pictures]",
)
@options.overwrite
def shard(data: tuple[str, ...], output: Path, mb: int, columns: tuple[str, ...], overwrite: bool) -> None:
    """Pack the pictures of DATA, a folder or A's and B's, into tar archives that trainings read as they are.

    DATA may be parquet files, or a folder of them, with pictures in one column or two.

    A million small files are slow to list, copy and read over a network; a few hundred archives are not. They are in
    the layout of webdataset: 0001.a.png and 0001.b.png are a pair.
    """
    with status.shown():
        from i2i.config.settings import DataSettings
        from i2i.data.folders import refuse_missing
        from i2i.data.sharding import make_shards
        from i2i.images.parquet import parquet_files

        if not parquet_files(data):
            refuse_missing(DataSettings(path=data))
        with status.doing("Writing archives"):
            made = make_shards(data, output, mb * 1_000_000, overwrite, status.count, columns)
    click.echo(f"Wrote {show_count(len(made), 'archive')} to {output}.")
