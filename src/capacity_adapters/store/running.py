"""Weeks, months and quarters computed on read, for the series that an answer is about."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, Connection, Row, Table, TextualSelect, bindparam

from capacity_adapters.store.rollups import (
    OF_ITS_DAYS,
    databases_select,
    instances_select,
    span_of,
)
from capacity_adapters.store.statements import BLANKS, as_doc, filled, portable, typed
from capacity_adapters.store.tables import database_size_aggregations, instance_size_aggregations
from capacity_core.periods import Period

# CROSS JOIN: SQLite looks the asked ones up, one by one, however little it knows of the store.
_DATABASES: Final = databases_select(
    """{items} CROSS JOIN database_size_stats AS stats
    WHERE stats.instance_id = CAST(item.value ->> 0 AS BIGINT)
        AND stats.database_name = item.value ->> 1"""
)
_OF_OWNERS: Final = "AS stats WHERE stats.instance_id IN :owners"
_NAMED: Final = "AND stats.database_name = :database_name"
_INSTANCES: Final = instances_select(
    """{items} CROSS JOIN instance_size_stats AS stats
    WHERE stats.instance_id = CAST(item.value ->> 0 AS BIGINT)""",
    OF_ITS_DAYS,
)


_DATABASES_OF: Final = typed(_DATABASES, *database_size_aggregations.c)
_INSTANCES_OF: Final = typed(_INSTANCES, *instance_size_aggregations.c)


def _as_table(select: str, table: Table) -> Mapping[str, CTE]:
    columns = ", ".join(column.name for column in table.columns)
    named = f"WITH found ({columns}) AS ({select}) SELECT * FROM found"  # noqa: S608 -- our own
    return {
        name: filled(portable(named), name).bindparams(OWNERS).columns(*table.c).cte("running")
        for name in BLANKS
    }


# The ids of instances, in the statement itself: plans differ for one and for all of them.
OWNERS: Final = bindparam("owners", (), BigInteger(), expanding=True, literal_execute=True)
# The running aggregates of all databases of these instances, or of those that have :database_name,
# and of the instances themselves: tables to select from.
RUNNING_DATABASES: Final = _as_table(
    databases_select(f"database_size_stats {_OF_OWNERS}"), database_size_aggregations
)
RUNNING_NAMED: Final = _as_table(
    databases_select(f"database_size_stats {_OF_OWNERS} {_NAMED}"), database_size_aggregations
)
RUNNING_INSTANCES: Final = _as_table(
    instances_select(f"instance_size_stats {_OF_OWNERS}", OF_ITS_DAYS), instance_size_aggregations
)


def databases_in(
    connection: Connection, period: Period, series: Iterable[tuple[int, str]]
) -> Sequence[Row[Any]]:
    """Compute the aggregates of these databases (instance, name) over a week, month or quarter.

    Rows have the columns of `database_size_aggregations`, by name and in their order. A database
    without a known size in the period has no row; nobody asks for one twice.
    """
    return _computed(connection, _DATABASES_OF, period, series)


def instances_in(
    connection: Connection, period: Period, instance_ids: Iterable[int]
) -> Sequence[Row[Any]]:
    """Likewise those of instances, as rows of `instance_size_aggregations`.

    Which databases broke their series is known from the aggregates of their days.
    """
    return _computed(connection, _INSTANCES_OF, period, ((each,) for each in instance_ids))


def _computed(
    connection: Connection,
    statement: Mapping[str, TextualSelect],
    period: Period,
    keys: Iterable[tuple[object, ...]],
) -> Sequence[Row[Any]]:
    values = {**span_of(period), "doc": as_doc(keys)}
    return connection.execute(statement[connection.dialect.name], values).all()
