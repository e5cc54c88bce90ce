"""An open connection to PostgreSQL, and what it is asked."""

import logging
import selectors
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, Final

import psycopg
from attrs import define, field
from psycopg import pq
from psycopg.pq.abc import PGcancelConn, PGconn

from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import milliseconds_since
from capacity_adapters.engines.postgresql.ahead import CAN_ASK, Ahead, Connection

log = logging.getLogger(__name__)

CANCEL_SECONDS: Final = 0.25

Row = tuple[Any, ...]


@define(eq=False)
class Link:
    """One connection, and what stops its statement on a server that we no longer listen to."""

    connection: Connection
    guard: Guard
    pooled: bool
    cancel: PGcancelConn | None
    _ahead: Ahead | None = field(default=None, init=False)

    def ask(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        with self._stopped_in_time():
            self._end_ahead()
            with self.connection.cursor() as cursor:
                if not self.pooled:
                    return cursor.execute(query, values).fetchall()
                # A setting of the session would stay behind in the pooler's connection.
                with self.connection.transaction():
                    cursor.execute("SET TRANSACTION READ ONLY")
                    cursor.execute(
                        f"SET LOCAL statement_timeout = {milliseconds_until(self.guard.limit)}"
                    )
                    return cursor.execute(query, values).fetchall()

    def ask_ahead(self, query: str, following: str) -> list[Row]:
        """Likewise, and have the answer to the following on its way, if that can be."""
        if self.pooled or not CAN_ASK:
            return self.ask(query)
        with self._stopped_in_time():
            self._end_ahead()
            self._ahead = Ahead.asked(self.connection, query, following)
            return self._ahead.answer()

    def asked_ahead(self) -> tuple[list[Row], int]:
        """Give the answer to the following, and the milliseconds that it took.

        There are no rows if it failed, or was not asked. Raises psycopg.Error only if the
        connection is lost or the time is over.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return [], 0
        with self._stopped_in_time():
            try:
                rows = ahead.answer()
            except psycopg.Error as error:
                if self.lost or self.guard.expired:
                    raise
                log.info("what was asked ahead has no answer: %s", error.sqlstate)
                rows = []
            took = milliseconds_since(ahead.since)
            ahead.end()
            return rows, took

    def _end_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.end()

    @contextmanager
    def _stopped_in_time(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error:
            if self.guard.fired:
                self._stop_server()
            raise

    @property
    def lost(self) -> bool:
        return self.connection.broken or self.connection.closed

    def _stop_server(self) -> None:
        if self.cancel is not None:
            with suppress(psycopg.Error, OSError):
                self.cancel.start()
                drive(self.cancel, self.cancel.poll, time.monotonic() + CANCEL_SECONDS)

    def close(self) -> None:
        if self.cancel is not None:
            self.cancel.finish()
        self.connection.close()


def drive(peer: PGconn | PGcancelConn, poll: Callable[[], int], by: float) -> None:
    while (status := poll()) in _EVENTS:
        with selectors.DefaultSelector() as selector:
            selector.register(peer.socket, _EVENTS[status])
            if not selector.select(max(0.0, by - time.monotonic())):
                raise TimeoutError
    if status != pq.PollingStatus.OK:
        raise psycopg.OperationalError(peer.get_error_message("utf-8"))


_EVENTS: Mapping[int, int] = MappingProxyType(
    {
        pq.PollingStatus.READING: selectors.EVENT_READ,
        pq.PollingStatus.WRITING: selectors.EVENT_WRITE,
    }
)


def milliseconds_until(by: float) -> int:
    """Leave the server a little longer than ourselves: at the deadline it is we who end it."""
    return max(1, round((by - time.monotonic()) * 1000)) + 100
