"""From a host name to checked addresses, and from those to the first that answers."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from types import MappingProxyType
from typing import Any, Final, TypeVar

from capacity_core.model import CollectFailed, Reason

IPAddress = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]
Resolve = Callable[[str, int], Iterable[Any]]
Answer = Future[list[IPAddress]]
Connected = TypeVar("Connected")

# A system's resolver cannot be interrupted: a look-up that outlives its deadline is left behind,
# and so many of them at most may be under way, one for each name: one dead name stalls no other.
MAX_LOOKUPS: Final = 64
_LOOKUPS = threading.BoundedSemaphore(MAX_LOOKUPS)
_UNDER_WAY: dict[tuple[str, Resolve], Answer] = {}
_UNDER_WAY_LOCK = threading.Lock()

_NEVER: Networks = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host, by another name
            # Clouds hand out credentials here, to whoever asks from inside.
            "169.254.169.254/32",
            "100.100.100.200/32",  # Alibaba
            "192.0.0.192/32",  # Oracle
            "168.63.129.16/32",  # Azure
            "fd00:ec2::254/128",  # AWS
            "fd20:ce::254/128",  # Google
        ),
    )
)
# Networks of IPv6 whose addresses hold one of IPv4, and how many bits follow it.
_EMBEDDING: Mapping[IPv6Network, int] = MappingProxyType(
    {
        IPv6Network("::ffff:0:0:0/96"): 0,  # translated
        IPv6Network("::/96"): 0,  # compatible
        IPv6Network("64:ff9b::/96"): 0,  # NAT64
        IPv6Network("64:ff9b:1::/48"): 0,  # NAT64 of one's own
        IPv6Network("2002::/16"): 80,  # 6to4
    }
)
_ISATAP: Final = 0x0000_5EFE  # before the last 32 bits, of which it leaves one to choose
_LOOPBACK: Final = IPv6Address("::1")
_TRY_NEXT = frozenset({Reason.REFUSED, Reason.UNREACHABLE, Reason.TIMEOUT})


def resolve_with_system(host: str, port: int) -> Iterable[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def addresses_of(
    host: str, by: float, networks: Networks, resolve: Resolve = resolve_with_system
) -> list[IPAddress]:
    """Return the addresses of a host that may be connected to, in the resolver's order.

    `by` is an absolute time of time.monotonic. Raises CollectFailed.
    """
    try:
        found = [ip_address(host)]
    except ValueError:
        found = _look_up(host, by, resolve)
    allowed = [address for address in found if is_allowed(address, networks)]
    if not allowed:
        raise CollectFailed(Reason.ADDRESS_REFUSED)
    return allowed


def is_allowed(address: IPAddress, networks: Networks) -> bool:
    """Say whether we may connect there; an empty `networks` allows what is never refused."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    real = mapped or address
    if any(map(_is_never_allowed, (real, *_embedded(real)))):
        return False
    return not networks or any(real in network for network in networks)


def _is_never_allowed(address: IPAddress) -> bool:
    special = address.is_link_local or address.is_multicast or address.is_unspecified
    return special or any(address in network for network in _NEVER)


def _embedded(address: IPAddress) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address) or address == _LOOPBACK:
        return
    for network, behind in _EMBEDDING.items():
        if address in network:
            yield _low(address, behind)
    if address.teredo:  # the server, and the client behind it
        yield from address.teredo
    if int(address) >> 32 & 0xFDFF_FFFF == _ISATAP:
        yield _low(address)


def _low(address: IPv6Address, behind: int = 0) -> IPv4Address:
    return IPv4Address(int(address) >> behind & 0xFFFF_FFFF)


def _look_up(host: str, by: float, resolve: Resolve) -> list[IPAddress]:
    answer = _ask(host, by, resolve)
    try:
        return answer.result(max(0.0, by - time.monotonic()))
    except TimeoutError as error:
        raise CollectFailed(Reason.TIMEOUT) from error
    except (OSError, UnicodeError) as error:  # a label too long for a host name is a UnicodeError
        raise CollectFailed(Reason.NAME_RESOLUTION) from error


def _ask(host: str, by: float, resolve: Resolve) -> Answer:
    """Ask for a name, or wait with whoever asks for it already."""
    with _UNDER_WAY_LOCK:
        earlier = _UNDER_WAY.get((host, resolve))
    if earlier is not None:
        return earlier
    if not _LOOKUPS.acquire(timeout=max(0.0, by - time.monotonic())):
        raise CollectFailed(Reason.TIMEOUT)
    answer: Answer = Future()
    with _UNDER_WAY_LOCK:
        first = _UNDER_WAY.setdefault((host, resolve), answer)
    if first is not answer:
        _LOOKUPS.release()
        return first
    threading.Thread(
        target=_answer, args=(answer, host, resolve), name="look-up", daemon=True
    ).start()
    return answer


def _answer(answer: Answer, host: str, resolve: Resolve) -> None:
    try:
        # sockaddr is the fifth field, the address its first; a zone index is no part of it
        rows = [str(row[4][0]).partition("%")[0] for row in resolve(host, 0)]
        found = [ip_address(text) for text in dict.fromkeys(rows)]
    except BaseException as error:  # noqa: BLE001 -- handed to the thread that waits
        _over(host, resolve)
        answer.set_exception(error)
    else:
        _over(host, resolve)
        answer.set_result(found)


def _over(host: str, resolve: Resolve) -> None:
    with _UNDER_WAY_LOCK:
        del _UNDER_WAY[host, resolve]
    _LOOKUPS.release()


def first_reachable(
    addresses: Sequence[IPAddress],
    by: float,
    connect: Callable[[IPAddress, float], Connected],
    reason_of: Callable[[BaseException], Reason],
) -> Connected:
    """Connect to the first address that answers; each may take its share of the time left.

    An answer, even a refused login, ends the search. Raises what the last try raised.
    """
    *others, last = addresses
    for number, address in enumerate(others):
        now = time.monotonic()
        share = now + (by - now) / (len(addresses) - number)
        try:
            return connect(address, share)
        except Exception as error:
            if reason_of(error) not in _TRY_NEXT:
                raise
    return connect(last, by)


def open_socket(address: IPAddress, port: int, by: float) -> socket.socket:
    """Open a TCP connection, without a time limit of its own afterwards. Raises OSError."""
    left = by - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection = socket.create_connection((str(address), port), timeout=left)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
