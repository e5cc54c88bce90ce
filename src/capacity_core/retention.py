"""The use case: the days that are too old go, what they amount to stays."""

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Final

from attrs import frozen

from capacity_core.aggregation import AggregationStatus, Recomputation, registered
from capacity_core.errors import InvalidInputError, NotAggregatedError
from capacity_core.growth import MAX_DAYS, CapacityGrowth
from capacity_core.messages import text
from capacity_core.periods import PeriodType, last_complete
from capacity_core.ports import Begin
from capacity_core.reads import OldRows

BATCH_ROWS: Final = 10_000
LASTING: Final = (PeriodType.WEEKLY, PeriodType.MONTHLY, PeriodType.QUARTERLY)
ONE_DAY: Final = timedelta(days=1)
_AGE: Final = re.compile(r"([1-9][0-9]{0,4})(d|mo|y)")
_MONTHS: Final = {"mo": 1, "y": 12}


@frozen
class Pruning:
    """The first day that stays whole, and how many rows before it go, or went.

    `is_held_back`: the age reaches further, into the running quarter or the one before.
    """

    before: date
    rows: OldRows
    is_held_back: bool = False


@frozen
class CapacityRetention:
    """Deletes the sizes and totals of old days, and old runs; each batch is a transaction.

    The pause of `growth` is made between them, so that others may write.
    """

    begin: Begin
    growth: CapacityGrowth
    batch_rows: int = BATCH_ROWS

    def plan(self, older_than: str) -> Pruning:
        """Count what `prune` would delete. Raises InvalidInputError."""
        before = first_kept_day(older_than, self.growth.today)
        with self.begin() as work:
            days = work.retention.prunable(before).values()
            runs = OldRows(runs=work.runs.ended_before(_start_of(before)))
        return self._pruning(older_than, before, [*days, runs])

    def pruned_before(self) -> date | None:
        """Find the day before which days were deleted."""
        with self.begin() as work:
            return work.retention.pruned_before()

    def prune(self, older_than: str) -> Pruning:
        """Delete what is older than 24mo, 90d or 2y; one that was killed is run again.

        Weeks, months and quarters that are complete are kept first, if those days are among what
        they are made of or compare with. Raises InvalidInputError, and NotAggregatedError where
        that fails: then nothing was deleted.
        """
        before = first_kept_day(older_than, self.growth.today)
        with self.begin() as work:
            owners = list(work.retention.prunable(before))
        if owners:
            self._aggregate(before)
        batches = (batch for owner in owners for batch in self._batches(owner, before))
        return self._pruning(older_than, before, chain(batches, self._old_runs(before)))

    def _pruning(self, older_than: str, before: date, rows: Iterable[OldRows]) -> Pruning:
        is_held_back = before < _day_of(older_than, self.growth.today)
        return Pruning(before, sum(rows, OldRows()), is_held_back)

    def _aggregate(self, before: date) -> None:
        with self.begin() as work:
            first = work.retention.oldest_day() or before
            pruned = work.retention.pruned_before()
            switched_off = [each.id for each in registered(work.instances) if not each.is_active]
        first = max(first, pruned or first)
        while first < before:
            last = min(first + timedelta(days=MAX_DAYS), before) - ONE_DAY
            for instance_id in (None, *switched_off):
                _check(self.growth.aggregate(first, last, LASTING, instance_id))
            first = last + ONE_DAY

    def _batches(self, owner: int, before: date) -> Iterator[OldRows]:
        full = True
        while full:
            with self.begin() as work:
                batch = work.retention.delete_batch(owner, before, self.batch_rows)
                work.commit()
            yield batch
            full = self.batch_rows in {batch.database_rows, batch.instance_rows}
            self.growth.pause()

    def _old_runs(self, before: date) -> Iterator[OldRows]:
        while True:
            with self.begin() as work:
                if not work.runs.delete_oldest(_start_of(before)):
                    return
                work.commit()
            yield OldRows(runs=1)
            self.growth.pause()


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _check(done: Recomputation) -> None:
    for each in done.outcomes:
        if each.status is AggregationStatus.FAILED:
            kind, start = each.period.type, each.period.start
            said = text("error.not_aggregated", name=each.instance.name, kind=kind, start=start)
            raise NotAggregatedError(said)


def first_kept_day(older_than: str, today: date) -> date:
    """Go back that many days, calendar months or years; but the last complete quarter stays.

    It is what the running one compares with. Raises InvalidInputError.
    """
    wanted = _day_of(older_than, today)
    return min(wanted, last_complete(PeriodType.QUARTERLY, today).start)


def _day_of(older_than: str, today: date) -> date:
    said = _AGE.fullmatch(older_than)
    if said is None:
        raise InvalidInputError("older_than", text("field.age"))
    number, unit = int(said[1]), said[2]
    if unit == "d":
        return today - timedelta(days=number)
    return _months_ago(today, number * _MONTHS[unit])


def _months_ago(today: date, months: int) -> date:
    """Keep the day of the month, or take the last one of a shorter month."""
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    if year < date.min.year:
        return date.min
    return date(year, month + 1, min(today.day, monthrange(year, month + 1)[1]))
