"""A real server's answers, cut off after N bytes: in the login, the inventory or the sizes."""

import time
from collections.abc import Callable
from typing import Final

from attrs import field, frozen
from tests.faults.listeners import listening
from tests.faults.matrix import GRACE
from tests.faults.relays import Relay
from tests.targets import coordinator_of, outcomes, sizes

from capacity_core.model import CapacityReport, CollectFailed, Instance, Reason

DEADLINE: Final = 5.0
PHASES: Final = ("in login", "in inventory", "in sizes", "nowhere")
# A cut is a lost connection; in the middle of a handshake it may be called a fault of TLS.
REASONS: Final = frozenset({Reason.CONNECTION_LOST, Reason.TLS})

Reach = Callable[[int], Instance]  # the instance by the port of a relay before it


@frozen
class Told:
    """Where a conversation ended, and why: its reason, or the report that it came to."""

    phase: str
    over: float
    reason: str = ""
    report: CapacityReport = field(factory=lambda: CapacityReport(()))

    def is_true_to(self, whole: CapacityReport) -> bool:
        """Say whether all that was told is so, in time, and nothing is missing without a reason."""
        if self.over > GRACE:
            return False
        if self.reason:
            return self.reason in REASONS
        right, all_right = sizes(self.report), sizes(whole)
        named = right.keys() | outcomes(self.report).keys()
        return right.items() <= all_right.items() and named == all_right.keys()


def cut(reach: Reach, port: int, after: int | None = None) -> tuple[Told, int]:
    """Have a conversation through a relay; returns what was told, and how many bytes it was."""
    relay = Relay(port, cut_after=after)
    with listening(relay) as own_port:
        told = _conversation(reach(own_port))
    return told, sum(relay.answered)


def cuts(reach: Reach, port: int, step: int) -> tuple[dict[str, set[str]], list[int]]:
    """Cut after every `step` bytes; returns the reasons told in each phase, and the cuts that lied.

    A report in spite of the cut has the reason "partial", or "whole".
    """
    uncut, length = cut(reach, port)
    whole = sizes(uncut.report)
    assert whole
    told: dict[str, set[str]] = {phase: set() for phase in PHASES}
    lies: list[int] = []
    for after in range(1, length + step, step):
        one, _ = cut(reach, port, after)
        if not one.is_true_to(uncut.report):
            lies.append(after)
        reports = sizes(one.report)
        phase = "nowhere" if reports == whole else one.phase
        told[phase].add(one.reason or ("whole" if reports == whole else "partial"))
    return told, lies


def _conversation(instance: Instance) -> Told:
    started, phase = time.monotonic(), "in login"

    def over() -> float:
        coordinator.disconnect()
        return time.monotonic() - started - DEADLINE

    coordinator = coordinator_of(instance, deadline=DEADLINE)
    try:
        if not coordinator.connect():
            return Told(phase, over(), coordinator.failure.reason if coordinator.failure else "?")
        phase = "in inventory"
        seen = coordinator.fetch_inventory().databases
        phase = "in sizes"
        report = coordinator.collect_capacity({e.name for e in seen if not e.is_system})
        return Told(phase, over(), report=report)
    except CollectFailed as error:
        return Told(phase, over(), error.failure.reason)
    finally:
        coordinator.disconnect()
