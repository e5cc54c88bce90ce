"""The private loop: what outlives its limit is left, and what raises is told."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from capacity_adapters.engines.oracle.loop import MERCY_SECONDS, LoopThread, PrivateLoop

pytestmark = pytest.mark.unit

SLACK = 0.4


def nowhere(_host: str, _port: int) -> socket.socket:
    raise AssertionError


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    lent = LoopThread(PrivateLoop(nowhere, None))
    yield lent
    lent.close()


def test_work_is_done_and_its_error_is_raised(thread: LoopThread) -> None:
    async def fine() -> int:
        return 7

    async def bad() -> int:
        raise LookupError

    assert thread.run(fine, time.monotonic() + 5) == 7
    with pytest.raises(LookupError):
        thread.run(bad, time.monotonic() + 5)


def test_work_that_waits_too_long_is_cancelled(thread: LoopThread) -> None:
    ended = threading.Event()

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        thread.run(waits, started + 0.1)
    assert time.monotonic() - started < 0.1 + MERCY_SECONDS + SLACK
    assert ended.wait(5)


def test_work_that_refuses_to_be_cancelled_is_left(thread: LoopThread) -> None:
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        thread.run(stubborn, started + 0.1)
    assert time.monotonic() - started < 0.1 + MERCY_SECONDS + SLACK


def test_a_loop_that_is_stuck_is_left_behind_and_ends_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hostile server can choose how much work a login is."""
    released = threading.Event()

    async def computes() -> None:
        released.wait(30)

    stuck = LoopThread(PrivateLoop(nowhere, None))
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        stuck.run(computes, started + 0.1)
    stuck.close()
    assert time.monotonic() - started < 0.1 + 2 * MERCY_SECONDS + SLACK
    assert "left behind" in caplog.text
    released.set()
    stuck._thread.join(5)
    assert not stuck._thread.is_alive()
