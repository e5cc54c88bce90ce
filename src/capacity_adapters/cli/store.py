"""`capacity store`: the schema of the place where sizes are kept."""

import click

from capacity_adapters.cli.output import Report
from capacity_adapters.cli.session import Session, with_session


@click.group("store")
def store() -> None:
    """Look at the store and bring its schema up to date."""


@store.command("status")
@with_session
def status(session: Session) -> Report:
    """Say which version the store's schema has, and which one this program needs."""
    from capacity_adapters.store import store_status  # noqa: PLC0415 -- --help needs no store
    from capacity_adapters.wiring import store_url_of  # noqa: PLC0415 -- likewise

    found = store_status(store_url_of(session.settings()))
    raise NotImplementedError(found)


@store.command("upgrade")
@with_session
def upgrade(session: Session) -> Report:
    """Create the store, or bring its schema up to date."""
    from capacity_adapters.store import upgrade_store  # noqa: PLC0415 -- --help needs no store
    from capacity_adapters.wiring import store_url_of  # noqa: PLC0415 -- likewise

    upgrade_store(store_url_of(session.settings()))
    raise NotImplementedError
