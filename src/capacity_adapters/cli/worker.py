"""`capacity worker`: collect the runs of a store, on this machine, beside any number of others."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import NoReturn

import click

from capacity_adapters.cli.output import done, say
from capacity_adapters.cli.serve import configure_logging
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.settings import SCHEDULE

FLEET_WORKERS = "CAPACITY_FLEET_WORKERS"


@click.command("worker")
@click.option(
    "--queue",
    "zones",
    metavar="ZONE",
    multiple=True,
    help="Collect instances of this network zone only; may be repeated.",
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
    settings = session.settings({SCHEDULE: schedule, FLEET_WORKERS: workers})
    configure_logging()
    with _until_a_signal() as signalled, session.application(settings) as application:
        collectors = build_collectors(settings, application)
        clock = build_schedule(settings, application, lambda _run: collectors.wake())
        collectors.start(zones)
        if clock is not None:
            clock.start()
        told = f"Collecting {', '.join(zones) or 'all zones'}; {settings.queue} queue"
        shown = {"zones": list(zones), "concurrency": settings.fleet_workers}
        say(done({**shown, "queue": settings.queue}, told), json_wanted=session.json_wanted)
        signalled.wait()
        if clock is not None:
            clock.stop()
        collectors.stop()
    context.exit(0)


@contextmanager
def _until_a_signal() -> Iterator[Event]:
    signalled, numbers = Event(), (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]

    def restore() -> None:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    def on_signal(*_: object) -> None:
        restore()
        signalled.set()

    for number in numbers:
        signal.signal(number, on_signal)
    try:
        yield signalled
    finally:
        restore()
