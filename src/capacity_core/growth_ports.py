"""The ports of the history: its aggregates, questions about it, limits, and its end."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Protocol

from capacity_core.growth_reads import (
    AggregateQuestion,
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    SeriesDay,
    Slice,
)
from capacity_core.periods import Period
from capacity_core.reads import AggregateLevel, OldRows


class CapacityAggregator(Protocol):
    """The aggregates that a sync refreshes. Each call is a savepoint of its own.

    If one raises, its writes are undone and the unit of work goes on unharmed. Every call may be
    repeated: what says the same stays unwritten.
    """

    def calculate_daily_database_aggregations_for_instance(
        self, instance_id: int, day: date
    ) -> None: ...

    def calculate_daily_aggregations_for_instance(self, instance_id: int, day: date) -> None: ...


class PeriodAggregator(CapacityAggregator, Protocol):
    """The aggregates of every period, by the formulas of `rollup`; savepoints likewise."""

    def aggregate_databases(self, period: Period, instance_id: int | None = None) -> None:
        """Aggregate each database with a size in the period, of one instance or of all.

        All are those that are active and not removed. Nobody syncs an instance from when its day
        is aggregated until this unit of work ends: it would be told what was.
        """
        ...

    def aggregate_instances(self, period: Period, instance_id: int | None = None) -> None:
        """Aggregate the totals of one instance or of all that are active and not removed.

        Weeks, months and quarters expect the databases' aggregates of the same period, which
        tell of breaks.
        """
        ...

    def aggregated(
        self, level: AggregateLevel, period: Period, instance_id: int | None = None
    ) -> Mapping[int, int]:
        """Count the kept aggregates of the period by the id of their instance."""
        ...

    def days_against(self, day: date, instance_id: int | None = None) -> Sequence[date]:
        """Find the later days with an aggregate that compares with that day, or one before it.

        Days with one that compares with nothing are among them, oldest first.
        """
        ...


class GrowthReads(Protocol):
    """Questions about the history; each is answered without a lasting transaction."""

    def database_growth(self, question: AggregateQuestion) -> Slice[DatabaseGrowth]: ...

    def instance_growth(self, question: AggregateQuestion) -> Slice[InstanceGrowth]:
        """Likewise for instances; a database name is not asked for."""
        ...

    def database_summary(self, question: AggregateQuestion) -> GrowthSummary: ...

    def instance_summary(self, question: AggregateQuestion) -> GrowthSummary: ...


class SeriesReads(Protocol):
    """What a forecast is made of; each question is answered without a lasting transaction."""

    def database_series(
        self, instance_id: int, since: date, names: Collection[str]
    ) -> Mapping[str, Sequence[SeriesDay]]:
        """The known sizes of these databases, as far as they are active, oldest first.

        A database without any is left out. Name some hundred at most: histories are long.
        """
        ...

    def instance_series(self, instance_id: int, since: date) -> Sequence[SeriesDay]:
        """The totals, measured and carried, oldest first; see `totals_of`."""
        ...

    def engine_ceilings(self, instance_id: int) -> Mapping[str, int]:
        """The ceiling (bytes) that the latest known size of each active database came with."""
        ...


class Limits(Protocol):
    """How large databases may become, as users say (bytes); no name: the whole instance."""

    def set(self, instance_id: int, database_name: str | None, limit_bytes: int) -> None: ...

    def remove(self, instance_id: int, database_name: str | None) -> None:
        """Raises NotFoundError."""
        ...

    def all(self, instance_id: int) -> Mapping[str | None, int]: ...


class Retention(Protocol):
    """The end of days that are too old; their aggregates stay.

    Of each database the last known size before a day is kept, and of each instance the last total:
    they are what is carried, and what the first of the later days compares with.
    """

    def prunable(self, before: date) -> Mapping[int, OldRows]:
        """Count what there is to delete, by the id of its instance, removed ones too."""
        ...

    def oldest_day(self) -> date | None:
        """The first day with a row of any instance."""
        ...

    def delete_batch(self, instance_id: int, before: date, most: int) -> OldRows:
        """Delete at most so many rows of each kind, the oldest first; returns how many.

        From then on `pruned_before` says at least that day.
        """
        ...

    def pruned_before(self) -> date | None:
        """The day before which days are incomplete."""
        ...

    def hold(self) -> date | None:
        """Likewise; it stays until this unit of work ends, and one holds it at a time."""
        ...
