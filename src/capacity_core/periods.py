"""Days, weeks, months and quarters of the business calendar."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from enum import StrEnum, auto
from typing import Final

from attrs import frozen

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)


class PeriodType(StrEnum):
    DAILY = auto()
    WEEKLY = auto()
    MONTHLY = auto()
    QUARTERLY = auto()


@frozen
class Period:
    """A day, a week (Monday to Sunday), a month or a quarter; both ends belong to it."""

    type: PeriodType
    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    @property
    def previous(self) -> "Period":
        return period_of(self.type, self.start - _DAY)

    @property
    def following(self) -> "Period":
        return period_of(self.type, self.end + _DAY)

    def is_running(self, today: date) -> bool:
        """Say whether its last day has not passed yet."""
        return today <= self.end


def period_of(kind: PeriodType, day: date) -> Period:
    """Find the period that holds the day."""
    start = start_of(kind, day)
    return Period(kind, start, _END[kind](start))


def start_of(kind: PeriodType, day: date) -> date:
    """Find the first day of the period that holds the day, even if its last is beyond 9999."""
    return _START[kind](day)


def last_complete(kind: PeriodType, today: date) -> Period:
    return period_of(kind, today).previous


def periods_between(kind: PeriodType, first: date, last: date) -> list[Period]:
    """List every period that holds a day of first ... last, oldest first."""
    periods = []
    period = period_of(kind, first)
    while first <= last and period.start <= last:
        periods.append(period)
        period = period.following
    return periods


def _itself(day: date) -> date:
    return day


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


def _first_of_quarter(day: date) -> date:
    return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)


def _months_on(start: date, months: int) -> date:
    """Go from the first of a month to the first of a later one."""
    years, month = divmod(start.month - 1 + months, 12)
    return start.replace(year=start.year + years, month=month + 1)


_START: Final[Mapping[PeriodType, Callable[[date], date]]] = {
    PeriodType.DAILY: _itself,
    PeriodType.WEEKLY: _monday,
    PeriodType.MONTHLY: _first_of_month,
    PeriodType.QUARTERLY: _first_of_quarter,
}
_END: Final[Mapping[PeriodType, Callable[[date], date]]] = {
    PeriodType.DAILY: _itself,
    PeriodType.WEEKLY: lambda start: start + _WEEK - _DAY,
    PeriodType.MONTHLY: lambda start: _months_on(start, 1) - _DAY,
    PeriodType.QUARTERLY: lambda start: _months_on(start, 3) - _DAY,
}
