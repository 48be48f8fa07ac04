"""A direction on the command line."""

import click


class Directions(click.Choice[str]):
    """A2B or B2A, and others where a command has them; AtoB is what pytorch-CycleGAN-and-pix2pix calls A2B."""

    def __init__(self, *others: str):
        super().__init__(["A2B", "B2A", *others])

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return our name of a direction; fail for anything else."""
        return super().convert({"AtoB": "A2B", "BtoA": "B2A"}.get(value, value), param, ctx)
