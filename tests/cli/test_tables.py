"""Tables on stdout: no figure is cut off, neither in a file nor on a narrow terminal."""

import re

import pytest
from rich.table import Table

from i2i.cli.tables import print_table

ENDS = [f"{place}.423–{place}.446" for place in range(7)]


def wide_table():
    table = Table()
    for name in ("", *ENDS):
        table.add_column(name.replace(".", "x"), justify="right")
    table.add_row("  95%", *ENDS)
    return table


def test_a_table_in_a_file_has_a_line_a_row(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(wide_table())
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "95%" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["95%", *ENDS]


@pytest.mark.parametrize("columns", ["80", "50"])
def test_a_narrow_terminal_breaks_figures_and_keeps_every_digit(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    print_table(wide_table())
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= int(columns)
    parts = [line.strip("│\n").split("│") for line in said.splitlines() if line.startswith("│")]
    assert ["".join(cells).replace(" ", "") for cells in zip(*parts, strict=True)] == ["95%", *ENDS]
