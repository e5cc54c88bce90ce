"""`capacity worker`: collect the runs of a store, on this machine, beside any number of others."""

from threading import Event
from typing import Final, NoReturn

import click

from capacity_adapters.cli.output import done, say
from capacity_adapters.cli.serve import configure_logging
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.signals import until_signal
from capacity_adapters.settings import FLEET_WORKERS, SCHEDULE, ZONES

# The system may tell a signal to another thread, which wakes this one not.
LOOK_SECONDS: Final = 1.0


@click.command("worker")
@click.option(
    "--queue",
    "zones",
    metavar="ZONE",
    multiple=True,
    help="Collect instances of this network zone only; may be repeated (CAPACITY_ZONES).",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    help="So many instances at once (CAPACITY_FLEET_WORKERS).",
)
@click.option(
    "--schedule",
    metavar="CRON",
    help='When to collect all instances, as "0 3 * * *" (CAPACITY_SCHEDULE).',
)
@with_session
@click.pass_context
def worker(
    context: click.Context,
    session: Session,
    *,
    zones: tuple[str, ...],
    concurrency: int | None,
    schedule: str | None,
) -> NoReturn:
    """Collect runs until a signal comes; what runs then is let finish.

    A second signal ends it at once.
    """
    from capacity_adapters.wiring import (  # noqa: PLC0415 -- --help needs none
        build_collectors,
        build_schedule,
    )

    workers = None if concurrency is None else str(concurrency)
    overriding = {SCHEDULE: schedule, FLEET_WORKERS: workers, ZONES: ",".join(zones) or None}
    settings = session.settings(overriding)
    configure_logging()
    signalled = Event()
    with until_signal(signalled.set), session.application(settings) as application:
        collectors = build_collectors(settings, application)
        clock = build_schedule(settings, application, lambda _run: collectors.wake())
        told = f"Collecting {', '.join(settings.zones) or 'all zones'}; {settings.queue} queue"
        shown = {"zones": settings.zones, "concurrency": settings.fleet_workers}
        say(done({**shown, "queue": settings.queue}, told), json_wanted=session.json_wanted)
        try:
            collectors.start()
            if clock is not None:
                clock.start()
            while not signalled.wait(LOOK_SECONDS):
                pass
        finally:
            if clock is not None:
                clock.stop()
            collectors.stop()
    context.exit(0)
