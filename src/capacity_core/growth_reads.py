"""What lists, summaries and forecasts ask of the history, and their answers, as values."""

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum, auto
from typing import Generic, TypeVar

from attrs import field, frozen

from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.reads import DateRange, Paging
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate

Item = TypeVar("Item")


class Order(StrEnum):
    """Newest period first, else the largest first; unknown comes last, then by id and name."""

    NEWEST = auto()
    SIZE = auto()
    GROWTH = auto()
    PERCENT = auto()


@frozen(kw_only=True)
class AggregateQuestion:
    """Which aggregates: those of instances that are not removed, of periods that overlap `days`.

    `today` is the business day: weeks, months and quarters that it belongs to are not kept, but
    computed for the answer. Nothing named means all of them.
    """

    period_type: PeriodType
    today: date
    days: DateRange = field(factory=DateRange)
    instance_ids: tuple[int, ...] = ()
    db_types: tuple[str, ...] = ()
    database_name: str | None = None
    order: Order = Order.NEWEST
    paging: Paging = field(factory=Paging)
    count: bool = True

    @property
    def running(self) -> Period | None:
        """The period of today, which is not kept before it ends; days are."""
        if self.period_type is PeriodType.DAILY:
            return None
        return period_of(self.period_type, self.today)

    def overlaps(self, period: Period) -> bool:
        start, end = self.days.start or date.min, self.days.end or date.max
        return period.end >= start and period.start <= end


@frozen
class InstanceLabel:
    id: int
    name: str
    db_type: str


@frozen
class DatabaseGrowth:
    """A database over one period. `is_running`: the period's last day has not passed yet."""

    instance: InstanceLabel
    database_name: str
    period: Period
    aggregate: DatabaseAggregate
    is_running: bool = False


@frozen
class InstanceGrowth:
    instance: InstanceLabel
    period: Period
    aggregate: InstanceAggregate
    is_running: bool = False


@frozen
class Slice(Generic[Item]):
    """Some rows; `total` is None where it was not asked for, `has_next` is known all the same."""

    rows: tuple[Item, ...]
    has_next: bool
    total: int | None
    paging: Paging


@frozen
class GrowthSummary:
    """The latest aggregate of every series that a question is about, added up.

    A database that is no longer active is no part of it. `oldest_start` and `newest_start` begin
    the oldest and the newest of the periods added. `total_size_bytes` is the sum of their averages
    in whole bytes, `change_bytes` of the changes that are known, `unknown_changes` how many are
    not.
    """

    series_count: int
    instance_count: int
    total_size_bytes: int
    max_size_bytes: int | None
    change_bytes: int | None
    unknown_changes: int
    oldest_start: date | None = None
    newest_start: date | None = None


@frozen
class SeriesDay:
    """A known size on a business day, and what tells its series from another."""

    day: date
    size_bytes: int
    method: str | None = None
    identity: str | None = None


@frozen
class TotalDay:
    """The total of an instance, measured and carried.

    `is_break` says that a method of one of its databases changed, `is_changed` that one of them is
    new, was made anew, or broke otherwise.
    """

    day: date
    size_bytes: int
    active_count: int
    is_break: bool
    is_changed: bool


def totals_of(days: Iterable[TotalDay]) -> Sequence[SeriesDay]:
    """Make a series of totals: `method` changes at a break, `identity` where databases changed."""
    found: list[SeriesDay] = []
    method = identity = active_count = 0
    for row in days:
        method += row.is_break
        identity += row.is_changed or row.active_count != active_count
        active_count = row.active_count
        found.append(SeriesDay(row.day, row.size_bytes, str(method), str(identity)))
    return found
