"""What a login may see, read from its SHOW GRANTS: the views do not say what they leave out."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Final

from attrs import field, frozen

MOST_ROWS: Final = 10_000  # of one answer; the revokes come last, so of more we believe nothing
LONGEST_ROW: Final = 8192  # characters; with every privilege there is, it is some two thousand
LONGEST_NAME: Final = 128  # characters; servers allow 64, and put a prefix before some

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

# Possessive: a quote that is never closed would be tried from each of its characters anew.
_QUOTED = r"`(?:[^`]|``)*+`|'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"]|\"\")*+\""
_CLOSED = re.compile(_QUOTED, re.DOTALL)
_TOKEN = re.compile(rf"{_QUOTED}|[`'\"].*|\w+|\S", re.DOTALL)
# What LIKE takes for any characters, and for any one; an escaped one is spelled with its backslash.
ANY, ONE = "%", "_"


@frozen
class _Pattern:
    """A LIKE pattern, character by character; `shows` says whether a fitting schema's tables show.

    What it begins and ends with is plain, and tells most misfits at once.
    """

    parts: tuple[str, ...]
    shows: bool
    begins: str
    ends: str

    def fits(self, name: str) -> bool:
        return (
            name.startswith(self.begins) and name.endswith(self.ends) and is_like(name, self.parts)
        )


@frozen
class Grants:
    """The rights of a login that matter here; `login` is spelled as SQL.

    `anonymous_host` is set if it is the anonymous account, and then its host.
    """

    everywhere: frozenset[str] = frozenset()
    on_schemas: Mapping[str, bool] = field(factory=dict)
    on_patterns: tuple[_Pattern, ...] = ()
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
        fitting = [each.shows for each in self.on_patterns if each.fits(schema)]
        if schema in self.on_schemas:
            fitting.append(self.on_schemas[schema])
        return bool(fitting) and all(fitting)


def parse_grants(rows: Iterable[str]) -> Grants:
    """Read the rows of SHOW GRANTS; a row that we do not understand gives no right."""
    everywhere: frozenset[str] = frozenset()
    on_schemas: dict[str, bool] = {}
    on_patterns: list[_Pattern] = []
    revoked: set[str] = set()
    login = Grants().login
    anonymous_host: str | None = None
    for place, row in enumerate(islice(rows, MOST_ROWS + 1)):
        if place == MOST_ROWS:
            return Grants()
        tokens = _tokens(row)
        verb = tokens[0].upper() if tokens else ""
        privileges, scope, rest = _split(tokens[1:], "FROM" if verb == "REVOKE" else "TO")
        if login == Grants().login and verb == "GRANT" and rest[1:2] == ["@"]:
            login = "".join(rest[:3])
            anonymous_host = None if _unquoted(rest[0]) else _unquoted("".join(rest[2:3]))
        match scope:
            case ["*", ".", "*"] if verb == "GRANT":
                everywhere |= privileges
            case [schema, ".", "*"] if verb == "GRANT":
                parts, shows = like_parts(_unquoted(schema)), bool(privileges & SHOW_TABLES)
                begins = _plain(parts)
                if len(begins) < len(parts):
                    ends = _plain(parts[::-1])[::-1]
                    on_patterns.append(_Pattern(parts, shows, begins, ends))
                else:
                    on_schemas[begins] = shows and on_schemas.get(begins, True)
            case [schema, ".", *_] if verb != "GRANT":
                revoked.add(_unquoted(schema))
    return Grants(
        everywhere, on_schemas, tuple(on_patterns), frozenset(revoked), login, anonymous_host
    )


def _tokens(row: str) -> list[str]:
    """Return none of a row that is too long, or whose last quote is not closed."""
    tokens = _TOKEN.findall(row) if len(row) <= LONGEST_ROW else []
    is_cut = tokens and tokens[-1][0] in "`'\"" and not _CLOSED.fullmatch(tokens[-1])
    return [] if is_cut else tokens


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


def like_parts(pattern: str) -> tuple[str, ...]:
    """Split a pattern into characters; a backslash stays with the one that it makes plain."""
    return tuple(re.findall(r"\\.|.", pattern, re.DOTALL))


def _plain(parts: Sequence[str]) -> str:
    """Return what stands before the first wildcard."""
    return "".join(part[-1] for part in takewhile(lambda part: part not in {ANY, ONE}, parts))


def is_like(name: str, parts: Sequence[str]) -> bool:
    """Match as LIKE does. Only the last `%` is ever tried again, so no pattern takes forever."""
    if len(name) > LONGEST_NAME or len(parts) > LONGEST_NAME:
        return False
    at = place = 0
    retry: tuple[int, int] | None = None  # behind the last `%`: the part, and where it was tried
    while at < len(name):
        part = parts[place] if place < len(parts) else ""
        if part == ANY:
            place += 1
            retry = place, at
        elif part == ONE or part[-1:] == name[at]:
            at, place = at + 1, place + 1
        elif retry:
            place, at = retry[0], retry[1] + 1
            retry = place, at
        else:
            return False
    return all(part == ANY for part in parts[place:])
