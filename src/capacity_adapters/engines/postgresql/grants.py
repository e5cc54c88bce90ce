"""Which rights sizing PostgreSQL takes: the script that grants them, and what a login has of them.

`pg_database_size` wants CONNECT on that database or the role `pg_read_all_stats`, says the manual
(functions-admin, database object size functions).
"""

from typing import Final

import psycopg

from capacity_adapters.engines.postgresql.connect import quoted
from capacity_adapters.engines.postgresql.link import Link
from capacity_adapters.engines.postgresql.queries import INHERITS, RIGHTS
from capacity_core.diagnosis import Capabilities, Check, CheckState, GrantScript
from capacity_core.messages import text
from capacity_core.model import sql_cure

CAPABILITIES: Final = Capabilities(system_databases=True, visibility_proof=True, identity=True)
MEMBERSHIPS_INHERIT_FROM: Final = 160_000  # since 16 each membership says whether it is inherited


def grants(user: str) -> tuple[GrantScript, ...]:
    """Give the scripts for a new login; the password is for the administrator to choose."""
    login = quoted(user)
    create = f"CREATE ROLE {login} LOGIN PASSWORD 'change me'"
    return (
        GrantScript("PostgreSQL 12 to 18", (create, f"GRANT pg_read_all_stats TO {login}")),
        GrantScript(
            "Instead, where an administrator may grant only pg_monitor, which holds it and more",
            (create, f"GRANT pg_monitor TO {login}"),
        ),
        GrantScript(
            "In addition, where CONNECT on the database to log in to was revoked from PUBLIC",
            (f"GRANT CONNECT ON DATABASE postgres TO {login}",),
        ),
    )


def examine(link: Link, user: str) -> tuple[Check, ...]:
    """Tell what the login may; that it is here proves CONNECT on the database to log in to."""
    return Check("connect", CheckState.OK, text("doctor.connect")), _sizes(link, user)


def _sizes(link: Link, user: str) -> Check:
    name, unlocks = "read_sizes", text("doctor.read_sizes")
    try:
        rows = link.ask(RIGHTS)
    except psycopg.Error:
        if link.lost or link.guard.expired:
            raise
        return Check(name, CheckState.UNKNOWN, unlocks)
    denied = tuple(sorted(database for database, allowed in rows if allowed is False))
    if not denied:
        return Check(name, CheckState.OK, unlocks)
    return Check(name, CheckState.MISSING, unlocks, denied, sql_cure(cure(link, user)))


def cure(link: Link, user: str) -> str:
    """Say what lets that login size every database, also one that inherits nothing."""
    login = quoted(user)
    grant = f"GRANT pg_read_all_stats TO {login}"
    try:
        inherits = link.ask(INHERITS) != [(False,)]
    except psycopg.Error:  # the sizes that we have are worth more
        inherits = True
    if link.connection.info.server_version >= MEMBERSHIPS_INHERIT_FROM:
        # A membership that is there keeps what it says, whatever the role inherits by now.
        return f"{grant} WITH INHERIT TRUE"
    return grant if inherits else f"ALTER ROLE {login} INHERIT; {grant}"
