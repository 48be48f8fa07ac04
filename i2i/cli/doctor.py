"""`i2i doctor`."""

import click

from i2i import status


@click.command(
    epilog="""\b
Examples:
  i2i doctor
"""
)
def doctor() -> None:
    """Print versions, devices and known traps of this machine, for yourself or for a bug report."""
    with status.shown():
        from i2i.runtime.doctor import examine

        with status.doing("Looking at the machine"):
            facts, traps = examine()
    for name, fact in facts.items():
        click.echo(f"{name + ':':14} {fact}")
    for trap in traps:
        click.echo(f"Trap: {trap}")
    if not traps:
        click.echo("No known trap.")
