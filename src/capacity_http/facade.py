"""What every route stands on: the application, the thread pools, and how answers are sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from attrs import asdict, define, field
from litestar import Litestar, MediaType, Response

from capacity_core import CapacityApplication
from capacity_core.answer import (
    Answer,
    Asked,
    ErrorEnvelope,
    SuccessEnvelope,
    as_json,
    success,
)
from capacity_core.messages import Language, Text
from capacity_http.asking import Connection, asked_by
from capacity_http.events import USUAL_LIMITS, StreamLimits, Streams

Result = TypeVar("Result")

READERS = 4  # reads and token checks are short; nothing else takes their threads
REPORTERS = 2  # what computes for long takes as much memory as there are of them
WRITERS = 2  # a store has one writer at a time, for whom others may have to wait
HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def nothing() -> None:
    """Wake nobody."""


@define
class Facade:
    """Runs blocking work on own pools: `workers` threads for syncs, a few for the rest.

    `wake` tells whoever collects runs that there is something to do.
    """

    application: CapacityApplication
    language: Language
    workers: int
    wake: Callable[[], None] = nothing
    stream_limits: StreamLimits = USUAL_LIMITS
    streams: Streams = field(init=False)
    _syncs: ThreadPoolExecutor = field(init=False)
    _reads: ThreadPoolExecutor = field(init=False)
    _reports: ThreadPoolExecutor = field(init=False)
    _writes: ThreadPoolExecutor = field(init=False)

    @asynccontextmanager
    async def lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        """Open the pools; at the end let running work finish, so that its commit is not lost."""
        self._syncs = ThreadPoolExecutor(self.workers, thread_name_prefix="capacity-sync")
        self._reads = ThreadPoolExecutor(READERS, thread_name_prefix="capacity-read")
        self._reports = ThreadPoolExecutor(REPORTERS, thread_name_prefix="capacity-report")
        self._writes = ThreadPoolExecutor(WRITERS, thread_name_prefix="capacity-write")
        self.streams = Streams(self.application.fleet.run, self.stream_limits)
        try:
            yield
        finally:
            self.streams.close()
            for pool in (self._syncs, self._reads, self._reports, self._writes):
                pool.shutdown(wait=True, cancel_futures=True)

    def asked_by(self, connection: Connection) -> Asked:
        return asked_by(connection, self.language, self.application.now())

    async def in_readers(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._reads, work)

    async def read(
        self, connection: Connection, work: Callable[[Asked], Answer]
    ) -> Response[bytes]:
        """Answer by short work with the store."""
        return await self._answer(self._reads, connection, work)

    async def report(
        self, connection: Connection, work: Callable[[Asked], Answer]
    ) -> Response[bytes]:
        """Answer by long work with the history; it waits until one before it is done."""
        return await self._answer(self._reports, connection, work)

    async def write(
        self, connection: Connection, work: Callable[[Asked], Answer]
    ) -> Response[bytes]:
        """Answer by a change of the store."""
        return await self._answer(self._writes, connection, work)

    async def sync(
        self, connection: Connection, work: Callable[[Asked], Answer]
    ) -> Response[bytes]:
        """Answer by work that waits for a target."""
        return await self._answer(self._syncs, connection, work)

    async def _answer(
        self, pool: ThreadPoolExecutor, connection: Connection, work: Callable[[Asked], Answer]
    ) -> Response[bytes]:
        asked = self.asked_by(connection)

        def answer() -> Response[bytes]:
            return respond(work(asked), asked)

        return await asyncio.get_running_loop().run_in_executor(pool, answer)


def respond(
    answer: Answer, asked: Asked, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Send the envelope as JSON; costly for a long list, so best called in a worker thread."""
    return Response(
        encode(answer.envelope),
        status_code=answer.http_status,
        media_type=MediaType.JSON,
        headers={**HEADERS, "X-Request-Id": asked.request_id, **(headers or {})},
    )


def done(
    data: Mapping[str, object], asked: Asked, message: Text, *, http_status: int = 200
) -> Answer:
    return Answer(http_status, success(message, data, asked))


def encode(envelope: SuccessEnvelope | ErrorEnvelope) -> bytes:
    """Write what `as_json` says, ten times as fast: msgspec reads attrs values by itself."""
    document = asdict(envelope, recurse=False)
    if document.get("extra", ...) is None:
        del document["extra"]
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # a file name that is not Unicode: JSON can escape it
        return json.dumps(as_json(envelope)).encode()
