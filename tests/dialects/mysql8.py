"""A MySQL 8 that answers what it is told, over the real protocol; no optimizer, no privileges.

It knows the session variables that MySQL 8 has and MariaDB has not, and its views' column types.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, field
from mysql_mimic import (
    ColumnType,
    IdentityProvider,
    MysqlServer,
    NativePasswordAuthPlugin,
    ResultColumn,
    ResultSet,
    Session,
    User,
)
from mysql_mimic.charset import CharacterSet
from mysql_mimic.control import LocalControl, TooManyConnections
from mysql_mimic.errors import MysqlError
from mysql_mimic.variables import SYSTEM_VARIABLES, GlobalVariables, SessionVariables
from tests.servers import HOST

END_SECONDS: Final = 5.0
LOGIN, PASSWORD = "reader", "sécret"
BYTES: Final = (ColumnType.BLOB, CharacterSet.binary)
TEXT: Final = (ColumnType.VARCHAR, CharacterSet.utf8mb4)
SUM: Final = (ColumnType.NEWDECIMAL, CharacterSet.utf8mb4)
NUMBER: Final = (ColumnType.LONGLONG, CharacterSet.utf8mb4)
# The columns of each question, by words that only it has, in the order to look for them.
QUESTIONS: Mapping[str, tuple[tuple[Any, Any], ...]] = {
    "SHOW GRANTS": (TEXT,),
    "LIMIT 1": (NUMBER,),
    "innodb_page_size": (NUMBER, BYTES, NUMBER),
    "tablestats": (NUMBER, TEXT, NUMBER),
    "innodb_sys_tablespaces": (BYTES, SUM),
    "innodb_tablespaces": (BYTES, SUM),
    "information_schema.tables": (BYTES, SUM, SUM, SUM, SUM),
    "information_schema.schemata": (TEXT, BYTES),
}
OWN_VARIABLES: Mapping[str, tuple[type, object, bool]] = {
    "lock_wait_timeout": (int, 31_536_000, True),
    "information_schema_stats_expiry": (int, 86_400, True),
}
Rows = Sequence[Sequence[object]]


@define
class Mysql8:
    """What it says: rows or an error's number, by the words of QUESTIONS."""

    answers: dict[str, Rows | int] = field(factory=dict)
    version: str = "8.0.40"
    lacks: frozenset[str] = frozenset()
    is_full: bool = False
    heard: list[str] = field(factory=list)
    variables: Any = None

    def session(self) -> Session:
        known = {**SYSTEM_VARIABLES, **OWN_VARIABLES, "version": (str, self.version, False)}
        kept = {name: value for name, value in known.items() if name not in self.lacks}
        self.variables = SessionVariables(GlobalVariables(kept))
        return _Session(self)

    def answer(self, question: str) -> ResultSet:
        self.heard.append(question)
        words = next(words for words in QUESTIONS if words in question)
        answer = self.answers.get(words, ())
        if isinstance(answer, int):
            raise MysqlError(f"error {answer}", answer)
        columns = [
            ResultColumn(f"c{n}", kind, charset)
            for n, (kind, charset) in enumerate(QUESTIONS[words])
        ]
        return ResultSet(answer, columns)


class _Session(Session):  # type: ignore[misc]  # the library is not typed here
    def __init__(self, told: Mysql8) -> None:
        super().__init__(told.variables)
        self.told = told

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> object:
        if sql.startswith("SET"):
            return await super().handle_query(sql, attrs)
        return self.told.answer(sql)


class _OneLogin(IdentityProvider):  # type: ignore[misc]  # likewise
    async def get_user(self, username: str) -> User | None:
        if username != LOGIN:
            return None
        kept = NativePasswordAuthPlugin.create_auth_string(PASSWORD)
        return User(username, kept, NativePasswordAuthPlugin.name)


class _Control(LocalControl):  # type: ignore[misc]  # likewise
    def __init__(self, is_full: Callable[[], bool]) -> None:
        super().__init__()
        self.is_full = is_full

    async def add(self, connection: object) -> object:
        if self.is_full():
            raise TooManyConnections
        return await super().add(connection)


class _Server(MysqlServer):  # type: ignore[misc]  # likewise
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.writers: set[asyncio.StreamWriter] = set()

    async def _client_connected_cb(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.writers.add(writer)
        try:
            await super()._client_connected_cb(reader, writer)
        finally:
            writer.close()  # the library leaves that of a refused client open
            self.writers.discard(writer)

    async def end(self) -> None:
        """Hang up on everybody, and wait a moment for the conversations to end by that."""
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=END_SECONDS)


@contextmanager
def serving(told: Mysql8) -> Iterator[int]:
    """Lend the port on which it answers."""
    loop = asyncio.new_event_loop()
    server = _Server(
        session_factory=told.session,
        identity_provider=_OneLogin(),
        control=_Control(lambda: told.is_full),
    )
    loop.run_until_complete(server.start_server(host=HOST, port=0))
    port: int = server._server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="mysql8", daemon=True)
    thread.start()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(server.end(), loop).result(2 * END_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(END_SECONDS)
        loop.close()
