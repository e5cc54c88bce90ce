"""What aggregates should say, worked out with fractions; knows nothing of the code under test."""

import calendar
from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from attrs import frozen

MOST: Final = 2**63 - 1024  # larger sums are not kept
DAY: Final = timedelta(days=1)
PARTS: Final = ("size", "data_size", "log_size")
Row = dict[str, object]


@frozen
class Known:
    """A size that is known: whole, data and log."""

    size: int
    data_size: int | None
    log_size: int | None
    method: str
    identity: str | None


Days = Mapping[date, Known]


@frozen
class Total:
    bytes: int
    measured: int
    active: int


@frozen
class Change:
    """The exact change of two averages, and how large they are: doubles cannot do better."""

    exact: Fraction | None = None
    before: Fraction = Fraction(0)
    scale: Fraction = Fraction(0)

    def allows_bytes(self, told: object) -> bool:
        if self.exact is None or not isinstance(told, int):
            return told is None and self.exact is None
        return abs(told - self.exact) <= Fraction(1, 2) + self.scale / 2**50

    def allows_percent(self, told: object) -> bool:
        if self.exact is None or not self.before or not isinstance(told, float):
            return told is None and (self.exact is None or not self.before)
        exact = 100 * self.exact / self.before
        return abs(Fraction(told) - exact) <= 100 * self.scale / self.before / 2**49

    def trends(self) -> set[str]:
        """Name the trend, or both that are possible so near to the line."""
        if self.exact is None or not self.before:
            return {"unknown"}
        percent = 100 * self.exact / self.before
        slack = 100 * self.scale / self.before / 2**49
        return {_trend(percent - slack), _trend(percent), _trend(percent + slack)}


def _trend(percent: Fraction) -> str:
    if percent > 5:
        return "growing"
    return "shrinking" if percent < -5 else "stable"


def bounds(kind: str, day: date) -> tuple[date, date]:
    """Find the first and the last day of the period that holds the day."""
    if kind == "daily":
        return day, day
    if kind == "weekly":
        start = next(day - n * DAY for n in range(7) if (day - n * DAY).isoweekday() == 1)
        return start, start + 6 * DAY
    months = 1 if kind == "monthly" else 3
    first = (day.month - 1) // months * months + 1
    last = first + months - 1
    length = calendar.monthrange(day.year, last)[1]
    return date(day.year, first, 1), date(day.year, last, length)


def spans(kind: str, day: date, known: Mapping[date, object]) -> tuple[list[date], list[date]]:
    """List the known days of the period of that day, and those that it compares with."""
    start, end = bounds(kind, day)
    now = [each for each in sorted(known) if start <= each <= end]
    if kind == "daily":
        return now, sorted(each for each in known if each < start)[-1:]
    first, last = bounds(kind, start - DAY)
    return now, [each for each in sorted(known) if first <= each <= last]


def change_between(now: list[int], before: list[int], *, broken: bool) -> Change:
    if not now or not before or broken:
        return Change()
    average, earlier = Fraction(sum(now), len(now)), Fraction(sum(before), len(before))
    return Change(average - earlier, earlier, average + earlier)


def baseline(kind: str, day: date, before: list[date]) -> date | None:
    if not before:
        return None
    return before[-1] if kind == "daily" else bounds(kind, bounds(kind, day)[0] - DAY)[0]


def database_row(kind: str, day: date, days: Days) -> Row | None:
    """Say what is kept of a database over the period that holds the day."""
    now, before = spans(kind, day, days)
    if not now:
        return None
    both = [days[each] for each in before + now]
    broken = len({each.method for each in both}) > 1
    broken = broken or len({each.identity for each in both if each.identity is not None}) > 1
    row: Row = {"is_break": broken, "baseline_date": baseline(kind, day, before)}
    for part in PARTS:
        sizes, earlier = ([_part(days[each], part) for each in some] for some in (now, before))
        known = [size for size in sizes if size is not None]
        if kind != "daily" and sum(known) > MOST:
            return None
        change = change_between(
            known, [size for size in earlier if size is not None], broken=broken
        )
        row |= {
            "data_count" if part == "size" else f"{part}_count": len(known),
            f"{part}_sum_bytes": sum(known) if known else None,
            f"max_{part}_bytes": max(known, default=None),
            f"min_{part}_bytes": min(known, default=None),
            f"{part}_change_bytes": change,
            f"{part}_change_percent": change,
        }
    row |= {
        "growth_rate": row["size_change_percent"],
        "trend_direction": row["size_change_percent"],
        "first_size_bytes": days[now[0]].size,
        "last_size_bytes": days[now[-1]].size,
    }
    return row


def _part(known: Known, part: str) -> int | None:
    found = getattr(known, part)
    assert found is None or isinstance(found, int)
    return found


def totals(days: Mapping[str, Days], asked: list[date]) -> dict[date, Total]:
    """Add up each day that was asked about: what was measured, and what was last known."""
    return {
        day: Total(
            sum(
                known[max(d for d in known if d <= day)].size
                for known in days.values()
                if min(known, default=date.max) <= day
            ),
            sum(day in known for known in days.values()),
            len(days),
        )
        for day in asked
    }


def instance_row(
    kind: str, day: date, totals: Mapping[date, Total], days: Mapping[str, Days]
) -> Row | None:
    """Say what is kept of the instance; all its databases were seen before the first day."""
    now, before = spans(kind, day, totals)
    sizes = [totals[each].bytes for each in now]
    if not now or (kind != "daily" and sum(sizes) > MOST):
        return None
    broken = any(_broke_total(kind, day, totals, known) for known in days.values())
    change = change_between(sizes, [totals[each].bytes for each in before], broken=broken)
    active = [totals[each].active for each in now]
    counts = change_between(active, [totals[each].active for each in before], broken=False)
    return {
        "data_count": len(now),
        "total_size_sum_bytes": sum(sizes),
        "max_total_size_bytes": max(sizes),
        "min_total_size_bytes": min(sizes),
        "measured_count_sum": sum(totals[each].measured for each in now),
        "active_count_sum": sum(active),
        "max_active_count": max(active),
        "min_active_count": min(active),
        "baseline_date": baseline(kind, day, before),
        "total_size_change_bytes": change,
        "total_size_change_percent": change,
        "active_count_change": counts,
        "active_count_change_percent": counts,
        "growth_rate": change,
        "trend_direction": change,
        "is_break": broken,
        "first_total_size_bytes": sizes[0],
        "last_total_size_bytes": sizes[-1],
        "partial_days": sum(totals[each].measured < totals[each].active for each in now),
    }


def _broke_total(kind: str, day: date, totals: Mapping[date, Total], known: Days) -> bool:
    """Say whether a day of both periods differs from the one before it, or two sizes do."""
    asked, then = spans(kind, day, totals)
    if kind != "daily":
        asked, (now, earlier) = sorted(then + asked)[1:], spans(kind, day, known)
        if now and len({known[each].method for each in earlier + now}) > 1:
            return True
    return any(
        each in known and known[each].method != _method_on(max(before), known)
        for each in asked
        if (before := [other for other in totals if other < each])
    )


def _method_on(day: date, known: Days) -> str | None:
    upto = [each for each in known if each <= day]
    return known[max(upto)].method if upto else None
