"""The schedule: every process looks at the clock; whoever notes a due time first starts its run."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from threading import Event, Thread
from typing import Final
from zoneinfo import ZoneInfo

from attrs import define, field, frozen
from cronsim import CronSim, CronSimError

from capacity_core.application import CapacityApplication
from capacity_core.errors import CapacityError, ConflictError
from capacity_core.messages import Language, render
from capacity_core.runs import Run

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
STOP_SECONDS: Final = 10.0  # a period that is being stored is a transaction, and soon done
FIELDS: Final = 5
SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK_DRIFT: Final = timedelta(hours=1)
PERIODS: Final = "completed periods"  # noted as a schedule is


def checked_cron(expression: str) -> str:
    """Spell a cron expression of five fields in one way.

    Raises ValueError, also for one that is never due.
    """
    fields = expression.upper().split()
    if len(fields) != FIELDS:
        raise ValueError(expression)
    cron = " ".join(fields)
    try:
        next(CronSim(cron, SOME_TIME))
    except (CronSimError, StopIteration) as error:
        raise ValueError(expression) from error
    return cron


def due_since(cron: str, last: datetime, now: datetime) -> datetime | None:
    """Find the latest due time (UTC) after the last that was met; those before it are let go.

    The expression means the time zone of `now`. An hour that the clocks skip is due when they go
    on, and one that they repeat is due once, but for expressions with a * as minute or hour.
    """
    just_after = now.replace(microsecond=now.microsecond or 1)  # a time itself would not count
    latest = next(CronSim(cron, just_after, reverse=True), None)
    due = latest and latest.astimezone(UTC)
    return due if due and last < due <= now else None


@frozen
class _Plan:
    """When this process will meet what is due: not all of them at the same second."""

    last: datetime
    at: datetime


def _nothing(_run: Run) -> None:
    pass


@define
class Schedule:
    """Starts a run of all instances whenever one is due, within `jitter` seconds.

    Any number of processes and machines may look at the same schedule: the store lets one of them
    have a due time. What was missed while none of them ran is caught up once. `on_run` hears of a
    run that was started here; weeks, months and quarters that were completed since the last
    firing are stored beside it.
    """

    application: CapacityApplication
    cron: str = field(converter=checked_cron)
    jitter: float = 0.0
    on_run: Callable[[Run], object] = _nothing
    look_seconds: float = LOOK_SECONDS
    _plan: _Plan | None = field(init=False, default=None)
    _stop: Event = field(init=False, factory=Event)
    _looking: Thread | None = field(init=False, default=None)
    _storing: Thread | None = field(init=False, default=None)

    def start(self) -> None:
        """Look in the background, until `stop`."""
        self._looking = Thread(target=self._run, name="capacity-schedule", daemon=True)
        self._looking.start()

    def stop(self) -> None:
        """Look no more; periods that are being stored are waited for a little."""
        self._stop.set()
        for thread in (self._looking, self._storing):
            if thread is not None:
                thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except CapacityError as error:
                log.warning("the schedule: %s", render(error.message, Language.EN))
            except Exception:  # nobody is above this thread
                log.exception("the schedule")
            self._stop.wait(self.look_seconds)

    def look(self) -> None:
        """Start what is due. Raises StoreError."""
        fleet, now = self.application.fleet, self.application.now()
        last = fleet.last_fired(self.cron)
        if last > now + CLOCK_DRIFT:
            log.warning("the schedule was last met at %s, which is yet to come", last)
        due = due_since(self.cron, last, now.astimezone(ZoneInfo(self.application.timezone)))
        if due is None or now < self._time_for(last, due):
            return
        since = fleet.last_fired(PERIODS, last)
        try:
            started = fleet.fire(self.cron, due)
        except ConflictError:
            log.info("the schedule is due, and there is no active instance")
            return
        if started is None:
            return
        run, is_new = started
        log.info("the schedule has started run %s" if is_new else "run %s is running", run.id)
        self.on_run(run)
        if self._storing is None or not self._storing.is_alive():
            self._storing = Thread(
                target=self._store_periods, args=(since, now), name="capacity-periods", daemon=True
            )
            self._storing.start()

    def _time_for(self, last: datetime, due: datetime) -> datetime:
        if self._plan is None or self._plan.last != last:
            delay = timedelta(seconds=SystemRandom().uniform(0.0, self.jitter))
            self._plan = _Plan(last, due + delay)
        return self._plan.at

    def _store_periods(self, since: datetime, now: datetime) -> None:
        """Store what was completed since this was last done: what failed is done the next time."""
        zone = ZoneInfo(self.application.timezone)
        try:
            done = self.application.growth.aggregate_completed(since.astimezone(zone).date())
            self.application.fleet.meet(PERIODS, now)
        except CapacityError as error:
            log.warning("completed periods: %s", render(error.message, Language.EN))
            return
        log.info("completed periods were stored, of %s kinds", len(done))
