"""Write docs/cli.md from the help of the commands; with --check, only compare it."""

import sys
from pathlib import Path

import click

from i2i.cli import cli

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"


def reference() -> str:
    """Return the page."""
    parts = ["# Command line\n\nWritten by `tools/cli_reference.py` from `i2i COMMAND --help`.\n"]
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"i2i {name}", max_content_width=100, terminal_width=100)
        parts.append(f"## i2i {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write the page, or compare it and exit with 1 if it is out of date."""
    if "--check" not in sys.argv:
        TARGET.write_text(reference(), encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != reference():
        sys.exit("docs/cli.md is out of date. Run tools/check --fix.")


if __name__ == "__main__":
    main()
