"""SQL that both stores understand, but for the few words that fill its blanks."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, NewType

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    Double,
    Text,
    TextClause,
    TextualSelect,
    bindparam,
    text,
)
from sqlalchemy.types import TypeEngine

from capacity_adapters.names import is_storable
from capacity_adapters.store.tables import UtcDateTime
from capacity_core.model import MAX_BYTES

Statement = NewType("Statement", str)  # with blanks

# Where the day before knows no size of a database: the columns of the last known day, or that day.
_EARLIER: Final = """SELECT stats.{0} FROM database_size_stats AS stats
        WHERE stats.instance_id = today.instance_id AND stats.database_name = today.database_name
            AND stats.collected_date < :yesterday AND stats.size_bytes IS NOT NULL
        ORDER BY stats.collected_date DESC LIMIT 1"""

# `item` holds one row of the JSON parameter; `->>` reads its columns (SQLite 3.38). SQLite's
# sum() fails beyond 64 bits, so it adds up halves; its CAST alone makes numbers whole. Ids are an
# array for PostgreSQL: it looks them up in an index, where it would join a subquery with all. What
# is planned once looks into indexes, too: the plan may be as old as the empty store.
BLANKS: Final = {
    "postgresql": {
        "items": "jsonb_array_elements(CAST(:doc AS JSONB)) AS item(value)",
        "ids": """= ANY (ARRAY(SELECT CAST(item.value ->> 0 AS BIGINT)
        FROM jsonb_array_elements(CAST(:doc AS JSONB)) AS item(value)))""",
        "pairs": "CAST(json_agg(json_build_array(database_name, is_active)) AS TEXT)",
        "now": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
        "differs": "IS DISTINCT FROM",
        "halves": "false",
        "beside": "FULL JOIN",
        "by_byte": ' COLLATE "C"',
        "whole": "trunc",
        "long_before": f"""LEFT JOIN LATERAL (
        {_EARLIER.format("*").replace("WHERE", "WHERE yesterday.instance_id IS NULL AND", 1)}
        ) AS earlier ON true""",
        "locked": "FOR UPDATE",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "planned_once": """
FROM (SELECT set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_seqscan', 'off', true)) AS planned_once""",
        "unhurried": ", (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried",
    },
    "sqlite": {
        "items": "json_each(:doc) AS item",
        "ids": "IN (SELECT CAST(item.value ->> 0 AS BIGINT) FROM json_each(:doc) AS item)",
        "pairs": "json_group_array(json_array(database_name, is_active))",
        "now": "((julianday('now') - 2440587.5) * 86400.0)",
        "differs": "IS NOT",
        "halves": "true",
        "beside": "LEFT JOIN",
        "by_byte": "",
        "whole": "",
        "long_before": f"""LEFT JOIN database_size_stats AS earlier
        ON yesterday.instance_id IS NULL AND earlier.instance_id = today.instance_id
        AND earlier.database_name = today.database_name
        AND earlier.collected_date = ({_EARLIER.format("collected_date")})""",
        "locked": "",
        "skip_locked": "",
        "planned_once": "",
        "unhurried": "",
    },
}

_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "instance_id": BigInteger(),
    "owners": BigInteger(),
    "day": Date(),
    "yesterday": Date(),
    "kind": Text(),
    "since": Date(),
    "start": Date(),
    "end": Date(),
    "at": UtcDateTime(),
    "doc": Text(),
    "owner": Text(),
    "fencing": BigInteger(),
    "seconds": Double(),
    "database_name": Text(),
    "limit_bytes": BigInteger(),
    "run_id": BigInteger(),
    "most": BigInteger(),
    "name": Text(),
    "mark": Text(),
    "selection": Text(),
    "digest": Text(),
    "trigger": Text(),
    "requested_by": Text(),
    "items": BigInteger(),
}


def portable(template: str) -> Statement:
    """Take a statement for both stores; its parameters have the types of the list above."""
    return Statement(template)


@cache
def filled(statement: Statement, dialect: str) -> TextClause:
    """Build the statement for one store, when it is first asked for."""
    sql = statement.format(**BLANKS[dialect])
    names = sorted(set(re.findall(r"(?<!:):(\w+)", sql)))
    return text(sql).bindparams(*(bindparam(name, type_=_TYPES[name]) for name in names))


def typed(template: str, *columns: ColumnElement[Any]) -> Mapping[str, TextualSelect]:
    """Build a SELECT for both stores whose columns, in their order, have the types of these."""
    return {name: filled(portable(template), name).columns(*columns) for name in BLANKS}


def statement_for(statement: Statement, connection: Connection) -> TextClause:
    return filled(statement, connection.dialect.name)


def as_doc(rows: Iterable[tuple[object, ...]]) -> str:
    """Pack rows into the one JSON parameter of a bulk statement."""
    return json.dumps(list(rows), separators=(",", ":"))


def sought(instance_id: int) -> int:
    """An id beyond 64 bits would fail in the driver; no row has the one given instead."""
    return instance_id if 0 < instance_id <= MAX_BYTES else 0


def can_be_known(*names: str) -> bool:
    """No row can hold other names, and some drivers fail on them."""
    return all(map(is_storable, names))
