"""`capacity store`: the schema of the place where sizes are kept."""

import click

from capacity_adapters.cli.output import Report, Table, done
from capacity_adapters.cli.session import Session, with_session


@click.group("store")
def store() -> None:
    """Look at the store and bring its schema up to date."""


@store.command("status")
@with_session
def status(session: Session) -> Report:
    """Say where the store is, and whether its schema fits this program."""
    from capacity_adapters.store import store_status  # noqa: PLC0415 -- --help needs no store

    found = store_status(session.store_url())
    rows = [
        ("store", found.where),
        ("state", found.state),
        ("version", found.version or "-"),
        ("needed", found.needed),
    ]
    return done({"store": found}, Table(("FIELD", "VALUE"), rows))


@store.command("upgrade")
@with_session
def upgrade(session: Session) -> Report:
    """Create the store, or bring its schema up to date; its data stay."""
    from capacity_adapters.store import (  # noqa: PLC0415 -- --help needs no store
        store_status,
        upgrade_store,
    )

    url = session.store_url()
    upgrade_store(url)
    found = store_status(url)
    return done({"store": found}, f"{found.where} is up to date (version {found.version})")
