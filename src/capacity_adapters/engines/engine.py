"""The engine contract: what one file has to bring so that one kind of target can be asked."""

import errno
import math
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Final, Protocol

from attrs import field, frozen

from capacity_adapters.engines.addresses import (
    IPAddress,
    Resolve,
    addresses_of,
    resolve_with_system,
)
from capacity_adapters.engines.deadline import Guard
from capacity_core.diagnosis import Capabilities, Check, GrantScript
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    Failure,
    Instance,
    Inventory,
    NetworkAddress,
    Reason,
    Secret,
)


@frozen
class TargetPolicy:
    """How targets may be asked. `connect_deadline` is in seconds.

    `size_connections` bounds the connections that measure one instance; `networks` are those that
    may be connected to, none meaning any. `ports` are those of each engine by its db_type; if it
    has any, no other will do. `resolve` looks a name up, as socket.getaddrinfo does.
    """

    connect_deadline: float = 10.0
    size_connections: int = 1
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ports: Mapping[str, Sequence[range]] = field(factory=dict)
    resolve: Resolve = resolve_with_system

    def allows_port(self, db_type: str, port: int) -> bool:
        return not self.ports or any(port in allowed for allowed in self.ports.get(db_type, ()))


@frozen
class Target:
    """What an engine needs to open a conversation."""

    instance: Instance
    password: Secret
    policy: TargetPolicy

    @property
    def network(self) -> NetworkAddress:
        """Raises CollectFailed if the instance has a path instead."""
        address = self.instance.address
        if not isinstance(address, NetworkAddress):
            raise CollectFailed(Reason.UNREACHABLE)
        return address

    def addresses(self, address: NetworkAddress, by: float) -> list[IPAddress]:
        """Look up where that is, once, and leave out what may not be connected to.

        `by` is an absolute time of time.monotonic. Raises CollectFailed.
        """
        if not self.policy.allows_port(self.instance.db_type, address.port):
            failure = Failure.of(Reason.ADDRESS_REFUSED, "port")
            raise CollectFailed(failure.reason, failure.hint)
        return addresses_of(address.host, by, self.policy.networks, self.policy.resolve)

    def refuse_nul(self) -> None:
        """Refuse a NUL in any value: where C reads on, it would drop all that follows, TLS too.

        Raises CollectFailed.
        """
        if "\0" in self.password.reveal():
            raise CollectFailed(Reason.CREDENTIAL_UNAVAILABLE)
        instance = self.instance
        login = (self.network.host, instance.username, instance.database_name)
        files = (instance.tls.ca, instance.tls.cert, instance.tls.key)
        if any("\0" in (value or "") for value in (*login, *files)):
            raise CollectFailed(Reason.OTHER)


def milliseconds_since(start: float) -> int:
    """Count from a `time.monotonic()`, rounded up: what took time never shows as 0."""
    return math.ceil((time.monotonic() - start) * 1000)


class Conversation(Protocol):
    """An open conversation with one target. Every method may raise the engine's errors."""

    def inventory(self) -> Inventory: ...

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        """Measure these, of those that the inventory told."""
        ...

    def examine(self) -> tuple[Check, ...]:
        """Probe, reading only, every right and setting that sizing needs."""
        ...

    def close(self) -> None: ...


def _no_grants(_user: str) -> tuple[GrantScript, ...]:
    return ()


@frozen
class Engine:
    """One kind of target: how it is opened, what its driver raises, and what that means.

    `failure_of` knows the engine's own errors, and is asked for each error of a chain of causes.
    `grants` gives the scripts of least rights for a login of that name.
    """

    open: Callable[[Target, Guard], Conversation]
    errors: tuple[type[Exception], ...]
    failure_of: Callable[[BaseException], Failure | None]
    capabilities: Capabilities = field(factory=Capabilities)
    grants: Callable[[str], tuple[GrantScript, ...]] = _no_grants


# What drivers stumble over when a peer sends nonsense.
NONSENSE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
# The first that fits; what a system call means is in SYSTEM_CODES.
BUILTIN_REASONS: Mapping[type[BaseException], Reason] = MappingProxyType(
    {
        ssl.SSLError: Reason.TLS,
        socket.gaierror: Reason.NAME_RESOLUTION,
        TimeoutError: Reason.TIMEOUT,
        ConnectionRefusedError: Reason.REFUSED,
        ConnectionError: Reason.CONNECTION_LOST,
        UnicodeError: Reason.PROTOCOL,
        struct.error: Reason.PROTOCOL,
        IndexError: Reason.PROTOCOL,
        AssertionError: Reason.PROTOCOL,
    }
)
# OpenSSL's numbers (x509_vfy.h), and which hint of `tls` they call for.
CERTIFICATE_CAUSES: Mapping[int, str] = MappingProxyType(
    {
        9: "expired",  # not yet valid
        10: "expired",
        18: "authority",  # signed by itself
        19: "authority",
        20: "authority",
        21: "authority",
        62: "name",
        64: "name",  # an address that is not in it
    }
)
SYSTEM_CODES: Mapping[int | None, Reason] = MappingProxyType(
    {
        errno.EHOSTUNREACH: Reason.UNREACHABLE,
        errno.ENETUNREACH: Reason.UNREACHABLE,
        errno.EHOSTDOWN: Reason.UNREACHABLE,
        errno.ENETDOWN: Reason.UNREACHABLE,
        errno.EADDRNOTAVAIL: Reason.UNREACHABLE,
        errno.ENOTCONN: Reason.CONNECTION_LOST,  # the peer was gone before we had a look at it
    }
)


def classify(error: BaseException, engine: Engine) -> Failure:
    """Say what an error means to an operator; never guessed: unknown is reason `other`."""
    for each in _chain(error):
        failure = _failure_of(each, engine)
        if failure is not None:
            return failure
    return Failure.of(Reason.OTHER)


def _failure_of(error: BaseException, engine: Engine) -> Failure | None:
    if isinstance(error, CollectFailed):
        return error.failure
    known = engine.failure_of(error)
    if known is not None:
        return known
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", None)  # only OpenSSL sets it
        return Failure.of(Reason.TLS, CERTIFICATE_CAUSES.get(code or 0, ""))
    for kind, reason in BUILTIN_REASONS.items():
        if isinstance(error, kind):
            return Failure.of(reason)
    if isinstance(error, OSError) and error.errno in SYSTEM_CODES:
        return Failure.of(SYSTEM_CODES[error.errno])
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Walk an error and its causes, which a driver may have tied into a loop."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
