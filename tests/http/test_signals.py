"""A signal to stop ends streams and workers before the server itself stops."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from attrs import define, field

from capacity_http.signals import Ending

pytestmark = pytest.mark.unit


@define
class Heard:
    """What was called, in order; workers end when they are let go."""

    calls: list[str] = field(factory=list)
    let_go: threading.Event = field(factory=threading.Event)

    def end_streams(self) -> None:
        self.calls.append("streams")

    def stop_workers(self) -> None:
        assert self.let_go.wait(20)
        self.calls.append("workers")


@pytest.fixture
def server() -> Iterator[list[int]]:
    """Be a server that has a handler for SIGTERM, and none for SIGINT."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: numbers.append(number))
    interrupting = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield numbers
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGINT, interrupting)


def test_the_first_signal_begins_the_end_and_the_server_hears_it_too(server: list[int]) -> None:
    heard = Heard()
    theirs = signal.getsignal(signal.SIGTERM)

    async def serve() -> None:
        ending = Ending(heard.end_streams, heard.stop_workers)
        ending.listen()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        assert (server, heard.calls) == ([signal.SIGTERM], ["streams"])
        heard.let_go.set()
        await ending.finish()

    asyncio.run(serve())
    assert heard.calls == ["streams", "streams", "workers"]
    assert signal.getsignal(signal.SIGTERM) is theirs
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_outside_of_the_main_thread_it_ends_when_the_server_has_stopped(server: list[int]) -> None:
    heard = Heard()
    heard.let_go.set()

    async def serve() -> None:
        ending = Ending(heard.end_streams, heard.stop_workers)
        ending.listen()
        await ending.finish()

    in_a_thread(lambda: asyncio.run(serve()))
    assert (heard.calls, server) == (["streams", "workers"], [])


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
