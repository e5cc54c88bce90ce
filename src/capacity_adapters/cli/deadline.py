"""How long a conversation with an instance may take, as an option of a command."""

from collections.abc import Callable
from math import isfinite

import click

from capacity_adapters.settings import MAX_SECONDS

Command = Callable[..., object]


def deadline_option(command: Command) -> Command:
    return click.option(
        "--deadline",
        type=float,
        callback=_checked,
        metavar="SECONDS",
        help="The longest the whole may take (CAPACITY_SYNC_DEADLINE).",
    )(command)


def _checked(
    _context: click.Context, _option: click.Parameter, value: float | None
) -> float | None:
    if value is not None and not (isfinite(value) and 0 < value <= MAX_SECONDS):
        raise click.BadParameter(f"more than 0 and at most {MAX_SECONDS} seconds")
    return value
