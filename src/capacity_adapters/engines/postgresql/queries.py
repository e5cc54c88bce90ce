"""What we ask a PostgreSQL. Every statement reads, and names the schema of what it reads."""

from typing import Final

# Every name with its schema: a search_path that we did not set may lead to somebody's functions.
DATABASES: Final = "SELECT oid, datname, datconnlimit FROM pg_catalog.pg_database"
# By oid, for a name may be dropped meanwhile and fail the statement, and PostgreSQL 18 sizes no oid
# that is gone. A privilege of NULL, or a size of NULL in spite of it, is a database that is gone.
SIZES: Final = """
SELECT o, allowed, CASE WHEN allowed THEN pg_catalog.pg_database_size(o) END
FROM (SELECT o, CASE WHEN EXISTS (
                  SELECT FROM pg_catalog.pg_database AS d WHERE d.oid OPERATOR(pg_catalog.=) o)
                THEN pg_catalog.has_database_privilege(o, 'CONNECT')
                     OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') END
      FROM pg_catalog.unnest(%s::pg_catalog.oid[]) AS o) AS asked (o, allowed)
"""
RIGHTS: Final = """
SELECT datname, pg_catalog.has_database_privilege(oid, 'CONNECT')
             OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
FROM pg_catalog.pg_database WHERE datconnlimit OPERATOR(pg_catalog.<>) -2
"""
INHERITS: Final = """
SELECT rolinherit FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user
"""
QUERIES: Final = (DATABASES, SIZES, RIGHTS, INHERITS)
