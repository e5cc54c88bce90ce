"""Every engine before every misbehaving peer: what is told, how late, and what stays behind."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attrs import frozen
from tests.faults import listeners
from tests.faults.floods import FLOODS
from tests.faults.listeners import listening
from tests.targets import coordinator_of, port_instance, refusal

from capacity_adapters.engines import ENGINES, TargetPolicy
from capacity_core.model import CollectFailed, Reason
from capacity_core.ports import CapacityExaminer

GRACE: Final = 0.5  # seconds that a conversation may take beyond its deadline
AT_ONCE: Final = 20

Listener = Callable[[str], AbstractContextManager[int]]  # of an engine's name

GREETINGS: Mapping[str, bytes] = MappingProxyType(
    {
        "postgresql": listeners.POSTGRES_WORDS,
        "mysql": listeners.MYSQL_WORDS,
        "oracle": listeners.TNS_WORDS,
        "sqlserver": listeners.TDS_WORDS,
    }
)
DRIPS: Mapping[str, listeners.Behave] = MappingProxyType(
    {name: listeners.dripping(words) for name, words in GREETINGS.items()}
    | {"postgresql": listeners.dripping_like_postgres}
)
LISTENERS: Mapping[str, Listener] = MappingProxyType(
    {
        "closed": lambda _: listeners.closed(),
        "silent": lambda _: listening(listeners.silent),
        "garbage": lambda _: listening(listeners.garbage),
        "closer": lambda _: listening(listeners.closer),
        "reset": lambda _: listening(listeners.reset),
        "http": lambda _: listening(listeners.http),
        "drip": lambda db_type: listening(DRIPS[db_type]),
        "backlog": lambda _: listeners.full_backlog(),
        "flood": lambda db_type: listening(FLOODS[db_type]),
    }
)
_USUAL: Mapping[str, Reason] = MappingProxyType(
    {
        "closed": Reason.REFUSED,
        "silent": Reason.TIMEOUT,
        "garbage": Reason.PROTOCOL,
        "closer": Reason.CONNECTION_LOST,
        "reset": Reason.CONNECTION_LOST,
        "http": Reason.PROTOCOL,
        "drip": Reason.TIMEOUT,
        "backlog": Reason.TIMEOUT,
        "flood": Reason.PROTOCOL,
    }
)
_UNUSUAL: Mapping[tuple[str, str], Reason] = MappingProxyType(
    {
        # SSH's first letter says "TLS it is" in PostgreSQL, and the rest a record that never ends.
        ("postgresql", "garbage"): Reason.TIMEOUT,
        # Who speaks first? The driver waits for a greeting, the web server for a request.
        ("mysql", "http"): Reason.TIMEOUT,
    }
)


def expected(db_type: str, fault: str) -> Reason:
    return _UNUSUAL.get((db_type, fault), _USUAL[fault])


def faults_of(db_type: str) -> list[str]:
    return [fault for fault in LISTENERS if fault != "flood" or db_type in FLOODS]


def network_engines() -> list[str]:
    """Name the engines that are reached over a network and whose driver is installed."""
    asked = [name for name, facts in ENGINES.items() if facts.default_port is not None]
    with listeners.closed() as port:
        return [
            name for name in asked if refusal(port_instance(name, port)) != Reason.DRIVER_MISSING
        ]


@frozen
class Seen:
    """What came of some conversations: each reason told, seconds over the deadline, leaks."""

    told: Mapping[str, int]
    over: float
    leaks: tuple[str, ...] = ()

    def fits(self, reason: str) -> bool:
        return set(self.told) == {reason} and self.over < GRACE and not self.leaks


def meet(db_type: str, fault: str, *, seconds: float, rounds: int = 1) -> Seen:
    """Let an engine connect so often, some at once; `seconds` is the connect deadline."""
    policy = TargetPolicy(connect_deadline=seconds)

    def one(_round: int) -> tuple[str, float]:
        started = time.monotonic()
        told = conversation(coordinator_of(instance, deadline=20.0, policy=policy))
        return told, time.monotonic() - started - seconds

    before = holdings()
    with LISTENERS[fault](db_type) as port:
        instance = port_instance(db_type, port)
        with ThreadPoolExecutor(min(rounds, AT_ONCE)) as pool:
            answers = list(pool.map(one, range(rounds)))
    return Seen(
        Counter(told for told, _ in answers),
        max(over for _, over in answers),
        left_behind(before),
    )


def conversation(coordinator: CapacityExaminer) -> str:
    """Say why it failed, or that it did not."""
    try:
        if not coordinator.connect():
            return coordinator.failure.reason if coordinator.failure else "unknown"
        seen = coordinator.fetch_inventory().databases
        coordinator.collect_capacity({each.name for each in seen})
    except CollectFailed as error:
        return error.failure.reason
    finally:
        coordinator.disconnect()
    return "measured"


@frozen
class Holdings:
    """The threads and descriptors of this process."""

    threads: Counter[str]
    descriptors: Counter[str]


def holdings() -> Holdings:
    threads = Counter(thread.name for thread in threading.enumerate())
    return Holdings(threads, Counter(map(_kind, Path("/proc/self/fd").iterdir())))


def _kind(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink()).partition(":")[0]
    except FileNotFoundError:  # the one that listed them
        return "gone"


def left_behind(before: Holdings) -> tuple[str, ...]:
    """Name what is there now and was not before."""
    now = holdings()
    more = (now.threads - before.threads) + (now.descriptors - before.descriptors)
    del more["gone"]
    return tuple(sorted(more.elements()))
