"""Growth, its interval, and the day on which a series is full."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.histories import GIB, KINDS, START, generated, history

from capacity_core.forecast import (
    Expected,
    ForecastStatus,
    after_last_break,
    forecast,
    growths,
    whole_series,
)
from capacity_core.growth_reads import SeriesDay
from capacity_core.model import MAX_BYTES

pytestmark = pytest.mark.unit

KNOWN_DAYS = (10, 25, 40, 90)
HORIZONS = (1, 7, 30)
SEEDS = range(100)


def last_day(days: Sequence[SeriesDay]) -> date:
    return days[-1].day


Held = Mapping[tuple[str, int], Sequence[bool]]


@cache
def held(width: float = 1) -> Held:
    """Say for each kind and horizon which sizes to come the interval held, made that wide."""
    found: defaultdict[tuple[str, int], list[bool]] = defaultdict(list)
    for kind in KINDS:
        for seed in SEEDS:
            known = KNOWN_DAYS[seed % len(KNOWN_DAYS)]
            days = generated(kind, seed, known + max(HORIZONS))
            growth = growths(days[:known], days[known - 1].day)
            for horizon in HORIZONS if growth else ():
                expected = growth[-1].after(horizon)
                low = expected.size - (expected.size - expected.low) * width
                high = expected.size + (expected.high - expected.size) * width
                size = days[known - 1 + horizon].size_bytes
                found[kind, horizon].append(low <= size <= high)
    return found


def covered(found: Held, *wanted: str | int) -> float:
    """Say what percentage of the sizes were held: of one kind, one horizon, or all of them."""
    pooled = [each for key, some in found.items() if set(wanted) <= set(key) for each in some]
    return 100 * sum(pooled) / len(pooled)


@pytest.mark.parametrize("wanted", [(), *((each,) for each in (*KINDS, *HORIZONS))])
def test_the_interval_holds_eight_of_ten_sizes_to_come(wanted: tuple[str | int, ...]) -> None:
    assert covered(held(), *wanted) >= 80


def test_a_narrower_interval_would_not() -> None:
    narrower = held(0.85)
    assert covered(narrower, "stepped") < 80
    assert covered(narrower, "wandering") < 80
    assert covered(narrower, 1) < 80
    assert covered(held(0.5)) < 80


def test_the_page_says_how_much_the_interval_held() -> None:
    page = (Path(__file__).parents[2] / "docs" / "forecast.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    said = {row[0]: row[2:] for row in rows if row and row[0] in {*KINDS, "all"}}
    assert said == {
        "all": [f"{covered(held(), horizon):.0f} %" for horizon in HORIZONS],
        **{
            kind: [f"{covered(held(), kind, horizon):.0f} %" for horizon in HORIZONS]
            for kind in KINDS
        },
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_growth_is_answered(kind: str) -> None:
    series = [generated(kind, seed, 90) for seed in SEEDS]
    answered = sum(bool(growths(days, last_day(days))) for days in series)
    assert answered >= (60 if kind == "stepped" else 100)


def test_a_line_is_full_on_the_day_on_which_it_is() -> None:
    days = history(range(1000, 1000 + 90 * 10, 10))
    found = forecast(days, last_day(days), 1890 + 365 * 10)
    assert found.status is ForecastStatus.FULL_ON
    assert found.full_on == last_day(days) + timedelta(days=365)
    assert (found.earliest, found.latest) == (
        last_day(days) + timedelta(days=361),
        last_day(days) + timedelta(days=370),
    )
    assert [growth.window_days for growth in found.growths] == [7, 30, 90]
    assert {growth.per_day for growth in found.growths} == {
        Expected(9, 10, 11),
        Expected(8, 10, 12),
    }
    assert found.growth is found.growths[-1]


@pytest.mark.parametrize("known", [7, 30, 90])
def test_no_growth_is_certain(known: int) -> None:
    days = history(range(0, known * GIB, GIB))
    [*_, growth] = growths(days, last_day(days))
    per_day = growth.per_day
    assert per_day.low == pytest.approx(GIB - GIB / known, abs=1)
    assert per_day.high == pytest.approx(GIB + GIB / known, abs=1)
    for ahead in (1, 7, 365):
        expected = growth.after(ahead)
        assert expected.high - expected.size >= GIB * ahead // known
        assert expected.size - expected.low >= GIB * ahead // known


def test_what_is_not_growing_may_still_be_full() -> None:
    days = history(1000 - day + day % 7 * 10 for day in range(90))
    found = forecast(days, last_day(days), 2000)
    assert (found.status, found.full_on, found.latest) == (ForecastStatus.NOT_GROWING, None, None)
    assert found.earliest is not None
    assert found.growth is not None
    ahead = (found.earliest - last_day(days)).days
    assert found.growth.after(ahead - 1).high < 2000 <= found.growth.after(ahead).high


@pytest.mark.parametrize("known", [4, 30, 90])
def test_a_ceiling_that_was_reached_lately_is_told(known: int) -> None:
    days = history(200 if day % 7 == 2 else 100 + day % 2 for day in range(known))
    over_on = max(row.day for row in days if row.size_bytes == 200)
    assert forecast(days, last_day(days), 200).over_on == over_on
    assert forecast(days, last_day(days), 201).over_on is None
    assert forecast(days, last_day(days), 100).over_on is None
    assert forecast(days, last_day(days), None).over_on is None
    before = [*history([500] * 5, START - timedelta(5), "old"), *days]
    assert forecast(before, last_day(days), 400).over_on is None
    later = [*days, *history([100] * 90, last_day(days) + timedelta(1))]
    assert forecast(later, last_day(later), 200).over_on is None


def total(sizes: Sequence[int], identities: Sequence[int]) -> list[SeriesDay]:
    rows = zip(history(sizes), identities, strict=True)
    return [evolve(row, identity=str(identity)) for row, identity in rows]


def test_a_total_begins_anew_where_a_database_moved_it_far() -> None:
    sizes = [1000 + 2 * day - (60 if day >= 50 else 0) for day in range(90)]
    days = whole_series(total(sizes, [day // 50 for day in range(90)]))
    assert after_last_break(days) == days[50:]
    [growth] = {each.slope for each in growths(days, last_day(days))}
    assert growth == 2
    unknown = whole_series(total(sizes, [0] * 90))
    assert after_last_break(unknown) == unknown


def test_small_databases_that_come_and_go_do_not_break_a_total() -> None:
    days = whole_series(total(range(1000, 1090), range(90)))
    assert {row.identity for row in days} == {"0"}
    some = whole_series(total([0, 2, 4, 18, 20, 35], [0, 0, 0, 1, 1, 2]))
    assert [row.identity for row in some] == ["0", "0", "0", "0", "0", "1"]
    assert whole_series([]) == []
    peaks = [1000 + day + (100 if day % 7 == 3 else 0) for day in range(90)]
    at_a_peak = whole_series(total(peaks, [day // 87 for day in range(90)]))
    assert {row.identity for row in at_a_peak} == {"0"}


def test_days_without_a_size_take_no_part() -> None:
    whole = history(range(0, 90 * GIB, GIB))
    days = [row for number, row in enumerate(whole) if number % 7 not in {3, 4}]
    found = forecast(days, last_day(days), 180 * GIB)
    assert (found.growth, found.size_bytes) != (None, None)
    assert found.growth is not None
    assert (found.growth.known_days, found.growth.slope) == (len(days), GIB)
    assert found.full_on == START + timedelta(days=180)


def test_a_range_that_may_not_grow_is_open_at_its_end() -> None:
    days = generated("wandering", 5, 90)
    found = forecast(days, last_day(days), 2 * days[-1].size_bytes)
    assert found.full_on is not None
    assert found.earliest is not None
    assert found.earliest < found.full_on
    assert found.latest is None


@pytest.mark.parametrize(
    ("sizes", "ceiling", "status"),
    [
        ([], 10, ForecastStatus.NOT_ENOUGH_DATA),
        ([], None, ForecastStatus.NO_CEILING),
        ([5] * 6, 10, ForecastStatus.NOT_ENOUGH_DATA),
        ([5] * 7, 10, ForecastStatus.NOT_ENOUGH_DATA),
        (range(7), 10, ForecastStatus.FULL_ON),
        (range(9, 2, -1), 10, ForecastStatus.NOT_GROWING),
        ([5] * 60, 10, ForecastStatus.NOT_ENOUGH_DATA),
        ([5] * 90, 10, ForecastStatus.NOT_GROWING),
        ([5] * 20 + [8] * 10, 10, ForecastStatus.NOT_ENOUGH_DATA),
        ([5] * 70 + [6] * 10 + [8] * 10, 10, ForecastStatus.NOT_ENOUGH_DATA),
        ([10], 10, ForecastStatus.ALREADY_OVER),
        (range(90), 5, ForecastStatus.ALREADY_OVER),
        (range(90), None, ForecastStatus.NO_CEILING),
        ([0] * 90, 1, ForecastStatus.NOT_GROWING),
    ],
)
def test_what_can_be_said(
    sizes: Sequence[int], ceiling: int | None, status: ForecastStatus
) -> None:
    days = history(sizes)
    found = forecast(days, days[-1].day if days else START, ceiling)
    assert found.status is status
    assert (found.full_on is None) == (status is not ForecastStatus.FULL_ON)
    assert found.size_bytes == (sizes[-1] if sizes else None)


@pytest.mark.parametrize(("late", "windows"), [(6, [7, 30, 90]), (7, [30, 90]), (89, [90])])
def test_a_window_is_no_older_than_it_is_long(late: int, windows: list[int]) -> None:
    days = history(range(90))
    today = last_day(days) + timedelta(days=late)
    assert [growth.window_days for growth in growths(days, today)] == windows
    found = forecast(days, today, 91)
    assert found.full_on == found.latest == today
    assert growths(days, last_day(days) + timedelta(days=90)) == ()


def test_days_too_irregular_tell_nothing() -> None:
    days = [SeriesDay(START + timedelta(day), day) for day in (0, 1, 3, 7, 12, 20, 30, 44, 65, 89)]
    assert growths(days, last_day(days)) == ()


def test_only_what_is_after_the_last_break_counts() -> None:
    old, new = history(range(60), method="old"), history(range(30), START + timedelta(60), "new")
    assert after_last_break([*old, *new]) == new
    [week, month] = growths([*old, *new], last_day(new))
    assert (week.known_days, month.known_days) == (7, 30)
    anew = [evolve(row, identity=str(number // 20)) for number, row in enumerate(new)]
    assert after_last_break([*old, *anew]) == anew[20:]
    unknown = [evolve(row, method=None) if number == 5 else row for number, row in enumerate(new)]
    assert after_last_break([*old, *unknown]) == unknown
    assert after_last_break(unknown[:6]) == unknown[:6]


def test_what_is_far_away_is_no_date() -> None:
    days = history(range(10**12, 10**12 + 90))
    assert forecast(days, last_day(days), MAX_BYTES).status is ForecastStatus.NOT_GROWING
    century = days[-1].size_bytes + 36_525
    assert forecast(days, last_day(days), century).status is ForecastStatus.FULL_ON
    assert forecast(days, last_day(days), century + 1).status is ForecastStatus.NOT_GROWING
    end = history(range(90), date.max - timedelta(days=89))
    assert forecast(end, date.max, 1000).status is ForecastStatus.NOT_GROWING


def test_the_largest_sizes_are_no_trouble() -> None:
    days = history(MAX_BYTES * day // 90 for day in range(1, 90))
    found = forecast(days, last_day(days), MAX_BYTES)
    assert found.full_on is not None
    assert found.full_on - last_day(days) in {timedelta(days=1), timedelta(days=2)}


SIZES = st.lists(st.integers(0, 2**50), min_size=7, max_size=40)
SERIES = SIZES.map(history)


@settings(deadline=None)
@given(SIZES, st.integers(0, 2**50), st.integers(0, 10))
def test_growth_does_not_depend_on_where_a_series_begins_nor_on_its_unit(
    sizes: list[int], shift: int, doublings: int
) -> None:
    factor = 2**doublings

    def slopes(values: Sequence[int]) -> list[float]:
        days = history(values)
        return [growth.slope for growth in growths(days, last_day(days))]

    plain = slopes(sizes)
    assert slopes([size + shift for size in sizes]) == plain
    assert slopes([size * factor for size in sizes]) == [slope * factor for slope in plain]


@settings(deadline=None)
@given(SERIES, st.integers(1, 2**52), st.integers(0, 29))
def test_dates_are_in_order_and_never_before_today(
    days: list[SeriesDay], ceiling: int, late: int
) -> None:
    today = last_day(days) + timedelta(days=late)
    found = forecast(days, today, ceiling)
    dates = [found.earliest, found.full_on, found.latest or date.max]
    if found.status is ForecastStatus.FULL_ON:
        known = [day for day in dates if day is not None]
        assert len(known) == 3
        assert today <= known[0] <= known[1] <= known[2]
    else:
        assert found.earliest is None or found.earliest >= today
        assert dates[1:] == [None, date.max]
    assert forecast(days, today, ceiling) == found


@settings(deadline=None)
@given(SERIES, st.integers(1, 2**52), st.integers(1, 2**52))
def test_a_higher_ceiling_is_never_reached_sooner(
    days: list[SeriesDay], low: int, more: int
) -> None:
    today = last_day(days)
    sooner, later = forecast(days, today, low), forecast(days, today, low + more)
    for name in ("earliest", "full_on", "latest"):
        assert (getattr(sooner, name) or date.min) <= (getattr(later, name) or date.max)
    over, never = ForecastStatus.ALREADY_OVER, ForecastStatus.NOT_GROWING
    assert later.status is not over or sooner.status is over
    assert sooner.status is not never or later.status is never


@settings(deadline=None)
@given(SERIES)
def test_the_interval_holds_the_size_and_only_widens(days: list[SeriesDay]) -> None:
    for growth in growths(days, last_day(days)):
        for near, far in pairwise(growth.after(ahead) for ahead in range(1, 100)):
            assert 0 <= near.low <= near.size <= near.high
            if far.low:
                assert far.size - far.low >= near.size - near.low - 1
            if far.size:
                assert far.high - far.size >= near.high - near.size - 1
        per_day = growth.per_day
        assert per_day.low <= per_day.size <= per_day.high
