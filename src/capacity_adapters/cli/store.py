"""`capacity store`: the place where sizes are kept, its schema, and what is too old to keep."""

import click

from capacity_adapters.cli.output import UNKNOWN, Report, Table, done, progress
from capacity_adapters.cli.session import Session, with_session

HELD_BACK_NOTE = "No later: the running quarter and the one before are kept, whatever the age."


@click.group("store")
def store() -> None:
    """Look after the store: its schema, and what is too old."""


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
        ("pruned before", str(found.pruned_before or UNKNOWN)),
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


@store.command("prune")
@click.option(
    "--older-than",
    required=True,
    metavar="AGE",
    help="How long days are kept, as 90d, 24mo or 2y.",
)
@click.option("--dry-run", is_flag=True, help="Count what would go, and delete nothing.")
@with_session
def prune(session: Session, *, older_than: str, dry_run: bool) -> Report:
    """Delete the sizes of days that are too old, and old runs; what sizes amount to stays.

    Weeks, months and quarters made of those days are kept first, and never computed anew. The
    last known size of each database before them stays, and so do the running quarter and the one
    before, whatever the age. Other writers get their turn; a command that was stopped is run again.
    """
    with session.application() as application:
        if dry_run:
            pruning = application.retention.plan(older_than)
        else:
            with progress("Pruning ...", json_wanted=session.json_wanted):
                pruning = application.retention.prune(older_than)
    rows = pruning.rows
    verb = "would be" if dry_run else "were"
    said = (
        f"{rows.database_rows} sizes of databases, {rows.instance_rows} totals of instances and "
        f"{rows.runs} runs from before {pruning.before} {verb} deleted"
    )
    data = {
        "before": pruning.before,
        "is_held_back": pruning.is_held_back,
        "dry_run": dry_run,
        "rows": rows,
    }
    return done(data, said, *([HELD_BACK_NOTE] if pruning.is_held_back else []))
