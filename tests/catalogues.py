"""The catalogue of a SQL Server that is none: what its views say, for the stand-in to tell."""

import ssl
from collections.abc import Mapping, Sequence

from attrs import frozen
from tests.certificates import Certificates
from tests.tds import Failed, HangUp, Part, Rows

from capacity_adapters.engines.sqlserver import queries
from capacity_adapters.engines.sqlserver.queries import RIGHTS

LOGIN = "mon]itor"
ROWS, LOG, STREAM = 0, 1, 2
ENTER = "CONNECT ANY DATABASE"
ERROR_COLUMNS = 2
NO_ROWS = Rows(())


def tls_of(made: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


@frozen
class Catalogue:
    """What the views of a server say; a part that is Failed fails its statement."""

    databases: Sequence[Sequence[object]] = ((1, "master", 0, None, 1, 0),)
    files: Sequence[Sequence[object]] | Failed = ()
    inside: Sequence[Part] = ()
    sparse: Part = NO_ROWS
    published: Part = NO_ROWS
    here: str = "master"
    edition: int = 3
    rights: Mapping[str, int | None] = dict.fromkeys(RIGHTS, 1)
    breaks_off: bool = False

    def answer(self, query: str) -> Sequence[Part]:
        if query.startswith(("SET NOCOUNT ON; SET DEADLOCK", "use ")):
            return ()
        if "@there" in query:
            ended = [each for part in self.inside for each in _ended(part)]
            if self.breaks_off:
                raise HangUp(*ended)
            return ended
        held = tuple(self.rights.get(right) for right in RIGHTS)
        files = self.files if isinstance(self.files, Failed) else Rows(self.files)
        told: dict[str, Part] = {
            queries.SERVER: Rows([(self.edition, self.here, LOGIN, *held)]),
            queries.DATABASES: Rows(self.databases),
            queries.FILES: files,
            queries.SPARSE: self.sparse,
            queries.AZURE_SIZES: self.published,
        }
        return self.inside if query == queries.INSIDE else (told[query],)


def _ended(part: Part) -> tuple[Part, ...]:
    """Tell what a database says of its files, and that this was all; an error ends by itself."""
    if isinstance(part, Failed) or len(part.rows[-1]) == ERROR_COLUMNS:
        return (part,)
    return (part, Rows([part.rows[-1][:1]]))


def denied(*rights: str) -> dict[str, int | None]:
    return {right: int(right not in rights) for right in RIGHTS}


def database(
    number: int,
    name: str,
    *,
    state: int = 0,
    source: int | None = None,
    enter: int | None = 1,
    created: int = 100,
) -> tuple[object, ...]:
    return (number, name, state, source, enter if state == 0 else 0, created)
