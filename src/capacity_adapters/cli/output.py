"""What commands say: one value, printed as JSON for programs or as text for people."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import compress
from typing import TextIO
from uuid import uuid4

import click
from attrs import evolve, frozen

from capacity_core.answer import Asked, as_json, success
from capacity_core.messages import Language, text
from capacity_core.reads import MAX_LIMIT, Page, Paging, Row

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
UNKNOWN = "-"
GAP = "  "


@frozen
class Table:
    """Cells by row; the columns named in `right` are numbers.

    On a terminal that is too narrow for all, those in `spare` are left out, one by one, and neither
    numbers nor the columns named in `whole` are broken.
    """

    headers: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset({"SIZE"})
    whole: frozenset[str] = frozenset()
    spare: tuple[str, ...] = ()


@frozen
class Csv:
    """Cells by row, the first of them headers, as they are: for programs."""

    rows: Sequence[Sequence[str]]


Block = str | Table | Csv


@frozen
class Report:
    """What a command has to say: `document` for programs, `blocks` for people.

    People find what failed on stderr; programs find it in the document, on stdout.
    """

    document: object
    blocks: tuple[Block, ...]
    exit_code: int = 0


def asked_now() -> Asked:
    """The command line speaks English, and each call is a request of its own."""
    return Asked(Language.EN, uuid4().hex, datetime.now(UTC))


def done(data: Mapping[str, object], *blocks: Block) -> Report:
    """Report a success, in the envelope that HTTP uses."""
    return Report(success(text("done"), data, asked_now()), blocks)


def say(report: Report, *, json_wanted: bool) -> None:
    """Print the report: exactly one JSON document on stdout, or text, a line for each block."""
    if json_wanted:
        # ASCII only: no locale and no pipe can spoil a name.
        click.echo(json.dumps(as_json(report.document), indent=2), file=sys.stdout)
        return
    out = sys.stderr if report.exit_code else sys.stdout
    for block in report.blocks:
        if isinstance(block, str):
            click.echo(plain(block), file=out)
        elif isinstance(block, Csv):
            _write_csv(block, out)
        elif out.isatty():
            _print_rich(block, stderr=out is sys.stderr)
        else:
            click.echo("\n".join(_plain_lines(block)), file=out)


def note(message: str) -> None:
    """Tell people something aside, on stderr."""
    click.echo(message, file=sys.stderr)


@contextmanager
def progress(what: str, *, json_wanted: bool) -> Iterator[None]:
    """Show that work goes on: a spinner on a terminal, one line in a pipe."""
    if json_wanted:
        yield
    elif sys.stdout.isatty() and sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415 -- slow to import, and for terminals only
        from rich.text import Text  # noqa: PLC0415 -- likewise

        with Console(stderr=True).status(Text(what)):
            yield
    else:
        note(what)
        yield


def every(page_of: Callable[[Paging], Page[Row]]) -> list[Row]:
    """Read all pages."""
    rows: list[Row] = []
    while True:
        page = page_of(Paging(len(rows) // MAX_LIMIT + 1, MAX_LIMIT))
        rows += page.rows
        if len(page.rows) < MAX_LIMIT:
            return rows


def human_size(size: int | None, digits: int = 1) -> str:
    """Say bytes as a person reads them; no size is `-`, never 0."""
    if size is None:
        return UNKNOWN
    if size < 1024:  # noqa: PLR2004 -- the unit itself
        return f"{size} B"
    value = float(size)
    for unit in UNITS:
        value /= 1024
        if round(value, digits) < 1024 or unit == UNITS[-1]:  # noqa: PLR2004 -- likewise
            break
    return f"{value:.{digits}f} {unit}"


def databases(count: int) -> str:
    return f"{count} database" if count == 1 else f"{count} databases"


def shown(name: str) -> str:
    """Quote a name that would not show as it is: blanks at its ends, control characters."""
    return name if name.isprintable() and name == name.strip() and name else repr(name)


def plain(message: str) -> str:
    """Escape what would draw on the terminal or begin a line: a cure has names of a server's."""
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in message)


def _write_csv(block: Csv, out: TextIO) -> None:
    import csv  # noqa: PLC0415 -- for few

    shows = plain if out.isatty() else str
    rows = ([shows(cell) for cell in row] for row in block.rows)
    csv.writer(out, lineterminator="\n").writerows(rows)


def fitting(table: Table, width: int) -> Table:
    """Leave out spare columns, and no more of them than are too many for that width."""
    for spare in table.spare:
        if sum(_widths(table)) + len(GAP) * (len(table.headers) - 1) <= width:
            break
        kept = [header != spare for header in table.headers]
        headers, *rows = (tuple(compress(line, kept)) for line in (table.headers, *table.rows))
        table = evolve(table, headers=headers, rows=rows)
    return table


def _widths(table: Table) -> list[int]:
    lines = [table.headers, *([plain(cell) for cell in row] for row in table.rows)]
    return [max(map(_width, column)) for column in zip(*lines, strict=True)]


def _plain_lines(table: Table) -> Iterator[str]:
    lines = [table.headers, *([plain(cell) for cell in row] for row in table.rows)]
    widths = _widths(table)
    for line in lines:
        cells = zip(table.headers, line, widths, strict=True)
        padded = (_padded(cell, width, right=h in table.right) for h, cell, width in cells)
        yield GAP.join(padded).rstrip()


def _padded(cell: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if right else cell + blanks


def _width(cell: str) -> int:
    """Count columns on a terminal: wide characters take two, combining ones none."""
    if cell.isascii():
        return len(cell)
    import unicodedata  # noqa: PLC0415 -- a megabyte of tables, for few

    wide = sum(unicodedata.east_asian_width(char) in {"W", "F"} for char in cell)
    return len(cell) + wide - sum(map(bool, map(unicodedata.combining, cell)))


def _print_rich(table: Table, *, stderr: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 -- slow to import, and for terminals only
    from rich.table import Table as RichTable  # noqa: PLC0415 -- likewise
    from rich.text import Text  # noqa: PLC0415 -- likewise

    console = Console(stderr=stderr)
    table = fitting(table, console.width)
    drawn = RichTable(box=None, pad_edge=False)
    for header in table.headers:
        drawn.add_column(
            header,
            justify="right" if header in table.right else "left",
            overflow="fold",
            min_width=len(header),
            no_wrap=header in table.right | table.whole,
            header_style="bold",
        )
    for row in table.rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))  # as Text: a name is no markup
    console.print(drawn)
