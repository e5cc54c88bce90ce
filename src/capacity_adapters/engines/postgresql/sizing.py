"""Sizes of databases by their oids, in chunks that grow where the server is quick."""

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import psycopg
from attrs import define, field

from capacity_adapters.engines.engine import milliseconds_since
from capacity_adapters.engines.postgresql.errors import OUTCOMES
from capacity_adapters.engines.postgresql.link import Link
from capacity_adapters.engines.postgresql.queries import SIZES
from capacity_core.model import CollectFailed, Outcome, Reason

log = logging.getLogger(__name__)

# Databases a statement: a chunk that takes no longer than this is worth no answer of its own.
LEAST: Final = 100
MOST: Final = 500
CHUNK_SECONDS: Final = 0.5
LEAST_SHARED: Final = 25  # so that the last of several connections is not waited for

Answer = int | Outcome  # of one database: its size in bytes, or why it has none
Told = tuple[Answer, int]  # and how many milliseconds the statement took that told it


def _deque(oids: Iterable[int]) -> deque[int]:
    return deque(oids)


@define(eq=False)
class Queue:
    """What is still to be sized, by several connections at once."""

    _oids: deque[int] = field(converter=_deque)
    connections: int

    def take(self, most: int) -> list[int]:
        """Take the next, at most so many, and but a part of what others could take, too."""
        if self.connections > 1:
            share = math.ceil(len(self._oids) / (2 * self.connections))
            most = min(most, max(LEAST_SHARED, share))
        chunk: list[int] = []
        while self._oids and len(chunk) < most:
            try:
                chunk.append(self._oids.popleft())
            except IndexError:  # another connection was quicker
                break
        return chunk

    def put_back(self, chunk: Sequence[int]) -> None:
        self._oids.extendleft(reversed(chunk))


def first_of(connections: int) -> int:
    """Say how many databases the first chunk of one of so many connections has at most."""
    return LEAST if connections == 1 else LEAST_SHARED


def size_first(link: Link, queue: Queue, chunk: Sequence[int], rows: dict[int, Told]) -> None:
    """Read the sizes that were asked ahead; what has no answer of this chunk is put back.

    Raises psycopg.Error if the connection is lost or the time is over.
    """
    try:
        answers, took = link.asked_ahead()
    except psycopg.Error:
        queue.put_back(chunk)
        raise
    rows.update((oid, (answer, took)) for oid, answer in map(answer_of, answers))
    queue.put_back([oid for oid in chunk if oid not in rows])


def size_all(link: Link, queue: Queue, rows: dict[int, Told]) -> None:
    """Take chunks until there are none; a chunk that fails is repeated one by one.

    Raises psycopg.Error if the connection is lost or the time is over.
    """
    most = LEAST
    while chunk := queue.take(most):
        began = time.monotonic()
        try:
            rows.update(_sizes(link, chunk))
        except psycopg.Error:
            if link.lost or link.guard.expired:
                queue.put_back(chunk)
                raise
            for oid in chunk:
                rows.update(_size_alone(link, oid))
        quick = len(chunk) * CHUNK_SECONDS / max(time.monotonic() - began, 0.001)
        most = min(MOST, max(LEAST, int(quick)))


def _size_alone(link: Link, oid: int) -> dict[int, Told]:
    try:
        return _sizes(link, [oid])
    except psycopg.Error as error:
        if link.lost or link.guard.expired:
            raise
        log.warning("the database with oid %s has no size: %s", oid, error.sqlstate)
        return {oid: (OUTCOMES.get(error.sqlstate or "", Outcome.ERROR), 0)}


def _sizes(link: Link, oids: Sequence[int]) -> dict[int, Told]:
    asked = time.monotonic()
    rows = link.ask(SIZES, ["{" + ",".join(map(str, oids)) + "}"])
    took = milliseconds_since(asked)
    gone = dict.fromkeys(oids, (Outcome.VANISHED, took))
    return {**gone, **{oid: (answer, took) for oid, answer in map(answer_of, rows)}}


def answer_of(row: Sequence[object]) -> tuple[int, Answer]:
    """Read one row of SIZES; what is no such row is never taken for a size or an outcome."""
    match row:
        case [int(oid), True, int(size)] if not isinstance(size, bool) and size >= 0:
            return oid, size
        case [int(oid), False, None]:
            return oid, Outcome.DENIED
        case [int(oid), True | None, None]:
            return oid, Outcome.VANISHED
        case [int(oid), *_]:
            return oid, Outcome.ERROR
    raise CollectFailed(Reason.PROTOCOL)
