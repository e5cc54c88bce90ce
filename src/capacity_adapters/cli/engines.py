"""`capacity engines`: which engines there are, and what each can tell."""

import click
from attrs import fields

from capacity_adapters.cli.output import UNKNOWN, Report, Table, done, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_core.diagnosis import Capabilities

WORDS = {
    "log_size": "log",
    "used_size": "used",
    "ceiling": "ceiling",
    "system_databases": "system",
    "visibility_proof": "complete",
    "identity": "anew",
}
HEADERS = ("ENGINE", "ALIASES", "PORT", "DRIVER", "TELLS", "SOURCE")
LEGEND = (  # a block is a line
    "TELLS, beside sizes: log, used, ceiling = bytes of the log, in use, at most; system = which",
    "databases are the engine's own; complete = whether the login sees every database; anew =",
    "which database was dropped and made anew",
)


@click.command("engines")
@with_session
def engines(_session: Session) -> Report:
    """List the engines: aliases, port, driver, what each tells, and which are broken."""
    from capacity_adapters.engines.listing import (  # noqa: PLC0415 -- --help needs no engine
        Driver,
        listing,
    )

    def spelled(driver: Driver | None) -> str:
        if driver is None:
            return UNKNOWN
        return f"{driver.package} {driver.version or 'not installed'}"

    found = listing()
    rows = [
        (
            each.db_type,
            ", ".join(each.aliases) or UNKNOWN,
            UNKNOWN if each.default_port is None else str(each.default_port),
            spelled(each.driver),
            _told(each.capabilities),
            each.source,
        )
        for each in found.engines
    ]
    problems = [f"{each.db_type}: {each.problem}" for each in found.engines if each.problem]
    broken = [f"{each.db_type} of {each.source}: {each.problem}" for each in found.broken]
    return done(
        {"engines": found.engines, "broken": found.broken},
        Table(HEADERS, rows, frozenset({"PORT"})),
        *LEGEND,
        *(f"not usable: {shown(said)}" for said in (*problems, *broken)),
    )


def _told(capabilities: Capabilities | None) -> str:
    if capabilities is None:
        return UNKNOWN
    names = (each.name for each in fields(Capabilities))
    return ", ".join(WORDS[name] for name in names if getattr(capabilities, name)) or UNKNOWN
