"""Which rights sizing MySQL and MariaDB takes: their script, and what a login has of them."""

from collections.abc import Iterable
from typing import Final

from capacity_adapters.engines.mysql.grants import Grants
from capacity_core.diagnosis import Capabilities, Check, CheckState, GrantScript
from capacity_core.messages import Text, text
from capacity_core.model import sql_cure

# A schema is a name: the server keeps nothing of it that one made anew would not have.
CAPABILITIES: Final = Capabilities(system_databases=True, visibility_proof=True)

# The first makes sizes exact; the second shows every schema and table, and reads none.
FILES_RIGHT: Final = "PROCESS"
SIGHT_RIGHT: Final = "SHOW VIEW"
CURES: Final = (FILES_RIGHT, SIGHT_RIGHT)
ALL: Final = ("ALL", "ALL PRIVILEGES")


def grants(user: str) -> tuple[GrantScript, ...]:
    """Give the script for a new login; the password is for the administrator to choose."""
    login = f"{quoted(user)}@`%`"
    statements = (
        f"CREATE USER {login} IDENTIFIED BY 'change me'",
        f"GRANT {', '.join(CURES)} ON *.* TO {login}",
    )
    return (GrantScript("MySQL 5.7 to 9, MariaDB 10 to 12", statements),)


def quoted(name: str) -> str:
    """Quote an identifier; unlike in a string, no sql_mode changes what is in it."""
    return "`" + name.replace("`", "``") + "`"


def checks(rights: Grants, schemas: Iterable[str], files: CheckState) -> tuple[Check, ...]:
    """Tell which rights there are. `files` says whether the sizes of files could be read."""
    dark = tuple(sorted(name for name in schemas if not rights.sees_tables_of(name)))
    schemas_state = CheckState.OK if rights.sees_every_schema else CheckState.MISSING
    return (
        _check("see_schemas", schemas_state, rights, SIGHT_RIGHT),
        _check("see_tables", _missing_if(dark), rights, SIGHT_RIGHT, dark),
        _check("read_files", files, rights, FILES_RIGHT),
    )


def _missing_if(dark: tuple[str, ...]) -> CheckState:
    return CheckState.MISSING if dark else CheckState.OK


def _check(
    name: str, state: CheckState, rights: Grants, right: str, costs: tuple[str, ...] = ()
) -> Check:
    unlocks = text(f"doctor.{name}")
    if state is not CheckState.MISSING:
        return Check(name, state, unlocks, costs)
    if rights.everywhere & {right, *ALL}:
        # It was revoked on single schemas (MySQL's partial_revokes): to grant it again is no cure.
        return Check(name, CheckState.UNKNOWN, unlocks, costs)
    return Check(name, state, unlocks, costs, cure_of(rights, right))


def cure_of(rights: Grants, *missing: str) -> Text:
    """Grant what is missing; never to the anonymous account, for that is anybody."""
    if rights.anonymous_host is not None:
        return text("")
    return sql_cure(f"GRANT {', '.join(missing)} ON *.* TO {rights.login}")
