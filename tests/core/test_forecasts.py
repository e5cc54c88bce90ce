"""The door to forecasts: which ceiling counts, for what, and how good forecasts were."""

from collections.abc import Mapping

import pytest
from tests.builders import NOON
from tests.core.histories import GIB, START, generated, history
from tests.stores import Found, add_instance, on_day, sync

from capacity_adapters.memory import MemoryStore
from capacity_core.backtest import Score, backtest
from capacity_core.errors import InvalidInputError, NotFoundError
from capacity_core.forecast import ForecastStatus
from capacity_core.forecasts import BATCH_NAMES, CapacityForecasts, CeilingSource
from capacity_core.messages import Language, render, text
from capacity_core.model import MAX_BYTES, DatabaseSize, Outcome

pytestmark = pytest.mark.unit

DAYS = 40


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def instance_id(store: MemoryStore) -> int:
    """Lend an instance with 40 days until today: `a` and `b` grow, `over` is, `denied` is not."""
    kept = add_instance(store)
    for day in range(DAYS):
        found: Found = {
            "a": DatabaseSize("a", (100 + day) * GIB, "m", ceiling_bytes=200 * GIB),
            "b": DatabaseSize("b", (10 + day) * GIB, "m"),
            "over": DatabaseSize("over", 7, "m", ceiling_bytes=7),
            "denied": Outcome.DENIED,
            **({"gone": 5} if day < 3 else {}),
        }
        sync(store, kept, found, on_day(day + 1 - DAYS))
    return kept


@pytest.fixture
def forecasts(store: MemoryStore) -> CapacityForecasts:
    return CapacityForecasts(store.begin, NOON.date())


def told(forecasts: CapacityForecasts, instance_id: int) -> Mapping[str | None, object]:
    found = forecasts.forecast(instance_id)
    whole = [found.whole] if found.whole else []
    return {
        row.database_name: (row.forecast.status, row.forecast.ceiling_bytes, row.ceiling_source)
        for row in [*whole, *found.databases]
    }


def test_the_nearest_ceiling_counts(forecasts: CapacityForecasts, instance_id: int) -> None:
    full_on, engine, limit = ForecastStatus.FULL_ON, CeilingSource.ENGINE, CeilingSource.LIMIT
    before = {
        "over": (ForecastStatus.ALREADY_OVER, 7, engine),
        "a": (full_on, 200 * GIB, engine),
        "b": (ForecastStatus.NO_CEILING, None, None),
        "denied": (ForecastStatus.NO_CEILING, None, None),
    }
    assert told(forecasts, instance_id) == before
    assert list(told(forecasts, instance_id)) == list(before)
    forecasts.set_limit(instance_id, "a", 300 * GIB)
    assert told(forecasts, instance_id) == before
    forecasts.set_limit(instance_id, "a", 190 * GIB)
    forecasts.set_limit(instance_id, "b", 60 * GIB)
    forecasts.set_limit(instance_id, "denied", 1)
    forecasts.set_limit(instance_id, None, 1000 * GIB)
    after = {
        None: (full_on, 1000 * GIB, limit),
        "over": (ForecastStatus.ALREADY_OVER, 7, engine),
        "b": (full_on, 60 * GIB, limit),
        "a": (full_on, 190 * GIB, limit),
        "denied": (ForecastStatus.NOT_ENOUGH_DATA, 1, limit),
    }
    assert list(told(forecasts, instance_id).items()) == list(after.items())


def test_totals_are_forecast_from_the_instances_own_limit(
    forecasts: CapacityForecasts, instance_id: int
) -> None:
    forecasts.set_limit(instance_id, None, 1000 * GIB)
    whole = forecasts.forecast(instance_id).whole
    assert whole is not None
    assert whole.forecast.size_bytes == 188 * GIB + 7
    assert whole.forecast.growth is not None
    assert whole.forecast.growth.slope == 2 * GIB
    assert forecasts.forecast(instance_id, "a").whole is None


def test_one_database_can_be_asked_for(forecasts: CapacityForecasts, instance_id: int) -> None:
    found = forecasts.forecast(instance_id, "b")
    assert [row.database_name for row in found.databases] == ["b"]
    assert (found.instance.id, found.today) == (instance_id, NOON.date())
    assert sum(score.predictions for score in forecasts.backtest(instance_id, "b")) > 0


def test_no_database_of_many_is_left_out(store: MemoryStore, forecasts: CapacityForecasts) -> None:
    many = add_instance(store, "many", port=5433)
    sizes = {f"d{number:04}": 5000 - number for number in range(2 * BATCH_NAMES + 1)}
    sync(store, many, sizes, on_day(0))
    found = forecasts.forecast(many).databases
    assert [(row.database_name, row.forecast.size_bytes) for row in found] == list(sizes.items())


@pytest.mark.parametrize("name", ["gone", "nobody", "", "A", "\0"])
def test_what_is_not_there_has_no_forecast(
    forecasts: CapacityForecasts, instance_id: int, name: str
) -> None:
    for ask in (forecasts.forecast, forecasts.backtest):
        with pytest.raises(NotFoundError):
            ask(instance_id, name)
        with pytest.raises(NotFoundError):
            ask(99)


def test_limits_are_for_databases_that_were_seen(
    forecasts: CapacityForecasts, instance_id: int
) -> None:
    forecasts.set_limit(instance_id, "gone", 1)
    forecasts.set_limit(instance_id, None, MAX_BYTES)
    assert forecasts.limits(instance_id) == {None: MAX_BYTES, "gone": 1}
    for name in ("nobody", "", "\ud800"):
        with pytest.raises(NotFoundError):
            forecasts.set_limit(instance_id, name, 1)
        with pytest.raises(NotFoundError):
            forecasts.remove_limit(instance_id, name or "nobody")
    forecasts.remove_limit(instance_id, "gone")
    assert forecasts.limits(instance_id) == {None: MAX_BYTES}


@pytest.mark.parametrize("limit", [0, -1, MAX_BYTES + 1])
def test_a_limit_fits_into_the_store(
    forecasts: CapacityForecasts, instance_id: int, limit: int
) -> None:
    with pytest.raises(InvalidInputError) as raised:
        forecasts.set_limit(instance_id, None, limit)
    assert raised.value.field == "limit_bytes"
    assert "9223372036854775807" in render(raised.value.message, Language.ZH)


def test_an_unknown_instance_has_no_limits(forecasts: CapacityForecasts) -> None:
    with pytest.raises(NotFoundError):
        forecasts.limits(1)
    with pytest.raises(NotFoundError):
        forecasts.set_limit(1, None, 1)
    with pytest.raises(NotFoundError):
        forecasts.remove_limit(1, None)
    assert render(text("error.limit_missing"), Language.EN) == "No such limit is set"


def test_a_backtest_finds_a_line_exactly_where_it_was_forecast() -> None:
    line = history(range(1000, 1200))
    assert backtest([line, line]) == (Score(7, 38, 0, 100), Score(30, 32, 0, 100))
    assert [score.predictions for score in backtest([line[:140]])] == [16, 13]  # on all weekdays


def test_a_backtest_tells_how_far_off_forecasts_were() -> None:
    [week, month] = backtest(generated("wandering", seed, 365) for seed in range(20))
    assert week.predictions > month.predictions > 300
    assert week.median_error_percent is not None
    assert month.median_error_percent is not None
    assert 0 < week.median_error_percent < month.median_error_percent < 5
    for score in (week, month):
        assert score.within_percent is not None
        assert 80 <= score.within_percent < 100


def test_a_jump_is_outside_of_every_interval() -> None:
    days = history([*range(1000, 1030), *range(5000, 5007)])
    [week, month] = backtest([days[:23], days])
    assert week.within_percent is not None
    assert week.within_percent < 100
    assert month.predictions > 0


def test_what_was_not_known_or_of_another_series_is_no_outcome() -> None:
    nothing = (Score(7, 0, None, None), Score(30, 0, None, None))
    assert backtest([]) == backtest([[], history(range(13))]) == nothing
    broken = [*history(range(7)), *history(range(7, 14), START.replace(day=8), "other")]
    assert backtest([broken]) == nothing
    assert backtest([history(range(10, 24))])[0].predictions > 0


def test_an_error_is_no_share_of_nothing() -> None:
    falling = history([*range(9, 2, -1), 2, 1, 0, 0, 0, 0, 0])
    [week, _] = backtest([falling])
    assert (week.predictions, week.median_error_percent, week.within_percent) == (1, None, 100)
