"""What we ask a MySQL or MariaDB. Every statement reads, and names the schema of what it reads."""

from collections.abc import Sequence
from typing import Final

from capacity_adapters.engines.mysql.connect import FILE_VIEWS
from capacity_adapters.engines.mysql.errors import literal

# They store nothing here, or what another table counts already.
NOT_STORED: Final = (
    "BLACKHOLE",
    "CONNECT",
    "FEDERATED",
    "MEMORY",
    "MRG_MyISAM",
    "PERFORMANCE_SCHEMA",
    "S3",
    "SPIDER",
)
# The server tells no size of them, though their files hold bytes.
UNTOLD: Final = ("CSV",)
# TABLES tells of them what a sample of their pages suggests; of the others what their files hold.
ESTIMATED: Final = ("InnoDB", "ndbcluster", "ROCKSDB", "TokuDB")
GRANTS: Final = "SHOW GRANTS"
# The server encodes: file names spell most letters in codes of its own.
ENCODED_SCHEMAS: Final = (
    "SELECT schema_name, CAST(CONVERT(schema_name USING filename) AS BINARY)"
    " FROM information_schema.schemata"
)
SCHEMAS: Final = "SELECT schema_name, CAST(schema_name AS BINARY) FROM information_schema.schemata"
# Without BINARY the server takes `Shop` and `shop` for one.
_TABLE_SIZES: Final = (
    "SELECT CAST(table_schema AS BINARY),"
    " SUM(COALESCE(data_length, 0) + COALESCE(index_length, 0)),"
    " SUM(data_length IS NULL), SUM(engine IN ({})), SUM(engine IN ({}))"
    " FROM information_schema.tables WHERE table_type NOT LIKE '%VIEW'"
    " AND COALESCE(engine, '') NOT IN ({}) GROUP BY 1"
)
_FIND: Final = (
    "SELECT table_name, engine, table_comment FROM information_schema.tables"
    " WHERE table_schema = {} AND {}"
)
_DAMAGED: Final = "data_length IS NULL AND table_type NOT LIKE '%VIEW'"
_FILE_SIZES: Final = (
    "SELECT CAST(SUBSTRING_INDEX(name, '/', 1) AS BINARY), SUM(file_size)"
    " FROM information_schema.{} WHERE name LIKE '%/%' GROUP BY 1"
)
_FILES_PROBE: Final = "SELECT 1 FROM information_schema.{} LIMIT 1"


def table_sizes(without: Sequence[str]) -> str:
    """Ask the tables of every schema, those of some storage engines left out."""
    return _TABLE_SIZES.format(*map(_listed, (UNTOLD, ESTIMATED, without)))


def find_damaged(schema: str) -> str:
    """Give what an administrator may ask for the tables that cannot be read."""
    return _FIND.format(literal(schema), _DAMAGED)


def find_untold(schema: str) -> str:
    """Give what an administrator may ask for the tables whose size no server tells."""
    return _FIND.format(literal(schema), f"engine IN ({_listed(UNTOLD)})")


def file_sizes(view: str) -> str:
    """Ask one of FILE_VIEWS for the bytes of every schema."""
    return _FILE_SIZES.format(view)


def files_probe(view: str) -> str:
    """Ask one of FILE_VIEWS whether we may."""
    return _FILES_PROBE.format(view)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


QUERIES: Final = (
    GRANTS,
    ENCODED_SCHEMAS,
    SCHEMAS,
    table_sizes(NOT_STORED),
    *map(file_sizes, FILE_VIEWS),
    *map(files_probe, FILE_VIEWS),
)
