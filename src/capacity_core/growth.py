"""The door to growth: what lists, summaries and recomputations come in through."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from attrs import frozen

from capacity_core.aggregation import AggregationService, Outcomes, Recomputation, summed_up
from capacity_core.errors import InvalidInputError
from capacity_core.growth_reads import (
    AggregateQuestion,
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    Slice,
)
from capacity_core.messages import text
from capacity_core.periods import Period, PeriodType, last_complete, period_of, periods_between
from capacity_core.ports import Begin, Clock

EARLIEST_DAY: Final = date(1970, 1, 1)
MAX_DAYS: Final = 3_700
LONGEST: Final = timedelta(days=MAX_DAYS - 1)
WORK_SECONDS: Final = 1.0


def _nothing() -> None:
    pass


@frozen
class CapacityGrowth:
    """Answers questions about the history, and recomputes it; it commits, its parts never do."""

    begin: Begin
    now: Clock
    timezone: str
    pause: Callable[[], None] = _nothing
    work_seconds: float = WORK_SECONDS

    @property
    def today(self) -> date:
        """The business day of the service's own time zone."""
        return self.now().astimezone(ZoneInfo(self.timezone)).date()

    def database_growth(self, question: AggregateQuestion) -> Slice[DatabaseGrowth]:
        with self.begin() as work:
            return work.growth.database_growth(question)

    def instance_growth(self, question: AggregateQuestion) -> Slice[InstanceGrowth]:
        with self.begin() as work:
            return work.growth.instance_growth(question)

    def database_summary(self, question: AggregateQuestion) -> GrowthSummary:
        with self.begin() as work:
            return work.growth.database_summary(question)

    def instance_summary(self, question: AggregateQuestion) -> GrowthSummary:
        with self.begin() as work:
            return work.growth.instance_summary(question)

    def aggregate(
        self,
        first: date | None = None,
        last: date | None = None,
        kinds: Collection[PeriodType] = tuple(PeriodType),
        instance_id: int | None = None,
    ) -> Recomputation:
        """Recompute the periods that hold a day of first ... last, of one instance or of all.

        This is how late and corrected days arrive in the weeks, months and quarters around them:
        name their range. What compares with these periods is recomputed after them: the one that
        follows, and each later day that compares with a day of the range. Days after today are
        left out. `last` is today unless said, `first` the start of each kind's last period that
        was complete then. Every period is a transaction of its own, the oldest first; in
        between `pause` is called every second. Raises InvalidInputError, NotFoundError.
        """
        today = self.today
        last = today if last is None else last
        if first is not None and first > today:
            said = text("field.date_future", first=first, today=today)
            raise InvalidInputError("start_date", said)
        _check_range(last if first is None else first, last)
        end = min(last, today)
        periods = (
            period
            for kind in PeriodType
            if kind in kinds
            for period in self._periods(
                kind, first or last_complete(kind, end).start, end, instance_id
            )
        )
        return summed_up(
            outcome
            for period in self._paused(periods)
            for outcome in self._aggregate(period, today, instance_id)
        )

    def aggregate_completed(self, since: date) -> Sequence[Recomputation]:
        """Recompute the weeks, months and quarters that ended on that day or later, of all."""
        ended = [last_complete(kind, self.today) for kind in PeriodType]
        return [
            self.aggregate(max(since, period.end - LONGEST), period.end, (period.type,))
            for period in ended
            if period.type is not PeriodType.DAILY and period.end >= since
        ]

    def _paused(self, periods: Iterable[Period]) -> Iterator[Period]:
        begun = self.now()
        for period in periods:
            yield period
            if (self.now() - begun).total_seconds() >= self.work_seconds:
                self.pause()
                begun = self.now()

    def _periods(
        self, kind: PeriodType, first: date, last: date, instance_id: int | None
    ) -> list[Period]:
        periods = periods_between(kind, first, last)
        later = {periods[-1].following.start}
        if kind is PeriodType.DAILY and last < self.today:
            with self.begin() as work:
                later.update(work.aggregator.days_against(last, instance_id))
        return periods + [period_of(kind, day) for day in sorted(later) if day <= self.today]

    def _aggregate(self, period: Period, today: date, instance_id: int | None) -> Outcomes:
        with self.begin() as work:
            service = AggregationService(
                work.aggregator, work.instances, today, work.retention.hold()
            )
            outcomes = service.calculate_period(period, instance_id)
            work.commit()
        return outcomes


def _check_range(first: date, last: date) -> None:
    for name, day in (("start_date", first), ("end_date", last)):
        if day < EARLIEST_DAY:
            raise InvalidInputError(name, text("field.date_from", day=day, least=EARLIEST_DAY))
    if first > last:
        raise InvalidInputError("end_date", text("field.date_order", first=first, last=last))
    if (last - first).days >= MAX_DAYS:
        raise InvalidInputError("start_date", text("field.date_range", most=MAX_DAYS))
