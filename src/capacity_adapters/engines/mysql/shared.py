"""InnoDB tables without a file of their own: they live in a tablespace that many share.

No file tells their size, so the server's statistics do: pages of their indexes, an estimate.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import frozen

from capacity_adapters.engines.mysql.connect import FILE_VIEWS

Ask = Callable[[str], Sequence[tuple[Any, ...]]]

# MariaDB has no general tablespaces, and not in every version a space_type.
_IN_MARIADB: Final = "space = 0"
_IN_MYSQL: Final = "space_type <> 'Single' AND name NOT LIKE 'mysql/%'"
_TABLES: Final = (
    "SELECT table_id, CAST(SUBSTRING_INDEX(name, '/', 1) AS BINARY),"
    " IF(zip_page_size > 0, zip_page_size, @@innodb_page_size)"
    " FROM information_schema.{}tables WHERE {} AND name LIKE '%/%'"
)
_PAGES: Final = (
    "SELECT table_id, stats_initialized, clust_index_size + other_index_size"
    " FROM information_schema.{}tablestats"
)
KNOWN: Final = (1, "Initialized")  # as the versions spell it


@frozen
class Shared:
    """The bytes that each schema has in shared tablespaces; of those in `unknown` nobody knows."""

    found: dict[bytes, int]
    unknown: frozenset[bytes]


def tables_question(view: str, *, is_mariadb: bool) -> str:
    """Ask, beside one of FILE_VIEWS, for the tables that have no file of their own."""
    where = _IN_MARIADB if is_mariadb else _IN_MYSQL
    return _TABLES.format(view.removesuffix("tablespaces"), where)


def pages_question(view: str) -> str:
    """Ask, beside one of FILE_VIEWS, for the pages of every table."""
    return _PAGES.format(view.removesuffix("tablespaces"))


def shared_sizes(ask: Ask, view: str, *, is_mariadb: bool) -> Shared:
    """Sum what no file tells; the second question is for those who need it only."""
    tables = ask(tables_question(view, is_mariadb=is_mariadb))
    counted = ask(pages_question(view)) if tables else ()
    pages = {table: number for table, state, number in counted if state in KNOWN}
    found: dict[bytes, int] = {}
    unknown: set[bytes] = set()
    for table, schema, page_bytes in tables:
        if table in pages:
            found[schema] = found.get(schema, 0) + int(pages[table]) * int(page_bytes)
        else:
            unknown.add(schema)
    return Shared(found, frozenset(unknown))


QUERIES: Final = (
    *(tables_question(view, is_mariadb=kind) for view in FILE_VIEWS for kind in (True, False)),
    *map(pages_question, FILE_VIEWS),
)
