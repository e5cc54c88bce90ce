"""What every face of the product shows of forecasts: sizes in bytes, null where unknown."""

from datetime import date

from attrs import frozen

from capacity_core.forecast import LEAST_DAYS, LEAST_STEPS, Forecast, ForecastStatus, Growth
from capacity_core.forecasts import DatabaseForecast, InstanceForecast
from capacity_core.growth_reads import InstanceLabel
from capacity_core.messages import Language, Text, render, text


@frozen
class WindowView:
    """Growth over the latest days of which `known_days` have a size, and its 80 % interval."""

    window_days: int
    known_days: int
    bytes_per_day: int
    low_bytes_per_day: int
    high_bytes_per_day: int


@frozen(kw_only=True)
class ForecastView:
    """When a database, or without a name the whole instance, reaches its ceiling.

    The size is that of `collected_date`, the last day that has one. `ceiling_source` is `engine`
    or `limit`. `full_on` is there for that status, `earliest` also for what is not growing but may
    be full; `latest` is null if it may never be. `over_on` is the last day on which it was over its
    ceiling, if it no longer is. `window_days` is the window that the dates come from, `windows` are
    all with enough data.
    """

    database_name: str | None
    status: ForecastStatus
    message: str
    size_bytes: int | None
    collected_date: str | None
    ceiling_bytes: int | None
    ceiling_source: str | None
    full_on: str | None
    earliest: str | None
    latest: str | None
    over_on: str | None
    window_days: int | None
    windows: list[WindowView]


@frozen
class InstanceForecastView:
    """The databases of an instance, soonest full first; `whole` is null without a limit of its."""

    instance: InstanceLabel
    date: str
    whole: ForecastView | None
    databases: list[ForecastView]


def instance_forecast_view(found: InstanceForecast, language: Language) -> InstanceForecastView:
    instance = found.instance
    return InstanceForecastView(
        instance=InstanceLabel(instance.id, instance.name, instance.db_type),
        date=found.today.isoformat(),
        whole=forecast_view(found.whole, found.today, language) if found.whole else None,
        databases=[forecast_view(row, found.today, language) for row in found.databases],
    )


def forecast_view(row: DatabaseForecast, today: date, language: Language) -> ForecastView:
    said = row.forecast
    return ForecastView(
        database_name=row.database_name,
        status=said.status,
        message=render(_message(said, today), language),
        size_bytes=said.size_bytes,
        collected_date=_iso(said.last_day),
        ceiling_bytes=said.ceiling_bytes,
        ceiling_source=row.ceiling_source,
        full_on=_iso(said.full_on),
        earliest=_iso(said.earliest),
        latest=_iso(said.latest),
        over_on=_iso(said.over_on),
        window_days=said.growth.window_days if said.growth else None,
        windows=list(map(_window, said.growths)),
    )


def is_stale(collected: date, today: date) -> bool:
    """Say whether a size is too old to be taken for today's."""
    return (today - collected).days > 1


def _message(said: Forecast, today: date) -> Text:
    is_open = said.earliest is not None and said.latest is None
    message = text(
        f"forecast.{said.status}.open" if is_open else f"forecast.{said.status}",
        full_on=said.full_on,
        earliest=said.earliest,
        latest=said.latest,
        days=LEAST_DAYS,
        steps=LEAST_STEPS,
    )
    if said.over_on is not None:
        message = text("forecast.over_on", said=message, day=said.over_on)
    if said.last_day is not None and is_stale(said.last_day, today):
        return text("forecast.as_of", said=message, day=said.last_day)
    return message


def _window(growth: Growth) -> WindowView:
    per_day = growth.per_day
    return WindowView(
        growth.window_days, growth.known_days, per_day.size, per_day.low, per_day.high
    )


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
