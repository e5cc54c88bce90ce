"""Rights on a SQL Server: which a login has, what each is good for, and how it is given."""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from capacity_adapters.engines.sqlserver.queries import RIGHTS
from capacity_core.diagnosis import Check, CheckState, GrantScript
from capacity_core.errors import InvalidInputError
from capacity_core.messages import Text, text
from capacity_core.model import CollectFailed, Reason, sql_cure

AZURE_DATABASE: Final = 5  # the EngineEdition of Azure SQL Database
SUBSTITUTED: Final = "$("  # sqlcmd puts a variable in its place, in brackets, too
LIST: Final = "VIEW ANY DATABASE"
FILES: Final = "VIEW ANY DEFINITION"
ENTER: Final = "CONNECT ANY DATABASE"
STATE: Final = "VIEW SERVER STATE"
STATE_2022: Final = "VIEW SERVER PERFORMANCE STATE"
# What a right is good for; the server tells those that a login has by way of others.
SUFFICES: Final[Mapping[str, frozenset[str]]] = {
    LIST: frozenset({LIST, "ALTER ANY DATABASE"}),
    FILES: frozenset({FILES, "ALTER ANY DATABASE"}),
    ENTER: frozenset({ENTER}),
    STATE: frozenset({STATE, STATE_2022}),
}
# Azure has no such rights to give on a server, but roles that hold them.
AZURE_ROLES: Final[Mapping[str, str]] = {
    LIST: "##MS_DefinitionReader##",
    FILES: "##MS_DefinitionReader##",
    ENTER: "##MS_DatabaseConnector##",
    STATE: "##MS_ServerStateReader##",
}


def quoted(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


@frozen
class Rights:
    """Where a connection is, whose it is, and what it may: each right True, False, or unknown."""

    edition: int
    database: str
    login: str
    held: Mapping[str, bool | None]

    @property
    def is_azure(self) -> bool:
        return self.edition == AZURE_DATABASE

    def allow(self, right: str) -> bool | None:
        """Say whether it is held, by its name or another; None if the server does not know."""
        answers = {self.held.get(each) for each in SUFFICES[right]}
        return True if True in answers else False if False in answers else None

    def cure(self, right: str) -> Text:
        return sql_cure(grant(right, self.login, on_azure=self.is_azure))

    def entering(self, database: str = "the database") -> Text:
        """Say how to be let into a database; before 2014 there is no right to enter any."""
        if self.is_azure or self.held.get(ENTER) is not None:
            return self.cure(ENTER)
        name = quoted(self.login)
        return sql_cure(f"USE {quoted(database)}; CREATE USER {name} FOR LOGIN {name}")

    def check(self, right: str, costs: tuple[str, ...] = (), *, needed: bool = True) -> Check:
        """Tell how this right stands, and which databases have no size for want of it."""
        name = _CHECKS[right]
        unlocks = text(f"doctor.mssql_{name}")
        allowed = self.allow(right)
        if allowed or not needed:
            return Check(name, CheckState.OK, unlocks)
        state = CheckState.UNKNOWN if allowed is None and not costs else CheckState.MISSING
        cure = self.entering(*costs[:1]) if right == ENTER else self.cure(right)
        return Check(name, state, unlocks, costs, cure)


_CHECKS: Final[Mapping[str, str]] = {
    LIST: "see_databases",
    FILES: "see_files",
    ENTER: "enter_databases",
    STATE: "see_snapshots",
}


def grant(right: str, login: str, *, on_azure: bool = False) -> str:
    if on_azure:
        return f"ALTER SERVER ROLE {AZURE_ROLES[right]} ADD MEMBER {quoted(login)}"
    return f"USE master; GRANT {right} TO {quoted(login)}"


def rights_of(rows: Sequence[Sequence[object]], username: str) -> Rights:
    """Read the one row of SERVER. Raises CollectFailed."""
    match rows:
        case [[int(edition), str(database), str() | None as login, *held]] if len(held) == len(
            RIGHTS
        ):
            known = {right: _said(each) for right, each in zip(RIGHTS, held, strict=True)}
            return Rights(edition, database, login or username, known)
    raise CollectFailed(Reason.PROTOCOL)


def _said(value: object) -> bool | None:
    return value == 1 if isinstance(value, int) else None


def grants(user: str) -> tuple[GrantScript, ...]:
    """Give the scripts for a new login; the password is for the administrator to choose.

    Raises InvalidInputError for a name that sqlcmd would change.
    """
    if SUBSTITUTED in user:
        raise InvalidInputError("user", text("field.substituted", field="user", found=SUBSTITUTED))
    name = quoted(user)
    create = f"CREATE LOGIN {name} WITH PASSWORD = 'change me'"

    def granted(*rights: str) -> tuple[str, ...]:
        return tuple(f"GRANT {right} TO {name}" for right in rights)

    roles = dict.fromkeys((AZURE_ROLES[LIST], AZURE_ROLES[ENTER]))
    azure = tuple(f"ALTER SERVER ROLE {role} ADD MEMBER {name}" for role in roles)
    return (
        GrantScript(
            "SQL Server 2014 to 2025 and Azure SQL Managed Instance, in master",
            ("USE master", create, *granted(LIST, FILES, ENTER)),
        ),
        GrantScript("SQL Server 2012, in master", ("USE master", create, *granted(LIST, FILES))),
        GrantScript(
            "In addition on SQL Server 2012, in each database that has FILESTREAM",
            (f"CREATE USER {name} FOR LOGIN {name}",),
        ),
        GrantScript("In addition, where there are database snapshots", granted(STATE)),
        GrantScript(
            "Instead of the last, from SQL Server 2022 on, where less is wanted",
            granted(STATE_2022),
        ),
        GrantScript("Azure SQL Database, in master", (create, *azure)),
    )
