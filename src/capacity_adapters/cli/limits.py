"""`capacity limit`: how large databases may become, as their users say."""

import re
from fractions import Fraction
from typing import Final

import click

from capacity_adapters.cli.forecast import WHOLE, set_one
from capacity_adapters.cli.output import UNITS, Report, Table, done, human_size, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import instance_for

_BYTES: Final = {
    "": 1,
    "b": 1,
    **{unit.lower(): 1024**power for power, unit in enumerate(UNITS, 1)},
    **{f"{unit}b": 1000**power for power, unit in enumerate("kmgtpe", 1)},
}
_SIZE: Final = re.compile(r"(?P<number>\d{1,20}(?:\.\d{1,20})?) ?(?P<unit>[a-z]*)", re.ASCII)


@click.group("limit")
def limit() -> None:
    """Set ceilings for forecasts; TARGET is a name, an id or a URL.

    Without a DATABASE a limit is for all of the instance. Where an engine tells a ceiling, too,
    the nearer one counts.
    """


@limit.command("set")
@click.argument("target")
@click.argument("given", nargs=-1, required=True, metavar="[DATABASE] SIZE")
@with_session
def set_limit(session: Session, *, target: str, given: tuple[str, ...]) -> Report:
    """Say how large it may become: bytes, or a SIZE such as 500GiB or 1.5TB."""
    if len(given) > 2:  # noqa: PLR2004 -- what the metavar says
        raise click.UsageError("Give a SIZE, or a DATABASE and its SIZE.")
    database, size = (None, *given)[-2:]
    limit_bytes = parsed_size(size or "")
    with session.application() as application:
        instance = instance_for(application, target)
        is_there = application.forecasts.set_limit(instance.id, database, limit_bytes)
    data = {"instance": instance.name, "database_name": database, "limit_bytes": limit_bytes}
    gone = "" if is_there else "; it was dropped or is left out, so nothing is forecast"
    return done(data, f"{_whose(database)} may become {human_size(limit_bytes)}{gone}")


@limit.command("list")
@click.argument("target")
@with_session
def list_limits(session: Session, *, target: str) -> Report:
    """List the limits of an instance and of its databases."""
    with session.application() as application:
        instance = instance_for(application, target)
        found = application.forecasts.limits(instance.id)
    if not found:
        return done(
            {"instance": instance.name, "limits": []}, f"No limit is set; {set_one(instance)}"
        )
    limits = [{"database_name": name, "limit_bytes": size} for name, size in found.items()]
    rows = [(_whose(name), human_size(size), str(size)) for name, size in found.items()]
    table = Table(("DATABASE", "LIMIT", "BYTES"), rows, frozenset({"LIMIT", "BYTES"}))
    return done({"instance": instance.name, "limits": limits}, table)


@limit.command("remove")
@click.argument("target")
@click.argument("database", required=False)
@with_session
def remove_limit(session: Session, *, target: str, database: str | None) -> Report:
    """Take a limit away."""
    with session.application() as application:
        instance = instance_for(application, target)
        application.forecasts.remove_limit(instance.id, database)
    data = {"instance": instance.name, "database_name": database}
    return done(data, f"{_whose(database)} has no limit any more")


def parsed_size(said: str) -> int:
    """Read bytes, or a number and a unit; a fraction of a byte is dropped. Raises BadParameter."""
    found = _SIZE.fullmatch(said.strip().lower())
    unit = _BYTES.get(found["unit"]) if found else None
    if found is None or unit is None:
        raise click.BadParameter(f"{said!r} is no size such as 500GiB, 1.5TB or 1000000")
    return int(Fraction(found["number"]) * unit)


def _whose(database: str | None) -> str:
    return WHOLE if database is None else shown(database)
