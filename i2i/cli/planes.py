"""Options of measurements: planes and files that make a picture, TIFFs larger than memory and for the cloud."""

import click

_AXES = ("z", "t", "c", "page")


class PlaceOnAxis(click.ParamType):
    """An axis and a place on it, as in z=3."""

    name = "axis=n"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return both; fail for anything else."""
        if not isinstance(value, str):
            return value
        axis, _, place = value.partition("=")
        if axis not in _AXES or not place.isdecimal() or int(place) < 1:
            self.fail(f"'{value}' is not one of {', '.join(_AXES)} and a number from 1, as in z=3.", param, ctx)
        return axis, int(place)


OPTIONS = [
    click.option("--windows", is_flag=True, help="Read and write large TIFFs in parts, for pictures of any size."),
    click.option("--cog", is_flag=True, help="Write cloud-optimised GeoTIFFs: tiles and overviews."),
    click.option(
        "--plane",
        type=PlaceOnAxis(),
        multiple=True,
        metavar="AXIS=N",
        help="Which plane of a TIFF with several: z=3, t=1, c=2 or page=4; repeat it for further axes.  "
        "[default: as the model was trained]",
    ),
    click.option(
        "--stack",
        metavar="PATTERN",
        help="Files that make up one picture, as '{name}_B*.tif'.  [default: as the model was trained]",
    ),
]
