"""What we ask a PostgreSQL. Every statement reads, and names the schema of what it reads."""

from typing import Final

# Every name with its schema: a search_path that we did not set may lead to somebody's functions.
DATABASES: Final = "SELECT oid, datname, datconnlimit FROM pg_catalog.pg_database ORDER BY oid"
SYSTEM_DATABASES: Final = frozenset(
    {
        "template0",
        "template1",
        "rdsadmin",
        "cloudsqladmin",
        "alloydbadmin",
        "alloydbmetadata",
        "azure_maintenance",
        "azure_sys",
    }
)
# By oid, for a name may be dropped meanwhile and fail the statement; a database that is gone has no
# row, or a size of NULL. OFFSET 0 has the rights looked up once.
_SIZES_OF: Final = """
SELECT oid, allowed, CASE WHEN allowed THEN pg_catalog.pg_database_size(oid) END
FROM (SELECT oid, pg_catalog.has_database_privilege(oid, 'CONNECT')
                  OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
      FROM {those} OFFSET 0) AS asked (oid, allowed)
"""
SIZES: Final = _SIZES_OF.format(
    those="pg_catalog.pg_database WHERE oid OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.oid[])"
)
_FIRST: Final = f"""(
    SELECT oid FROM pg_catalog.pg_database WHERE datconnlimit OPERATOR(pg_catalog.<>) -2
        AND NOT datname OPERATOR(pg_catalog.=)
            ANY ('{{{",".join(sorted(SYSTEM_DATABASES))}}}'::pg_catalog.name[])
    ORDER BY oid LIMIT %s) AS first"""  # noqa: S608 -- our own
# Of as many as LIMIT says, which is filled in, of those that DATABASES tells first.
FIRST_SIZES: Final = _SIZES_OF.format(those=_FIRST)
RIGHTS: Final = """
SELECT datname, pg_catalog.has_database_privilege(oid, 'CONNECT')
             OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
FROM pg_catalog.pg_database WHERE datconnlimit OPERATOR(pg_catalog.<>) -2
"""
INHERITS: Final = """
SELECT rolinherit FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user
"""
QUERIES: Final = (DATABASES, SIZES, FIRST_SIZES, RIGHTS, INHERITS)
