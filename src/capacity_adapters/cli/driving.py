"""Drive a run in this process: to its end, or until a signal asks to stop."""

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final

from attrs import evolve

from capacity_adapters.cli.output import Report, note, shown
from capacity_adapters.cli.run_reports import ended, interrupted, progress_line
from capacity_adapters.cli.session import Session
from capacity_adapters.cli.signals import until_signal
from capacity_adapters.queues.embedded import EmbeddedWorkers
from capacity_adapters.wiring import build_workers
from capacity_core.application import CapacityApplication
from capacity_core.errors import StoreError
from capacity_core.runs import Run, RunStatus, Selection

Progress = Callable[[Run], None]

LINE_SECONDS: Final = 5.0


def collect_all(
    session: Session,
    *,
    db_types: tuple[str, ...],
    tags: tuple[str, ...],
    deadline: float | None,
    concurrency: int | None,
) -> Report:
    """Start the run of the selection, or join the one that is running, and drive it."""
    with session.application() as built:
        application = built if deadline is None else evolve(built, sync_deadline=deadline)
        workers = _workers(session, application, concurrency)
        selection = Selection(db_types=db_types, tags=tags)
        run, is_new = application.fleet.start(selection, requested_by=user_name())
        if not (is_new or session.json_wanted):
            note(_joined(run))
        return driven(session, application, workers, run, joined=not is_new)


def retried(session: Session, run_id: int, concurrency: int | None) -> Report:
    """Take up again what did not complete. Raises NotFoundError, ConflictError."""
    with session.application() as application:
        workers = _workers(session, application, concurrency)
        return driven(session, application, workers, application.fleet.retry(run_id))


def _workers(
    session: Session, application: CapacityApplication, concurrency: int | None
) -> EmbeddedWorkers:
    """Raises SettingsError."""
    settings = session.settings()
    if concurrency is not None:
        settings = evolve(settings, fleet_workers=concurrency)
    return build_workers(settings, application)


def driven(
    session: Session,
    application: CapacityApplication,
    workers: EmbeddedWorkers,
    run: Run,
    *,
    joined: bool = False,
) -> Report:
    """Drive the run and tell how it went. Raises StoreError."""
    again = f"capacity run retry {run.id}{' --store ...' if session.store else ''}"
    quiet = session.json_wanted

    def stop() -> None:
        if not quiet:
            most = application.sync_deadline
            note(f"Stopping: running syncs finish, within {most:g} s; once more ends at once.")
        workers.stop()

    began = monotonic()
    try:
        with _progress(run, json_wanted=quiet) as progress, until_signal(stop) as signals:
            run = workers.drive(run.id, progress)
    except StoreError:
        if not quiet:
            note(f"The run stays as it is; go on with: {again}")
        raise
    if signals and run.status is RunStatus.RUNNING:
        return interrupted(application.fleet, run, again, 128 + signals[0], joined=joined)
    return ended(application.fleet, run, again, monotonic() - began, joined=joined)


def user_name() -> str | None:
    with suppress(KeyError):  # a container may run us as a number that nobody has
        return pwd.getpwuid(os.getuid()).pw_name
    return None


def _joined(run: Run) -> str:
    by = f" by {shown(run.requested_by)}" if run.requested_by else ""
    counts = run.counts
    return (
        f"Joining run {run.id} of the same selection, started{by} at "
        f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC: {counts.total - counts.open} of "
        f"{counts.total} are done"
    )


@contextmanager
def _progress(run: Run, *, json_wanted: bool) -> Iterator[Progress]:
    """Show how far the run is: a bar on a terminal, else a line now and then."""
    if json_wanted:
        yield lambda _run: None
    elif sys.stdout.isatty() and sys.stderr.isatty():
        with _bar(run) as progress:
            yield progress
    else:
        note(f"Run {run.id}: {run.counts.open} of {run.counts.total} instances to sync ...")
        yield _lines(run)


def _lines(run: Run) -> Progress:
    began = said_at = monotonic()
    before = run.counts.total - run.counts.open

    def progress(now: Run) -> None:
        nonlocal said_at
        at = monotonic()
        if at - said_at >= LINE_SECONDS:
            said_at = at
            with suppress(OSError):  # a reader that has gone does not end the run
                note(f"Run {now.id}: {progress_line(now.counts, before, at - began)}")

    return progress


@contextmanager
def _bar(run: Run) -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 -- slow to import, and for terminals only
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 -- likewise
    from rich.progress import Progress as RichProgress  # noqa: PLC0415 -- likewise

    began, before = monotonic(), run.counts.total - run.counts.open
    columns = (TextColumn("Run {task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(str(run.id), total=run.counts.total, completed=before, said="starting")

        def progress(now: Run) -> None:
            counts = now.counts
            bar.update(
                task,
                completed=counts.total - counts.open,
                said=progress_line(counts, before, monotonic() - began),
            )

        yield progress
