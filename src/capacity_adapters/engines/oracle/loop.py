"""A private event loop for one conversation, in a thread of its own.

No setting of the driver bounds its handshake with a silent peer; cancelling its asyncio API does.
The loop is also the one place where the driver opens connections and starts TLS: here they go to
checked addresses only, a listener's redirect too, and the name in the certificate is ours to check.
"""

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

from capacity_adapters.engines.oracle.packets import Checked
from capacity_core.model import CollectFailed, Reason

Done = TypeVar("Done")
Reach = Callable[[str, int], socket.socket]

log = logging.getLogger(__name__)

# How long we wait for the loop beyond a limit: it may be busy computing, or in a look-up.
MERCY_SECONDS: Final = 0.1
MAX_REDIRECTS: Final = 5


@frozen
class ClientTls:
    """How to begin TLS, and the name that the server's certificate has to have."""

    context: ssl.SSLContext
    name: str


class PrivateLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections are opened by `reach` and secured by `tls`."""

    def __init__(self, reach: Reach, tls: ClientTls | None) -> None:
        super().__init__()
        self._reach = reach
        self._tls = tls
        self._opened: list[asyncio.BaseTransport] = []
        self.heard_nonsense = False
        self.set_exception_handler(_note)

    async def create_connection(  # type: ignore[override]  # only as the driver calls it
        self, protocol_factory: Callable[[], Any], host: str, port: int, **_options: object
    ) -> tuple[asyncio.BaseTransport, Any]:
        if len(self._opened) > MAX_REDIRECTS:
            raise ConnectionAbortedError("too many redirects")
        sock = self._reach(host, port)  # may block: nobody else has work here
        protocol = protocol_factory()
        transport, _ = await super().create_connection(lambda: self._checked(protocol), sock=sock)
        self._opened.append(transport)
        return transport, protocol

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,  # noqa: ARG002 -- ours takes its place
        **_options: object,
    ) -> asyncio.Transport | None:
        if self._tls is None:
            raise ssl.SSLError("TLS was not asked for")
        return await super().start_tls(
            transport,
            self._checked(protocol),
            self._tls.context,
            server_hostname=self._tls.name,
        )

    def _checked(self, protocol: asyncio.BaseProtocol) -> Checked:
        def hear_nonsense() -> None:
            self.heard_nonsense = True

        return Checked(protocol, hear_nonsense)

    def abort(self) -> None:
        for transport in self._opened:
            transport.abort()  # type: ignore[attr-defined]  # every transport of a socket has it


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What is left behind by a conversation that was cut short is no news."""
    log.debug("left behind: %s", type(context.get("exception")).__name__)


@define(eq=False)
class LoopThread:
    """Runs coroutines in the loop's thread, each until an absolute time of time.monotonic."""

    loop: PrivateLoop
    _stop: asyncio.Event = field(factory=asyncio.Event, init=False)
    _thread: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="oracle", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Awaitable[Done]], by: float) -> Done:
        """Raises TimeoutError, CollectFailed (protocol), and whatever the work raises."""

        async def bounded() -> Done:
            async with asyncio.timeout_at(by):
                return await work()

        future = asyncio.run_coroutine_threadsafe(bounded(), self.loop)
        try:
            return future.result(max(0.0, by - time.monotonic()) + MERCY_SECONDS)
        except Exception as error:
            if self.loop.heard_nonsense:
                raise CollectFailed(Reason.PROTOCOL) from error
            raise
        finally:
            future.cancel()

    def close(self) -> None:
        """Cut what is still connected. A loop that is stuck is left behind; it ends by itself."""
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(MERCY_SECONDS)
        if self._thread.is_alive():
            log.warning("a conversation with Oracle is still busy; its thread was left behind")

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        self.loop.abort()
        await asyncio.sleep(0)  # the aborted transports close their sockets in the next round
