"""SQL that both stores understand, but for the few words that fill its blanks."""

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Date, Double, Text, TextClause, bindparam, text
from sqlalchemy.types import TypeEngine

from capacity_adapters.names import is_storable
from capacity_adapters.store.tables import UtcDateTime
from capacity_core.model import MAX_BYTES

Statement = Mapping[str, TextClause]

# `item` holds one row of the JSON parameter; `->>` reads its columns (SQLite 3.38).
_BLANKS: Final = {
    "postgresql": {
        "items": "jsonb_array_elements(CAST(:doc AS JSONB)) AS item(value)",
        "now": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
        "differs": "IS DISTINCT FROM",
        "unhurried": ", (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried",
    },
    "sqlite": {
        "items": "json_each(:doc) AS item",
        "now": "((julianday('now') - 2440587.5) * 86400.0)",
        "differs": "IS NOT",
        "unhurried": "",
    },
}

_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "instance_id": BigInteger(),
    "day": Date(),
    "at": UtcDateTime(),
    "doc": Text(),
    "owner": Text(),
    "fencing": BigInteger(),
    "seconds": Double(),
    "database_name": Text(),
    "limit_bytes": BigInteger(),
}


def portable(template: str) -> Statement:
    """Build the statement for both stores, once; parameters have the types of the list above."""
    names = sorted(set(re.findall(r"(?<!:):(\w+)", template + _blanks_used(template))))
    binds = [bindparam(name, type_=_TYPES[name]) for name in names]
    return MappingProxyType(
        {
            dialect: text(template.format(**blanks)).bindparams(*binds)
            for dialect, blanks in _BLANKS.items()
        }
    )


def _blanks_used(template: str) -> str:
    return " :doc" if "{items}" in template else ""


def statement_for(statement: Statement, connection: Connection) -> TextClause:
    return statement[connection.dialect.name]


def as_doc(rows: Iterable[tuple[object, ...]]) -> str:
    """Pack rows into the one JSON parameter of a bulk statement."""
    return json.dumps(list(rows), separators=(",", ":"))


def sought(instance_id: int) -> int:
    """An id beyond 64 bits would fail in the driver; no row has the one given instead."""
    return instance_id if 0 < instance_id <= MAX_BYTES else 0


def can_be_known(*names: str) -> bool:
    """No row can hold other names, and some drivers fail on them."""
    return all(map(is_storable, names))
