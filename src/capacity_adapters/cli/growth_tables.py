"""How growth is drawn: tables, sparklines and CSV, from what is shown of it everywhere."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from types import MappingProxyType
from typing import Final

from attrs import astuple, fields, frozen

from capacity_adapters.cli.output import UNKNOWN, Block, Csv, Table, human_size
from capacity_core.growth_reads import InstanceLabel
from capacity_core.growth_views import DatabaseGrowthView, InstanceGrowthView
from capacity_core.periods import PeriodType, periods_between
from capacity_core.rollup import Trend

AnyView = DatabaseGrowthView | InstanceGrowthView
PERIODS: Final = tuple(map(str, PeriodType))  # as options say them
BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS: Final = "_.-:=+*#"
MOST_SYMBOLS: Final = 100
_NUMBERS: Final = frozenset({"AVERAGE", "LAST", "CHANGE", "PERCENT", "DAYS"})
_WHOLE: Final = frozenset({"PERIOD", "TREND"})
_SPARE: Final = ("TREND",)  # the percentage tells it
_NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "running": "running: the period has not ended yet.",
        "carried": "carried: on some of the days the last known size of a database had to do.",
        "break": "break: a size came to be found out in another way, or its database was made "
        "anew, so nothing before compares.",
    }
)
_NAMES: Final[Mapping[PeriodType, Callable[[date], str]]] = MappingProxyType(
    {
        PeriodType.DAILY: date.isoformat,
        PeriodType.WEEKLY: lambda start: f"{start:%G-W%V}",
        PeriodType.MONTHLY: lambda start: f"{start:%Y-%m}",
        PeriodType.QUARTERLY: lambda start: f"{start.year}-Q{(start.month + 2) // 3}",
    }
)


@frozen
class _Sizes:
    average: int
    last: int
    change: int | None


def period_name(view: AnyView) -> str:
    """Say 2026-11-24, 2026-W48, 2026-11 or 2026-Q4."""
    return _NAMES[view.period_type](date.fromisoformat(view.period_start))


def growth_table(
    headers: tuple[str, ...],
    views: Sequence[AnyView],
    about: Callable[[AnyView], tuple[str, ...]],
    told: AbstractSet[str] = frozenset(),
) -> list[Block]:
    """Show a line each, which `about` begins; each mark not yet told is explained once below."""
    found_by_view = [[mark for mark in _marks(view) if mark not in told] for view in views]
    marks = list(map(", ".join, found_by_view))
    rows = [(*about(view), *_cells(view), mark) for view, mark in zip(views, marks, strict=True)]
    columns = (*headers, "AVERAGE", "LAST", "CHANGE", "PERCENT", "TREND", "DAYS", "NOTE")
    width = len(columns) - (not any(marks))
    table = Table(columns[:width], [row[:width] for row in rows], _NUMBERS, _WHOLE, _SPARE)
    found = {mark for found in found_by_view for mark in found}
    return [table, *(said for mark, said in _NOTES.items() if mark in found)]


def _cells(view: AnyView) -> tuple[str, ...]:
    sizes = _sizes(view)
    return (
        fine_size(sizes.average),
        fine_size(sizes.last),
        signed_size(sizes.change),
        signed_percent(view.growth_rate),
        UNKNOWN if view.trend_direction is Trend.UNKNOWN else view.trend_direction,
        f"{view.data_count}/{view.elapsed_days}",
    )


def _sizes(view: AnyView) -> _Sizes:
    if isinstance(view, DatabaseGrowthView):
        return _Sizes(view.avg_size_bytes, view.last_size_bytes, view.size_change_bytes)
    return _Sizes(
        view.avg_total_size_bytes, view.last_total_size_bytes, view.total_size_change_bytes
    )


def _marks(view: AnyView) -> Iterator[str]:
    if view.is_running:
        yield "running"
    if isinstance(view, InstanceGrowthView) and view.partial_days:
        yield "carried"
    if view.is_break:
        yield "break"


def fine_size(size: int) -> str:
    """Say four digits from TiB on, where one decimal would hide what changes."""
    value = size / 2**40
    while value >= 1024:  # noqa: PLR2004 -- the unit itself
        value /= 1024
    return human_size(size, max(1, 4 - len(str(int(value)))) if value >= 1 else 1)


def signed_size(change: int | None, digits: int = 1) -> str:
    """Say a change as a person reads it; an unknown one is `-`, never 0."""
    if change is None:
        return UNKNOWN
    sign = "+" if change > 0 else "-" if change < 0 else ""
    return sign + human_size(abs(change), digits)


def signed_percent(percent: float | None) -> str:
    if percent is None:
        return UNKNOWN
    rounded = round(percent, 2)
    return f"{rounded:+.2f}%" if rounded else "0.00%"


def average_line(kind: PeriodType, views: Sequence[AnyView]) -> list[Block]:
    """Draw the averages, oldest first; one alone draws nothing."""
    known = {date.fromisoformat(view.period_start): _sizes(view).average for view in views}
    if len(known) < 2:  # noqa: PLR2004 -- a line has two ends
        return []
    periods = periods_between(kind, min(known), max(known))[-MOST_SYMBOLS:]
    drawn = [known.get(period.start) for period in periods]
    sizes = [size for size in drawn if size is not None]
    line = sparkline(drawn, BLOCKS if _draws_blocks() else ASCII_BLOCKS)
    return [f"{line}  {fine_size(min(sizes))} to {fine_size(max(sizes))}"]


def sparkline(values: Sequence[int | None], symbols: str) -> str:
    """Draw each value between the smallest and the largest; what is unknown is a blank."""
    known = [value for value in values if value is not None]
    least, span = min(known, default=0), max(known, default=0) - min(known, default=0)

    def symbol(value: int) -> str:
        step = (value - least) * (len(symbols) - 1) / span if span else 0
        return symbols[round(step)]

    return "".join(" " if value is None else symbol(value) for value in values)


def _draws_blocks() -> bool:
    return sys.stdout.isatty() and sys.stdout.encoding.lower().replace("-", "") == "utf8"


def growth_csv(kind: type[AnyView], views: Sequence[AnyView]) -> Csv:
    """Give the fields of the JSON items, those of the instance first."""
    labels = [f"instance_{attribute.name}" for attribute in fields(InstanceLabel)]
    names = [attribute.name for attribute in fields(kind) if attribute.name != "instance"]
    rows = [
        [csv_cell(value) for value in (*astuple(view.instance), *(getattr(view, n) for n in names))]
        for view in views
    ]
    return Csv([[*labels, *names], *rows])


def csv_cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
