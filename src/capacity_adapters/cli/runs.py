"""`capacity run`: collections of many instances, how they went, and what to do again."""

import click

from capacity_adapters.cli.output import Report
from capacity_adapters.cli.session import Session, with_session

# As ItemStatus says it, which `capacity --help` does without.
STATUSES = ("pending", "running", "completed", "failed", "cancelled", "skipped")
MOST_WORKERS = 256
MOST_LINES = 200

concurrency_option = click.option(
    "--concurrency",
    type=click.IntRange(1, MOST_WORKERS),
    metavar="N",
    help="So many syncs at once (CAPACITY_FLEET_WORKERS).",
)


@click.group("run")
def run() -> None:
    """Show, cancel and retry runs, the collections of `sync --all` and of schedules."""


@run.command("list")
@click.option("--limit", type=click.IntRange(1, MOST_LINES), default=20, show_default=True)
@with_session
def list_runs(session: Session, *, limit: int) -> Report:
    """List the runs, the newest first."""
    from capacity_adapters.cli.run_reports import listed  # noqa: PLC0415 -- --help needs none

    with session.application() as application:
        return listed(application.fleet, limit)


@run.command("show")
@click.argument("run_id", type=click.IntRange(1), metavar="ID")
@click.option("--status", type=click.Choice(STATUSES), help="Instances that ended so, only.")
@click.option("--page", type=click.IntRange(1), default=1, help="Which 200 instances.")
@click.option("--all", "all_wanted", is_flag=True, help="Every instance, on no pages.")
@with_session
def show(
    session: Session, *, run_id: int, status: str | None, page: int, all_wanted: bool
) -> Report:
    """Show a run: how far it is, its instances, and why some failed."""
    from capacity_adapters.cli.run_reports import detailed  # noqa: PLC0415 -- likewise

    with session.application() as application:
        return detailed(application.fleet, run_id, status, None if all_wanted else page)


@run.command("cancel")
@click.argument("run_id", type=click.IntRange(1), metavar="ID")
@with_session
def cancel(session: Session, *, run_id: int) -> Report:
    """Cancel what is pending; syncs that are running finish, and keep what they measured."""
    from capacity_adapters.cli.run_reports import cancelled  # noqa: PLC0415 -- likewise

    with session.application() as application:
        return cancelled(application.fleet.cancel(run_id))


@run.command("retry")
@click.argument("run_id", type=click.IntRange(1), metavar="ID")
@concurrency_option
@with_session
def retry(session: Session, *, run_id: int, concurrency: int | None) -> Report:
    """Take up what failed, was cancelled or skipped, and drive the run to its end.

    So, too, for a run that was left in its midst. Exit status as of `sync --all`.
    """
    from capacity_adapters.cli.driving import retried  # noqa: PLC0415 -- likewise

    return retried(session, run_id, concurrency)
