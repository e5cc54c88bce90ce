"""How good forecasts would have been: each is made as of a past day, and held to what came."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from statistics import median
from typing import Final

from attrs import frozen

from capacity_core.forecast import WINDOWS, after_last_break, growths
from capacity_core.growth_reads import SeriesDay

HORIZONS: Final = (7, 30)  # days ahead
ORIGINS: Final = 20  # a series, about: more would say the same more slowly
_WEEK: Final = 7


@frozen
class Prediction:
    """`error` is a share of the size that came, None if that was 0."""

    horizon_days: int
    error: float | None
    is_within: bool


@frozen
class Score:
    """How sizes were forecast so many days ahead; nothing is known (None) of no predictions.

    `within_percent` is the share of sizes that fell into the interval, nominally 80.
    """

    horizon_days: int
    predictions: int
    median_error_percent: float | None
    within_percent: float | None


def backtest(histories: Iterable[Sequence[SeriesDay]]) -> tuple[Score, ...]:
    """Score the forecasts of every series, pooled, for each horizon."""
    made = [prediction for days in histories for prediction in predictions(days)]
    return tuple(
        _score(horizon, [each for each in made if each.horizon_days == horizon])
        for horizon in HORIZONS
    )


def predictions(days: Sequence[SeriesDay]) -> Iterator[Prediction]:
    """Forecast from some days of a series, oldest first, what is known of later ones.

    A series that breaks in between has no outcome.
    """
    places = {row.day: place for place, row in enumerate(days)}
    step = max(1, len(days) // ORIGINS)
    if step % _WEEK == 0:  # else every origin would be the same day of the week
        step += 1
    for place in range(0, len(days), step):
        origin = days[place]
        found = growths(days[max(0, place + 1 - WINDOWS[-1]) : place + 1], origin.day)
        for horizon in HORIZONS if found else ():
            later = places.get(origin.day + timedelta(days=horizon))
            if later is None or _is_broken(days[place : later + 1]):
                continue
            expected, size = found[-1].after(horizon), days[later].size_bytes
            error = abs(expected.size - size) / size if size else None
            yield Prediction(horizon, error, expected.low <= size <= expected.high)


def _is_broken(days: Sequence[SeriesDay]) -> bool:
    return len(after_last_break(days)) < len(days)


def _score(horizon: int, made: Sequence[Prediction]) -> Score:
    errors = [each.error for each in made if each.error is not None]
    within = sum(each.is_within for each in made)
    return Score(
        horizon_days=horizon,
        predictions=len(made),
        median_error_percent=100 * median(errors) if errors else None,
        within_percent=100 * within / len(made) if made else None,
    )
