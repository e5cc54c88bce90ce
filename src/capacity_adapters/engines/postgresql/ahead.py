"""Two questions in one round trip: the second is on its way before the first is answered."""

import time
from collections.abc import Sequence
from typing import Any, Final, Self

import psycopg
from attrs import define
from psycopg import generators, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from capacity_core.model import CollectFailed, Reason

Connection = psycopg.Connection[tuple[Any, ...]]
CAN_ASK: Final = psycopg.capabilities.has_pipeline()  # libpq 14


@define(eq=False)
class Ahead:
    """What was asked of a connection that nobody else uses until `end`.

    psycopg's own pipeline would keep the first answer until it has the second, and lose both with
    the connection. `since` is an absolute time of time.monotonic. All methods raise psycopg.Error,
    and CollectFailed for what is no answer.
    """

    _connection: Connection
    since: float

    @classmethod
    def asked(cls, connection: Connection, *queries: str) -> Self:
        pgconn, since = connection.pgconn, time.monotonic()
        pgconn.enter_pipeline_mode()
        for query in queries:
            pgconn.send_query_params(query.encode(), None)
            pgconn.send_flush_request()
        pgconn.pipeline_sync()
        connection.wait(generators.send(pgconn))
        return cls(connection, since)

    def answer(self) -> list[tuple[Any, ...]]:
        """Wait for the answer to the next question."""
        match self._results():
            case [result] if result.status == pq.ExecStatus.TUPLES_OK:
                reader = Transformer(self._connection)
                reader.set_pgresult(result)
                return reader.load_rows(0, result.ntuples, tuple)
            case [result] if result.status == pq.ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        raise CollectFailed(Reason.PROTOCOL)

    def end(self) -> None:
        """Wait for what was not answered yet, and give the connection back."""
        while (results := self._results()) and results[0].status != pq.ExecStatus.PIPELINE_SYNC:
            pass
        self._connection.pgconn.exit_pipeline_mode()

    def _results(self) -> Sequence[pq.abc.PGresult]:
        pgconn = self._connection.pgconn
        return self._connection.wait(generators.fetch_many(pgconn))
