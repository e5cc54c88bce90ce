"""The least rights that sizing an Oracle database needs, as scripts for an administrator."""

import re
from typing import Final

from capacity_adapters.engines.oracle.catalogue import quoted
from capacity_adapters.engines.oracle.queries import VIEWS_OF_ONE, VIEWS_OF_ROOT
from capacity_core.diagnosis import GrantScript
from capacity_core.errors import InvalidInputError
from capacity_core.messages import text

COMMON: Final = (
    "C##"  # what the name of a common user begins with, unless an administrator changed it
)
MAX_NAME: Final = 128
SUBSTITUTED: Final = "&"  # SQL*Plus puts a variable in its place, in quotes, too
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_$#]*")


def grants(user: str) -> tuple[GrantScript, ...]:
    """Give the scripts for a login of that name. Raises InvalidInputError for an impossible one.

    A plain name is spelled in capitals, as the server does at the login itself.
    """
    name = spelled(user)
    if not name or len(name) > MAX_NAME or '"' in name or "\0" in name:
        raise InvalidInputError("user", text("field.text", field="user", limit=MAX_NAME))
    if SUBSTITUTED in name:
        raise InvalidInputError("user", text("field.substituted", field="user", found=SUBSTITUTED))
    common = name if name.startswith(COMMON) else COMMON + name
    one = quoted(name)
    return (
        GrantScript(
            "12.1 to 26, all pluggable databases: run in CDB$ROOT as SYSDBA",
            (
                f'CREATE USER {quoted(common)} IDENTIFIED BY "change me" CONTAINER = ALL',
                f"GRANT CREATE SESSION TO {quoted(common)}",
                *_selects(VIEWS_OF_ROOT, quoted(common)),
                f"ALTER USER {quoted(common)} SET CONTAINER_DATA = ALL CONTAINER = CURRENT",
            ),
        ),
        GrantScript(
            "12.1 to 26, one pluggable database, or one without containers: run in it as SYSDBA",
            (
                f'CREATE USER {one} IDENTIFIED BY "change me"',
                f"GRANT CREATE SESSION TO {one}",
                *_selects(VIEWS_OF_ONE, one),
            ),
        ),
        GrantScript(
            "Autonomous Database: run as ADMIN",
            (
                f'CREATE USER {one} IDENTIFIED BY "change me"',
                f"GRANT CREATE SESSION TO {one}",
                f"GRANT SELECT_CATALOG_ROLE TO {one}",
            ),
        ),
        GrantScript(
            "Amazon RDS: run as the master user",
            (
                f'CREATE USER {one} IDENTIFIED BY "change me"',
                f"GRANT CREATE SESSION TO {one}",
                *(_through_rds(view, name) for view in VIEWS_OF_ONE),
            ),
        ),
    )


def spelled(user: str) -> str:
    """Spell a login's name as the server keeps it: in capitals, if it is a plain one."""
    return user.upper() if _PLAIN.fullmatch(user) else user


def _selects(views: tuple[str, ...], login: str) -> tuple[str, ...]:
    return tuple(f"GRANT SELECT ON SYS.{view.upper()} TO {login}" for view in views)


def _through_rds(view: str, name: str) -> str:
    literal = name.replace("'", "''")
    return (
        f"BEGIN rdsadmin.rdsadmin_util.grant_sys_object('{view.upper()}', '{literal}', 'SELECT');"
        " END;"
    )
