"""What a login may see, read from its SHOW GRANTS: the views do not say what they leave out."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

# Any one of them, on a schema, shows its tables.
SHOW_TABLES: Final = frozenset(
    {
        "ALL",
        "ALL PRIVILEGES",
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "REFERENCES",
        "INDEX",
        "ALTER",
        "SHOW VIEW",
        "TRIGGER",
        "CREATE",
        "DROP",
        "CREATE VIEW",
        "DELETE HISTORY",
        "DELETE VERSIONING ROWS",
    }
)
# Any one of them, on *.*, shows every schema.
SHOW_SCHEMAS: Final = SHOW_TABLES | {
    "SHOW DATABASES",
    "EXECUTE",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EVENT",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
}
PROCESS: Final = frozenset({"ALL", "ALL PRIVILEGES", "PROCESS"})

_TOKEN = re.compile(r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"]|\"\")*\"|\w+|\S", re.DOTALL)


@frozen
class _SchemaGrant:
    """Privileges on the schemas whose name is like a pattern."""

    pattern: "re.Pattern[str]"
    privileges: frozenset[str]


@frozen
class Grants:
    """The rights of a login that matter here; `login` is spelled as SQL.

    `anonymous_host` is set if it is the anonymous account, and then its host.
    """

    everywhere: frozenset[str] = frozenset()
    on_schemas: tuple[_SchemaGrant, ...] = ()
    revoked: frozenset[str] = frozenset()
    login: str = "CURRENT_USER"
    anonymous_host: str | None = None

    @property
    def sees_processes(self) -> bool:
        return bool(self.everywhere & PROCESS)

    @property
    def sees_every_schema(self) -> bool:
        return bool(self.everywhere & SHOW_SCHEMAS) and not self.revoked

    def sees_tables_of(self, schema: str) -> bool:
        """Say whether every table shows. The server follows the closest pattern, we all."""
        if schema in self.revoked:
            return False
        if self.everywhere & SHOW_TABLES:
            return True
        fitting = [grant for grant in self.on_schemas if grant.pattern.fullmatch(schema)]
        return bool(fitting) and all(grant.privileges & SHOW_TABLES for grant in fitting)


def parse_grants(rows: Iterable[str]) -> Grants:
    """Read the rows of SHOW GRANTS; a row that we do not understand gives no right."""
    everywhere: frozenset[str] = frozenset()
    on_schemas: list[_SchemaGrant] = []
    revoked: set[str] = set()
    login = Grants().login
    anonymous_host: str | None = None
    for row in rows:
        tokens = _TOKEN.findall(row)
        verb = tokens[0].upper() if tokens else ""
        privileges, scope, rest = _split(tokens[1:], "FROM" if verb == "REVOKE" else "TO")
        if login == Grants().login and verb == "GRANT" and rest[1:2] == ["@"]:
            login = "".join(rest[:3])
            anonymous_host = None if _unquoted(rest[0]) else _unquoted("".join(rest[2:3]))
        match scope:
            case ["*", ".", "*"] if verb == "GRANT":
                everywhere |= privileges
            case [schema, ".", "*"] if verb == "GRANT":
                on_schemas.append(_SchemaGrant(_like(_unquoted(schema)), privileges))
            case [schema, ".", *_] if verb != "GRANT":
                revoked.add(_unquoted(schema))
    return Grants(everywhere, tuple(on_schemas), frozenset(revoked), login, anonymous_host)


def _split(tokens: list[str], ending: str) -> tuple[frozenset[str], list[str], list[str]]:
    """Split `privileges ON scope TO login` into its three parts."""
    words, scope_and_login = _cut(list(_outside_brackets(tokens)), "ON")
    scope, login = _cut(scope_and_login, ending)
    return frozenset(" ".join(words).upper().split(" , ")), scope, login


def _cut(tokens: list[str], word: str) -> tuple[list[str], list[str]]:
    for place, each in enumerate(tokens):
        if each.upper() == word:
            return tokens[:place], tokens[place + 1 :]
    return tokens, []


def _outside_brackets(tokens: Iterable[str]) -> Iterator[str]:
    """Leave out lists of columns; a right on a column shows one table only, anyway."""
    depth = 0
    for each in tokens:
        depth += each == "("
        if depth == 0:
            yield each
        depth -= each == ")"


def _unquoted(name: str) -> str:
    quote = name[:1]
    return name[1:-1].replace(quote * 2, quote) if quote in {"`", '"', "'"} else name


def _like(pattern: str) -> "re.Pattern[str]":
    """Turn LIKE's wildcards into a regular expression; a backslash makes the next one plain."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(p) or re.escape(p[-1]) for p in parts), re.DOTALL)
