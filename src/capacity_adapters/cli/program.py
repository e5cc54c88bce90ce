"""The command `capacity` as a whole: its subcommands, its exit codes, what its errors become."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from capacity_adapters.cli import INTERRUPTED
from capacity_adapters.cli.output import Report, asked_now, note, say
from capacity_core.answer import ERROR_CODES, failure
from capacity_core.errors import CapacityError, InvalidInputError
from capacity_core.messages import Language, Text, render, text

log = logging.getLogger(__name__)

# Which module each command is in: a call imports its own alone.
MODULES: Final = {
    "aggregate": "aggregate",
    "demo": "demo",
    "doctor": "doctor",
    "engines": "engines",
    "forecast": "forecast",
    "grants": "grants",
    "growth": "growth",
    "instance": "instances",
    "limit": "limits",
    "run": "runs",
    "serve": "serve",
    "worker": "worker",
    "sizes": "sizes",
    "store": "store",
    "sync": "sync",
    "token": "tokens",
    "top": "growth",
}


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- likewise
        if cmd_name not in MODULES:
            return None
        module = import_module(f"capacity_adapters.cli.{MODULES[cmd_name]}")
        return getattr(module, cmd_name)  # type: ignore[no-any-return]  # named like its command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="capacity-sync", prog_name="capacity")
def capacity() -> None:
    """Tell how large every database of every instance is."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code: 0, 1 failed, 2 wrong usage, 130 or 143 a signal."""
    given = list(arguments)
    json_wanted = "--json" in given
    _replace_closed_streams()
    handler = logging.StreamHandler()
    handler.addFilter(_is_no_interrupt)
    handler.addFilter(_is_in_no_report)
    logging.basicConfig(level=logging.WARNING, format="log: %(message)s", handlers=[handler])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name must not fail for the locale's sake
            stream.reconfigure(errors="backslashreplace")
    try:
        report = _run(given, json_wanted=json_wanted)
        if isinstance(report, Report):  # --help has said all it has to say
            say(report, json_wanted=json_wanted)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        _discard_output()
        return 0
    except OSError as error:  # a full disk behind `>`
        _discard_output()
        note(f"error: cannot write the output: {error.strerror}")
        return 1
    return report.exit_code if isinstance(report, Report) else report


def _is_in_no_report(record: logging.LogRecord) -> bool:
    """What a sync warns of is in its report, too."""
    return record.name != "capacity_core.sync" or record.levelno > logging.WARNING


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    # A Ctrl-C amid the closing of a connection is raised again, but SQLAlchemy logs it first.
    return not (record.exc_info and record.exc_info[0] is KeyboardInterrupt)


def _replace_closed_streams() -> None:
    # Else a file that we open, the store perhaps, would take the place of stdout.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 -- open until the process ends


def _discard_output() -> None:
    # What is still buffered would fail again when the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(given: list[str], *, json_wanted: bool) -> Report | int:
    """Run the command; every error becomes a report."""
    try:
        return capacity.main(given, prog_name="capacity", standalone_mode=False)  # type: ignore[no-any-return]  # what our commands return
    except click.ClickException as error:
        if not json_wanted:
            error.show()
            return error.exit_code
        said = Text(error.format_message())
        return Report(failure("VALIDATION_ERROR", said, asked_now()), (), error.exit_code)
    except click.Abort:  # Ctrl-C, or the end of the input at a prompt
        return _interruption()
    except CapacityError as error:
        return _refusal(error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 -- the outermost seam: a bug is told, and logged
        return _bug(error)


def _interruption() -> Report:
    document = failure("INTERRUPTED", Text("Interrupted"), asked_now())
    return Report(document, ("interrupted",), INTERRUPTED)


def _bug(error: Exception) -> Report:
    if isinstance(error.__cause__, KeyboardInterrupt):  # Python wraps one amid a class body
        return _interruption()
    document = failure("INTERNAL_ERROR", text("error.internal"), asked_now())
    log.error("internal error %s", document.error_id, exc_info=error)
    return Report(document, (f"error: {document.message} ({document.error_id})",), 1)


def _refusal(error: CapacityError) -> Report:
    codes = (code for kind, (_, code) in ERROR_CODES.items() if isinstance(error, kind))
    extra = {"field": error.field} if isinstance(error, InvalidInputError) else None
    document = failure(next(codes, "INTERNAL_ERROR"), error.message, asked_now(), extra)
    return Report(document, (f"error: {render(error.message, Language.EN)}",), 1)
