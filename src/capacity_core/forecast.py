"""Robust growth of one series, and the day on which it will be full, or why nobody can say.

Growth is the median of the slopes between any two days (Theil-Sen). The interval does not trust
a model: it is how far the changes over one day, two days ... strayed from that growth, and how far
the growth of the latest days is from that of the longer window. No line is taken for certain.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from enum import StrEnum, auto
from itertools import accumulate, pairwise
from math import ceil, floor
from statistics import median
from typing import Final

from attrs import evolve, frozen

from capacity_core.growth_reads import SeriesDay

WINDOWS: Final = (7, 30, 90)  # days
LEAST_DAYS: Final = 7  # with a size, in any window
LEAST_SPAN: Final = 0.75  # of the window, from its first known day to its last
LEAST_STEPS: Final = 3  # one that moves more rarely has shown no slope; only a quarter shows none
LEAST_CHANGES: Final = 3  # over as many days each
FAR_DAYS: Final = 36_525  # what is full in a hundred years is not growing
_AHEAD: Final = range(1, FAR_DAYS + 1)

# The interval, nominally 80 %. A back-test on generated series set these; see docs/forecast.md.
TAIL: Final = 0.075  # of the changes seen, left out on either side
REACH: Final = 1 / 3  # of the span: changes over more days are too few to tell how they stray
FEW: Final = 2.0  # changes seen: the fewer, the wider
DRIFT: Final = 3.0  # growth may go on changing as it changed from window to window
WIDENING: Final = 2.0  # beyond the reach, for each span of days
DOUBT: Final = 1.0  # of the growth, shared by the days known: even a straight line may bend

LARGE_STEP: Final = 7  # days of ordinary change: what a database that came or went moves a total by
RARE_STEP: Final = 0.9  # of the moves of a total are smaller: a weekly peak is none


@frozen
class Expected:
    """A size in bytes on a day to come, and its 80 % interval."""

    low: int
    size: int
    high: int


@frozen
class Spread:
    """How far changes over so many days strayed from the growth, in bytes: below and above."""

    days: int
    low: float
    high: float


@frozen(kw_only=True)
class Growth:
    """How a series grew over its latest `window_days`, of which `known_days` have a size.

    `slope` is in bytes a day, `drift` how much the growth may change; `size_bytes` is the size
    on the `last_day`.
    """

    window_days: int
    known_days: int
    span_days: int
    last_day: date
    size_bytes: int
    slope: float
    drift: float
    spreads: tuple[Spread, ...]

    def after(self, days: int) -> Expected:
        """Say how large it will be that many days after the last known one."""
        low, high = self._spread(days)
        change = self.slope * days
        return Expected(
            max(0, self.size_bytes + floor(change + low)),
            max(0, self.size_bytes + round(change)),
            max(0, self.size_bytes + ceil(change + high)),
        )

    @property
    def per_day(self) -> Expected:
        """Bytes a day, on average over as many days to come as the window has."""
        low, high = self._spread(self.window_days)
        low, high = (self.slope + strayed / self.window_days for strayed in (low, high))
        return Expected(floor(low), round(self.slope), ceil(high))

    def _spread(self, days: int) -> tuple[float, float]:
        seen = bisect_left(self.spreads, days, key=lambda spread: spread.days)
        spread = self.spreads[min(seen, len(self.spreads) - 1)]
        beyond = 1 + WIDENING * max(0, days - spread.days) / self.span_days
        drift, doubt = self.drift * days, DOUBT * abs(self.slope) * days / self.known_days
        return min(spread.low * beyond, drift, -doubt), max(spread.high * beyond, drift, doubt)


class ForecastStatus(StrEnum):
    FULL_ON = auto()
    NOT_GROWING = auto()
    NOT_ENOUGH_DATA = auto()
    ALREADY_OVER = auto()
    NO_CEILING = auto()


@frozen(kw_only=True)
class Forecast:
    """When a series reaches its ceiling (bytes).

    `full_on` is there for that status only, `earliest` also for what is not growing but may;
    `latest` is None if it may never be full. `over_on` is the last day on which it was over, if it
    no longer is. `growth` is that of the longest window with enough data, `growths` those of all.
    """

    status: ForecastStatus
    ceiling_bytes: int | None
    last_day: date | None
    size_bytes: int | None
    growths: tuple[Growth, ...] = ()
    full_on: date | None = None
    earliest: date | None = None
    latest: date | None = None
    over_on: date | None = None

    @property
    def growth(self) -> Growth | None:
        return self.growths[-1] if self.growths else None


def forecast(days: Sequence[SeriesDay], today: date, ceiling_bytes: int | None) -> Forecast:
    """Say when the series, oldest day first, reaches the ceiling; no date is before today."""
    if not days:
        status = ForecastStatus.NOT_ENOUGH_DATA if ceiling_bytes else ForecastStatus.NO_CEILING
        return Forecast(status=status, ceiling_bytes=ceiling_bytes, last_day=None, size_bytes=None)
    last, found, over_on = days[-1], growths(days, today), None
    if ceiling_bytes is None:
        status = ForecastStatus.NO_CEILING
    elif last.size_bytes >= ceiling_bytes:
        status = ForecastStatus.ALREADY_OVER
    else:
        over_on = _over_on(days, ceiling_bytes)
        if found:
            return evolve(_time_to_full(found, today, ceiling_bytes), over_on=over_on)
        status = ForecastStatus.NOT_ENOUGH_DATA
    return Forecast(
        status=status,
        ceiling_bytes=ceiling_bytes,
        last_day=last.day,
        size_bytes=last.size_bytes,
        growths=found,
        over_on=over_on,
    )


def _over_on(days: Sequence[SeriesDay], ceiling_bytes: int) -> date | None:
    """Find the last day of the longest window on which it was at the ceiling or above."""
    inside = [row for row in after_last_break(days) if (days[-1].day - row.day).days < WINDOWS[-1]]
    return max((row.day for row in inside if row.size_bytes >= ceiling_bytes), default=None)


def growths(days: Sequence[SeriesDay], today: date) -> tuple[Growth, ...]:
    """Find the growth over each window that has enough data, the longest last.

    There is none if the longest of them moves in too few steps.
    """
    found: list[Growth] = []
    series = after_last_break(days)
    is_stepped = False
    for window in WINDOWS:
        inside = [row for row in series if (series[-1].day - row.day).days < window]
        if _has_enough(inside, window, today):
            growth = _growth(inside, window, found[-1] if found else None)
            is_stepped = growth is None
            found += [growth] if growth else []
    return () if is_stepped else tuple(found)


def after_last_break(days: Sequence[SeriesDay]) -> Sequence[SeriesDay]:
    """Leave out what was before the method or the engine's identity changed for the last time."""
    methods: set[str | None] = {None}
    identities: set[str | None] = {None}
    for place in range(len(days) - 1, -1, -1):
        methods.add(days[place].method)
        identities.add(days[place].identity)
        if max(len(methods), len(identities)) > 2:  # noqa: PLR2004 -- unknown, and one known
            return days[place + 1 :]
    return days


def whole_series(totals: Sequence[SeriesDay]) -> Sequence[SeriesDay]:
    """Keep of the breaks of a total only large steps.

    Its `identity` tells where databases came, went or were made anew. Small ones do so all the
    time on some instances, and are growth like any other.
    """
    rows = [(before, row, (row.day - before.day).days) for before, row in pairwise(totals)]
    moves = sorted(abs(row.size_bytes - before.size_bytes) / days for before, row, days in rows)
    moves = moves or [0.0]
    most = max(LARGE_STEP * median(moves), _quantile(moves, RARE_STEP))
    steps = (
        before.identity != row.identity and abs(row.size_bytes - before.size_bytes) > most * days
        for before, row, days in rows
    )
    eras = accumulate(steps, initial=0)
    return [evolve(row, identity=str(era)) for row, era in zip(totals, eras, strict=False)]


def _has_enough(days: Sequence[SeriesDay], window: int, today: date) -> bool:
    if len(days) < LEAST_DAYS or (today - days[-1].day).days >= window:
        return False
    return (days[-1].day - days[0].day).days >= LEAST_SPAN * (window - 1)


def _growth(days: Sequence[SeriesDay], window: int, shorter: Growth | None) -> Growth | None:
    """None: it moves in too few steps, stands still too shortly, or has days too irregular."""
    rows = pairwise(days)
    steps = sum(row.size_bytes != following.size_bytes for row, following in rows)
    if steps < LEAST_STEPS and (steps or window < WINDOWS[-1]):
        return None
    span = (days[-1].day - days[0].day).days
    slopes: list[float] = []
    seen: dict[int, list[float]] = {}
    last = days[-1].size_bytes  # differences fit into floats, which are faster
    known = {row.day.toordinal(): float(row.size_bytes - last) for row in days}
    sizes = [known.get(day) for day in range(min(known), max(known) + 1)]
    for lag in range(1, span + 1):
        pairs = zip(sizes, sizes[lag:], strict=False)
        changes = [to - size for size, to in pairs if size is not None and to is not None]
        slopes += [change / lag for change in changes]
        if lag <= max(1, span * REACH) and len(changes) >= LEAST_CHANGES:
            seen[lag] = changes
    slope = median(slopes)
    spreads = _spreads(seen, slope, span)
    if not spreads:
        return None
    return Growth(
        window_days=window,
        known_days=len(days),
        span_days=span,
        last_day=days[-1].day,
        size_bytes=last,
        slope=slope,
        drift=0.0 if shorter is None else DRIFT * (shorter.slope - slope),
        spreads=spreads,
    )


def _spreads(seen: dict[int, list[float]], slope: float, span: int) -> tuple[Spread, ...]:
    """Changes over more days never stray less; the fewer or the longer they are, the more."""
    found, low, high = [], 0.0, 0.0
    for lag, changes in seen.items():
        caution = 1 + lag / span + FEW / len(changes)
        changes.sort()
        low = min(low, (_quantile(changes, TAIL) - slope * lag) * caution)
        high = max(high, (_quantile(changes, 1 - TAIL) - slope * lag) * caution)
        found.append(Spread(lag, low, high))
    return tuple(found)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _time_to_full(found: tuple[Growth, ...], today: date, ceiling_bytes: int) -> Forecast:
    growth = found[-1]

    def full(bound: Callable[[Expected], int]) -> date | None:
        days = 1 + bisect_left(_AHEAD, ceiling_bytes, key=lambda days: bound(growth.after(days)))
        if days > min(FAR_DAYS, (date.max - growth.last_day).days):
            return None
        return max(today, growth.last_day + timedelta(days=days))

    full_on = full(lambda expected: expected.size) if growth.slope > 0 else None
    is_growing = full_on is not None
    return Forecast(
        status=ForecastStatus.FULL_ON if is_growing else ForecastStatus.NOT_GROWING,
        ceiling_bytes=ceiling_bytes,
        last_day=growth.last_day,
        size_bytes=growth.size_bytes,
        growths=found,
        full_on=full_on,
        earliest=full(lambda expected: expected.high),
        latest=full(lambda expected: expected.low) if is_growing else None,
    )
