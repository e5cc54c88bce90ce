"""The use case: recompute aggregates, so that one instance's failure never aborts the others."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from enum import StrEnum, auto
from functools import partial
from itertools import chain, islice
from types import MappingProxyType
from typing import Final

from attrs import frozen

from capacity_core.growth_ports import PeriodAggregator
from capacity_core.growth_reads import InstanceLabel
from capacity_core.messages import Text, text
from capacity_core.model import Instance
from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.ports import Instances
from capacity_core.reads import MAX_LIMIT, AggregateLevel, Paging

log = logging.getLogger(__name__)

MAX_OUTCOMES: Final = 1_000
_NOTHING_KNOWN: Final = text("aggregation.nothing_known")  # one for the many of a long range


class AggregationStatus(StrEnum):
    COMPLETED = auto()
    SKIPPED = auto()
    FAILED = auto()


@frozen
class AggregationOutcome:
    """What became of one instance's aggregates of one level and period.

    `aggregate_count` are those kept of the period, `reason` says why there are none or why they
    may be out of date.
    """

    instance: InstanceLabel
    level: AggregateLevel
    period: Period
    status: AggregationStatus
    aggregate_count: int
    reason: Text | None


Outcomes = tuple[AggregationOutcome, ...]


@frozen
class Recomputation:
    """How many outcomes there were, and why; the first 1,000, failed ones first, then skipped."""

    counts: Mapping[tuple[PeriodType, AggregationStatus], int]
    reasons: Mapping[tuple[AggregationStatus, Text], int]
    outcomes: Outcomes

    def count(self, status: AggregationStatus) -> int:
        return sum(count for (_, of), count in self.counts.items() if of is status)


def summed_up(outcomes: Iterable[AggregationOutcome]) -> Recomputation:
    """Count as they come: those of a long range of many instances do not fit into memory."""
    counts: Counter[tuple[PeriodType, AggregationStatus]] = Counter()
    reasons: Counter[tuple[AggregationStatus, Text]] = Counter()
    shown: Mapping[AggregationStatus, list[AggregationOutcome]] = {
        status: [] for status in reversed(AggregationStatus)
    }
    for each in outcomes:
        counts[each.period.type, each.status] += 1
        if each.reason is not None:
            reasons[each.status, each.reason] += 1
        if len(shown[each.status]) < MAX_OUTCOMES:
            shown[each.status].append(each)
    failed_first = islice(chain.from_iterable(shown.values()), MAX_OUTCOMES)
    return Recomputation(counts, reasons, tuple(failed_first))


@frozen
class AggregationService:
    """Recomputes aggregates and never commits; it may be repeated as often as one likes.

    All instances are those that are active and not removed; one that is named may be inactive, at
    both levels alike. A week, month or quarter is skipped while it runs: it is computed on read.
    One that needs days before `pruned_before` is skipped, too: what is kept of it knew them all.
    """

    aggregator: PeriodAggregator
    instances: Instances
    today: date
    pruned_before: date | None = None

    def calculate_daily_database_aggregations_for_instance(
        self, instance_id: int, day: date
    ) -> AggregationOutcome:
        return self.calculate_database_aggregations_for_instance(
            instance_id, period_of(PeriodType.DAILY, day)
        )

    def calculate_daily_aggregations_for_instance(
        self, instance_id: int, day: date
    ) -> AggregationOutcome:
        return self.calculate_aggregations_for_instance(
            instance_id, period_of(PeriodType.DAILY, day)
        )

    def calculate_database_aggregations_for_instance(
        self, instance_id: int, period: Period
    ) -> AggregationOutcome:
        """Aggregate each database of the instance. Raises NotFoundError."""
        (outcome,) = self._calculate(AggregateLevel.DATABASE, period, self._wanted(instance_id))
        return outcome

    def calculate_aggregations_for_instance(
        self, instance_id: int, period: Period
    ) -> AggregationOutcome:
        """Aggregate the instance's totals, after its databases. Raises NotFoundError."""
        (outcome,) = self._calculate(AggregateLevel.INSTANCE, period, self._wanted(instance_id))
        return outcome

    def calculate_database_aggregations(self, period: Period) -> Outcomes:
        """Aggregate each database of every instance."""
        return self._calculate(AggregateLevel.DATABASE, period, self._wanted(None))

    def calculate_aggregations(self, period: Period) -> Outcomes:
        """Aggregate the totals of every instance, after their databases."""
        return self._calculate(AggregateLevel.INSTANCE, period, self._wanted(None))

    def calculate_period(self, period: Period, instance_id: int | None = None) -> Outcomes:
        """Aggregate both levels, of one instance or of all. Raises NotFoundError.

        An instance whose databases failed fails too, but for a day: its aggregate would not know
        of breaks.
        """
        wanted = self._wanted(instance_id)
        databases = self._calculate(AggregateLevel.DATABASE, period, wanted)
        failed = {
            outcome.instance.id
            for outcome in databases
            if outcome.status is AggregationStatus.FAILED and period.type is not PeriodType.DAILY
        }
        return databases + self._calculate(AggregateLevel.INSTANCE, period, wanted, failed)

    def _wanted(self, instance_id: int | None) -> "_Wanted":
        if instance_id is None:
            return _Wanted(
                tuple(_label(each) for each in registered(self.instances) if each.is_active)
            )
        return _Wanted((_label(self.instances.get(instance_id)),), instance_id)

    def _calculate(
        self,
        level: AggregateLevel,
        period: Period,
        wanted: "_Wanted",
        baseless: AbstractSet[int] = frozenset(),
    ) -> Outcomes:
        why = self._why_not(period)
        if why is not None:
            return tuple(
                AggregationOutcome(label, level, period, AggregationStatus.SKIPPED, 0, why)
                for label in wanted.instances
            )
        calculate = partial(_CALCULATIONS[level], self.aggregator, period)
        failures = _failures(calculate, wanted, baseless)
        kept = self.aggregator.aggregated(level, period, wanted.alone)
        return tuple(
            AggregationOutcome(
                label, level, period, *_fate(kept.get(label.id, 0), failures.get(label.id))
            )
            for label in wanted.instances
        )

    def _why_not(self, period: Period) -> Text | None:
        if period.type is PeriodType.DAILY:
            first_needed = period.start  # what it compares with is never pruned
        else:
            first_needed = period.previous.start
            if period.is_running(self.today):
                return text("aggregation.running")
        is_whole = self.pruned_before is None or first_needed >= self.pruned_before
        return None if is_whole else text("aggregation.pruned")


@frozen
class _Wanted:
    """The instances to aggregate; `alone` is the id of the one that was named."""

    instances: tuple[InstanceLabel, ...]
    alone: int | None = None


_CALCULATIONS: Final[Mapping[AggregateLevel, Callable[..., None]]] = MappingProxyType(
    {
        AggregateLevel.DATABASE: lambda aggregator, *asked: aggregator.aggregate_databases(*asked),
        AggregateLevel.INSTANCE: lambda aggregator, *asked: aggregator.aggregate_instances(*asked),
    }
)


def registered(instances: Instances) -> Iterator[Instance]:
    """Read all pages of those that are not removed."""
    page = instances.page(Paging(1, MAX_LIMIT))
    yield from page.rows
    for number in range(2, -(-page.total // MAX_LIMIT) + 1):
        yield from instances.page(Paging(number, MAX_LIMIT)).rows


def _label(instance: Instance) -> InstanceLabel:
    return InstanceLabel(instance.id, instance.name, instance.db_type)


def _failures(
    calculate: Callable[[int | None], None], wanted: _Wanted, baseless: AbstractSet[int]
) -> Mapping[int, Text]:
    """Calculate for all at once; where that fails, or may not be, one by one."""
    if wanted.alone is None and not baseless and _succeeds(calculate, None):
        return {}
    ids = [label.id for label in wanted.instances]
    return {
        **{each: text("aggregation.databases_failed") for each in ids if each in baseless},
        **{
            each: text("aggregation.failed")
            for each in ids
            if each not in baseless and not _succeeds(calculate, each)
        },
    }


def _succeeds(calculate: Callable[[int | None], None], instance_id: int | None) -> bool:
    try:
        calculate(instance_id)
    except Exception:  # best effort: whatever one instance meets, the others go on
        whose = "all instances at once" if instance_id is None else f"instance {instance_id}"
        log.warning("aggregating %s failed", whose, exc_info=True)
        return False
    return True


def _fate(kept: int, failure: Text | None) -> tuple[AggregationStatus, int, Text | None]:
    if failure is not None:
        return AggregationStatus.FAILED, kept, failure
    if not kept:
        return AggregationStatus.SKIPPED, 0, _NOTHING_KNOWN
    return AggregationStatus.COMPLETED, kept, None
