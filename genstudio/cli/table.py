"""Tables for people: Rich on a terminal, aligned plain text in a pipe or a file. No work at import."""

import sys
from collections.abc import Mapping, Sequence

Rows = Sequence[Sequence[str]]


def show_table(columns: Sequence[str], rows: Rows) -> None:
    """Rows under headings, on stdout; plain lines are never cut, so that they can be searched."""
    if sys.stdout.isatty():
        _show_rich(columns, rows)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def show_facts(facts: Mapping[str, str]) -> None:
    """One fact per line, names aligned."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        print(f"{name.ljust(width)}  {value}")


def _show_rich(columns: Sequence[str], rows: Rows) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
