"""A relay that adds a delay, in a process of its own: it takes nothing from the timed one.

As a command: `delay.py TARGET_PORT RTT_SECONDS`; it prints its port and runs until it is ended.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field

HOST = "127.0.0.1"


@define(eq=False)
class _Late(asyncio.Protocol):
    """Pass on what comes in half a round trip later; a connect costs a whole one more."""

    rtt: float
    arrived: Callable[["_Late"], None] = lambda _here: None
    other: asyncio.Transport | None = None
    transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.arrived(self)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            asyncio.get_running_loop().call_later(self.rtt / 2, self.other.write, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.other is not None:
            asyncio.get_running_loop().call_later(self.rtt / 2, self.other.close)


async def serve(target_port: int, rtt: float) -> None:
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def join(client: _Late) -> None:
        await asyncio.sleep(rtt)
        to = _Late(rtt, other=client.transport)
        await loop.create_connection(lambda: to, HOST, target_port)
        client.other = to.transport
        client.transport.resume_reading()

    def arrived(client: _Late) -> None:
        client.transport.pause_reading()
        task = loop.create_task(join(client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await loop.create_server(lambda: _Late(rtt, arrived), HOST, 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def delayed(target_port: int, rtt: float) -> Iterator[int]:
    """Lend a port behind which the target is that far away (seconds, there and back)."""
    command = [sys.executable, "-m", "bench.delay", str(target_port), str(rtt)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        try:
            assert relay.stdout is not None
            yield int(relay.stdout.readline())
        finally:
            relay.terminate()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
