"""`capacity instance import`: many instances from one file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capacity_adapters.cli.output import Block, Report, Table, asked_now, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.settings import read_at_most, read_regular
from capacity_core.messages import Language, render

if TYPE_CHECKING:
    from capacity_core.importing import ImportResult

MAX_FILE_BYTES = 64 << 20


@click.command("import")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Check the file, and keep nothing.")
@with_session
def import_instances(session: Session, *, file: str, dry_run: bool) -> Report:
    """Register the instances of a CSV file, all of them or none; - is stdin.

    Its first line names the columns: name and db_type, and whatever else there is to say. What is
    registered already, as the file says, stays as it is.
    """
    from capacity_core.importing import import_answer  # noqa: PLC0415 -- others do without

    raw = _content(file)
    with session.application() as application:
        result = application.importing.instances(raw, dry_run=dry_run)
    envelope = import_answer(result, asked_now()).envelope
    if result.errors:
        return Report(envelope, (*_errors(result), f"error: {envelope.message}"), 1)
    return Report(envelope, (envelope.message,))


def _errors(result: "ImportResult") -> list[Block]:
    rows = [
        (str(error.line), shown(error.field or "-"), render(error.message, Language.EN))
        for error in result.errors
    ]
    blocks: list[Block] = [Table(("LINE", "COLUMN", "PROBLEM"), rows, frozenset({"LINE"}))]
    if result.error_count > len(rows):
        blocks.append(f"... and {result.error_count - len(rows)} more lines")
    return blocks


def _content(file: str) -> bytes:
    try:
        if file == "-":
            return read_at_most(sys.stdin.buffer, MAX_FILE_BYTES)
        return read_regular(Path(file), MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "that is no path"
        raise click.BadParameter(f"{shown(file)}: {why}", param_hint="FILE") from None
