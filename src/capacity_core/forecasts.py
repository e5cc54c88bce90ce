"""The door to forecasts: when databases will be full, and the ceilings that users set."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum, auto
from typing import Final

from attrs import frozen

from capacity_core.backtest import Score, backtest
from capacity_core.errors import InvalidInputError, NotFoundError
from capacity_core.forecast import WINDOWS, Forecast, ForecastStatus, forecast, whole_series
from capacity_core.growth_reads import SeriesDay
from capacity_core.messages import text
from capacity_core.model import MAX_BYTES, Instance
from capacity_core.ports import Begin, UnitOfWork
from capacity_core.reads import DateRange, Paging

BATCH_NAMES: Final = 500  # databases whose days are in memory at once
_LATE_DAYS: Final = 7  # a window ends with the last known day, which need not be today


class CeilingSource(StrEnum):
    """Who says how large it may become: its engine, or a user."""

    ENGINE = auto()
    LIMIT = auto()


@frozen
class DatabaseForecast:
    """No `database_name`: it is of the whole instance."""

    database_name: str | None
    ceiling_source: CeilingSource | None
    forecast: Forecast


@frozen
class InstanceForecast:
    """The active databases of an instance, soonest full first; `whole` if it has a limit itself."""

    instance: Instance
    today: date
    whole: DatabaseForecast | None
    databases: tuple[DatabaseForecast, ...]


@frozen
class CapacityForecasts:
    """Answers and changes; it commits, its parts never do. `today` is the business day."""

    begin: Begin
    today: date

    def forecast(self, instance_id: int, database_name: str | None = None) -> InstanceForecast:
        """Forecast every active database and the instance, or one database.

        Raises NotFoundError.
        """
        since = self.today - timedelta(days=WINDOWS[-1] + _LATE_DAYS)
        with self.begin() as work:
            instance = work.instances.get(instance_id)
            names = _active(work, instance_id, database_name)
            by_engine = work.series.engine_ceilings(instance_id)
            by_user = work.limits.all(instance_id)
            is_whole = database_name is None and None in by_user
            totals = work.series.instance_series(instance_id, since) if is_whole else ()
        whole = None
        if is_whole:
            found = forecast(whole_series(totals), self.today, by_user[None])
            whole = DatabaseForecast(None, CeilingSource.LIMIT, found)
        rows = []
        for name, series in self._series(instance_id, since, names):
            ceiling, source = _nearest(by_engine.get(name), by_user.get(name))
            rows.append(DatabaseForecast(name, source, forecast(series, self.today, ceiling)))
        return InstanceForecast(
            instance, self.today, whole, tuple(sorted(rows, key=_soonest_first))
        )

    def _series(
        self, instance_id: int, since: date, names: Sequence[str]
    ) -> Iterator[tuple[str, Sequence[SeriesDay]]]:
        for place in range(0, len(names), BATCH_NAMES):
            batch = names[place : place + BATCH_NAMES]
            with self.begin() as work:
                found = work.series.database_series(instance_id, since, batch)
            yield from ((name, found.get(name, ())) for name in batch)

    def backtest(self, instance_id: int, database_name: str | None = None) -> tuple[Score, ...]:
        """Hold forecasts as of past days to the sizes that came. Raises NotFoundError."""
        with self.begin() as work:
            work.instances.get(instance_id)
            names = _active(work, instance_id, database_name)
            # One by one: a large instance's history is long.
            return backtest(
                work.series.database_series(instance_id, date.min, [name]).get(name, ())
                for name in names
            )

    def set_limit(self, instance_id: int, database_name: str | None, limit_bytes: int) -> bool:
        """Say how large a database, or the whole instance, may become.

        False: it is kept for a database that is not there any more. Raises InvalidInputError, and
        NotFoundError for a database that was never seen.
        """
        if not 1 <= limit_bytes <= MAX_BYTES:
            raise InvalidInputError("limit_bytes", text("field.limit", most=MAX_BYTES))
        with self.begin() as work:
            work.instances.hold(instance_id)
            known = work.repository.known_databases(instance_id)
            if database_name is not None and database_name not in known:
                raise _database_missing(database_name)
            work.limits.set(instance_id, database_name, limit_bytes)
            work.commit()
        return database_name is None or known[database_name]

    def remove_limit(self, instance_id: int, database_name: str | None) -> None:
        """Raises NotFoundError."""
        with self.begin() as work:
            work.instances.hold(instance_id)
            work.limits.remove(instance_id, database_name)
            work.commit()

    def limits(self, instance_id: int) -> Mapping[str | None, int]:
        """Those of databases by name (bytes), that of the whole instance without one.

        Raises NotFoundError.
        """
        with self.begin() as work:
            work.instances.get(instance_id)
            return work.limits.all(instance_id)


def _active(work: UnitOfWork, instance_id: int, database_name: str | None) -> list[str]:
    """Name the one asked for, else all. Raises NotFoundError for one that is not there."""
    known = work.repository.known_databases(instance_id)
    names = [name for name, is_active in known.items() if is_active]
    if database_name is None:
        return names
    if database_name not in known:
        raise _database_missing(database_name)
    if database_name not in names:
        kept = work.reads.history(instance_id, database_name, DateRange(), Paging(limit=1)).rows
        days = [row.collected_date.isoformat() for row in kept] or ["-"]
        raise NotFoundError(text("error.database_gone", name=repr(database_name), day=days[0]))
    return [database_name]


def _database_missing(name: str) -> NotFoundError:
    return NotFoundError(text("error.database_missing", name=repr(name)))


def _nearest(by_engine: int | None, by_user: int | None) -> tuple[int | None, CeilingSource | None]:
    if by_user is not None and (by_engine is None or by_user <= by_engine):
        return by_user, CeilingSource.LIMIT
    return by_engine, None if by_engine is None else CeilingSource.ENGINE


def _soonest_first(row: DatabaseForecast) -> tuple[date, date, int, str]:
    """What is over comes before any date, what has none after, by size."""
    found = row.forecast
    is_over = found.status is ForecastStatus.ALREADY_OVER
    day = date.min if is_over else found.full_on or date.max
    may_be = found.earliest or date.max
    return day, may_be, -(found.size_bytes or 0), row.database_name or ""
