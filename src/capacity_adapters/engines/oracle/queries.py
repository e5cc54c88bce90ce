"""What we ask an Oracle database: views of its dictionary only, by their owner's name.

Columns as in Oracle's Database Reference, 12.1 to 26. A `CDB_` view shows the open containers that
the login may see, a `DBA_` view the one it is connected to.
"""

from typing import Final

# Needs no right. CON_ID is 0 without containers, 1 in the root of some.
PLACE: Final = (
    "SELECT SYS_CONTEXT('USERENV', 'CON_ID'), SYS_CONTEXT('USERENV', 'CON_NAME'),"
    " SYS_CONTEXT('USERENV', 'SESSION_USER') FROM dual"
)
# The GUID is given once, at creation, and kept when a container moves.
PDBS: Final = "SELECT con_id, name, open_mode, total_size, RAWTOHEX(guid) FROM sys.v_$pdbs"
TABLESPACES: Final = "SELECT tablespace_name, status FROM sys.dba_tablespaces"
# What the views hide, they hide without a word: only this one tells.
SEES_ALL: Final = (
    "SELECT COUNT(*) FROM sys.dba_container_data WHERE username = :login"
    " AND default_attr = 'Y' AND all_containers = 'Y'"
)

# So many blocks are the most that a bigfile tablespace can have: nobody set a limit.
UNLIMITED_BLOCKS: Final = 4_294_967_293

# A file whose bytes are NULL cannot be read now: its group's sum would be too small.
_FILES: Final = (
    "SELECT {key}, COUNT(*), COUNT(bytes), SUM(bytes),"
    " SUM(CASE WHEN kind = 'data' THEN bytes ELSE 0 END),"
    " SUM(CASE WHEN autoextensible = 'YES' THEN GREATEST(bytes, maxbytes) ELSE bytes END),"
    " SUM(CASE WHEN autoextensible = 'YES' AND"
    " (maxblocks >= {unlimited} OR maxbytes IS NULL OR maxbytes = 0) THEN 1 ELSE 0 END)"
    " FROM (SELECT {key}, 'data' AS kind, bytes, maxbytes, maxblocks, autoextensible"
    " FROM sys.{owner}_data_files UNION ALL"
    " SELECT {key}, 'temp' AS kind, bytes, maxbytes, maxblocks, autoextensible"
    " FROM sys.{owner}_temp_files) f GROUP BY {key}"
)
# USED_SPACE alone: TABLESPACE_SIZE means another thing in every version. An offline tablespace
# has no metrics.
_USED: Final = (
    "SELECT {key}, COUNT(*), COUNT(m.used_space), SUM(m.used_space * t.block_size)"
    " FROM sys.{owner}_tablespaces t LEFT JOIN sys.{owner}_tablespace_usage_metrics m"
    " ON {match} GROUP BY {key}"
)
_SAME_NAME: Final = "m.tablespace_name = t.tablespace_name"

FILES_OF_PDBS: Final = _FILES.format(key="con_id", owner="cdb", unlimited=UNLIMITED_BLOCKS)
FILES_OF_TABLESPACES: Final = _FILES.format(
    key="tablespace_name", owner="dba", unlimited=UNLIMITED_BLOCKS
)
USED_OF_PDBS: Final = _USED.format(
    key="t.con_id", owner="cdb", match=f"m.con_id = t.con_id AND {_SAME_NAME}"
)
USED_OF_TABLESPACES: Final = _USED.format(key="t.tablespace_name", owner="dba", match=_SAME_NAME)


def probe_of(view: str) -> str:
    """Ask a view for nothing: whether we may is told when the statement is parsed."""
    return f"SELECT 1 FROM sys.{view} WHERE 1 = 0"  # noqa: S608 -- a name of ours


VIEWS_OF_ROOT: Final = (
    "v_$pdbs",
    "cdb_data_files",
    "cdb_temp_files",
    "cdb_tablespaces",
    "cdb_tablespace_usage_metrics",
    "dba_container_data",
)
VIEWS_OF_ONE: Final = (
    "dba_data_files",
    "dba_temp_files",
    "dba_tablespaces",
    "dba_tablespace_usage_metrics",
)
QUERIES: Final = (
    PLACE,
    PDBS,
    TABLESPACES,
    SEES_ALL,
    FILES_OF_PDBS,
    FILES_OF_TABLESPACES,
    USED_OF_PDBS,
    USED_OF_TABLESPACES,
    *(probe_of(view) for view in (*VIEWS_OF_ROOT, *VIEWS_OF_ONE)),
)
