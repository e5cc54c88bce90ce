"""What every engine must do, as tests: subclass `EngineContract`, bring a target, run pytest.

```python
class TestTiny(EngineContract):
    @pytest.fixture
    def target(self, server: Server) -> Iterator[ContractTarget]:
        yield ContractTarget(...)
```

pytest is imported here, and nowhere else in this package. For its telling assertions, say
`pytest.register_assert_rewrite("capacity_adapters.testing")` before this module is imported.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest
from attrs import field, frozen

from capacity_adapters.engines import EnginePlugin
from capacity_adapters.engines.coordinator import EngineCoordinator
from capacity_adapters.engines.engine import TargetPolicy
from capacity_core.diagnosis import Capabilities, Check, CheckState
from capacity_core.inventory import account_for
from capacity_core.messages import Language, Text, render
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    CollectFailed,
    Freshness,
    Instance,
    Inventory,
    Outcome,
    Reason,
    Secret,
)
from capacity_core.ports import CapacityExaminer

__all__ = ["ContractTarget", "EngineContract", "connected", "conversation"]

SHORT_DEADLINE: Final = 1.0
# How much later than its deadline a conversation may end on a machine that is busy.
PATIENCE: Final = 10.0
ROUNDS: Final = 5
_DESCRIPTORS: Final = Path("/dev/fd")


@frozen(kw_only=True)
class ContractTarget:
    """A target with two databases, and ways to ask it.

    `coordinator` prepares a conversation with a login that may measure both, `broken` one with a
    place where there is nothing. `stays` and `gone` are the databases' names, and `drop` drops
    `gone`. An engine that has rights gives `lesser`: a conversation with a login that may connect,
    but not measure `stays`. An engine that speaks TCP gives `at_port`: a conversation, with that
    deadline in seconds, with that port of 127.0.0.1. `capabilities` are those that it declares; one
    that tells identities gives `make`, which makes `gone` anew once it was dropped.
    """

    coordinator: Callable[[], CapacityExaminer]
    broken: Callable[[], CapacityExaminer]
    stays: str
    gone: str
    drop: Callable[[], None]
    lesser: Callable[[], CapacityExaminer] | None = None
    at_port: Callable[[int, float], CapacityExaminer] | None = None
    make: Callable[[], None] | None = None
    capabilities: Capabilities = field(factory=Capabilities)


def conversation(
    plugin: EnginePlugin,
    instance: Instance,
    password: str = "",
    *,
    deadline: float = 20.0,
    policy: TargetPolicy | None = None,
) -> CapacityExaminer:
    """Prepare a conversation with an engine that need not be installed; `deadline` in seconds."""
    return EngineCoordinator(
        instance=instance,
        load=plugin.load,
        package=plugin.package,
        policy=policy or TargetPolicy(),
        deadline=deadline,
        secret=lambda: Secret(password),
    )


@contextmanager
def connected(coordinator: CapacityExaminer) -> Iterator[CapacityExaminer]:
    """Lend the conversation, opened, and close it."""
    try:
        assert coordinator.connect(), coordinator.failure
        yield coordinator
    finally:
        coordinator.disconnect()


class EngineContract:
    """The suite. A subclass whose name begins with `Test` brings the fixture `target`."""

    @pytest.fixture
    def target(self) -> Iterator[ContractTarget]:
        """Lend a target that nobody else uses."""
        raise NotImplementedError

    def test_names_are_the_same_in_the_inventory_and_in_the_report(
        self, target: ContractTarget
    ) -> None:
        both = {target.stays, target.gone}
        inventory, report = _ask_for(target.coordinator(), both)
        assert both <= {database.name for database in inventory.databases}
        assert {size.name for size in report.sizes} == both
        assert inventory.complete

    def test_a_size_is_whole_bytes_and_says_how_it_was_found(self, target: ContractTarget) -> None:
        _, report = _ask_for(target.coordinator(), {target.stays, target.gone})
        for size in report.sizes:
            assert size.method
            assert 0 < size.size_bytes <= MAX_BYTES
            assert isinstance(size.freshness, Freshness)
            assert size.outcome is Outcome.MEASURED
            parts = (
                size.data_size_bytes,
                size.log_size_bytes,
                size.used_size_bytes,
                size.ceiling_bytes,
                size.duration_ms,
            )
            assert all(part is None or 0 <= part <= MAX_BYTES for part in parts)
            assert all(type(part) in {int, type(None)} for part in (size.size_bytes, *parts))

    def test_what_is_told_beside_sizes_is_declared(self, target: ContractTarget) -> None:
        inventory, report = _ask_for(target.coordinator(), {target.stays, target.gone})
        declared = target.capabilities
        assert declared.log_size or {size.log_size_bytes for size in report.sizes} == {None}
        assert declared.used_size or {size.used_size_bytes for size in report.sizes} == {None}
        assert declared.ceiling or {size.ceiling_bytes for size in report.sizes} == {None}
        assert declared.identity or {size.identity for size in report.sizes} == {None}
        assert declared.system_databases or not any(
            database.is_system for database in inventory.databases
        )

    def test_a_database_made_anew_is_another_and_one_that_stays_is_not(
        self, target: ContractTarget
    ) -> None:
        if target.make is None:
            assert not target.capabilities.identity, "make: it declares that it tells identities"
            pytest.skip("this engine tells no identities")
        before, again = (_identities(target) for _ in range(2))
        assert before == again
        target.drop()
        target.make()
        after = _identities(target)
        assert after.keys() == {target.stays, target.gone}
        assert after[target.stays] == before[target.stays]
        assert after[target.gone] != before[target.gone]

    def test_only_what_was_asked_for_is_measured(self, target: ContractTarget) -> None:
        with connected(target.coordinator()) as coordinator:
            coordinator.fetch_inventory()
            report = coordinator.collect_capacity({target.stays})
            nothing = coordinator.collect_capacity(frozenset())
        assert [size.name for size in report.sizes] == [target.stays]
        assert (nothing.sizes, nothing.unmeasured) == ((), ())

    def test_a_database_dropped_meanwhile_has_vanished(self, target: ContractTarget) -> None:
        with connected(target.coordinator()) as coordinator:
            coordinator.fetch_inventory()
            target.drop()
            report = coordinator.collect_capacity({target.stays, target.gone})
        assert [size.name for size in report.sizes] == [target.stays]
        assert _outcomes(report) == {target.gone: Outcome.VANISHED}

    def test_a_name_that_nobody_knows_has_vanished(self, target: ContractTarget) -> None:
        _, report = _ask_for(target.coordinator(), {"never was"})
        assert _outcomes(report) == {"never was": Outcome.VANISHED}

    def test_what_has_no_size_has_an_outcome_and_a_hint(self, target: ContractTarget) -> None:
        target.drop()
        everything = {target.stays, target.gone, "never was"}
        _, report = _ask_for(target.coordinator(), everything)
        _check_fates(report, everything)

    def test_a_login_with_fewer_rights_is_told_so(self, target: ContractTarget) -> None:
        if target.lesser is None:
            pytest.skip("this engine has no rights")
        inventory, report = _ask_for(target.lesser(), {target.stays, target.gone})
        _check_fates(report, {target.stays, target.gone})
        assert target.stays not in {size.name for size in report.sizes}
        if target.stays in {database.name for database in inventory.databases}:
            assert _outcomes(report)[target.stays] is Outcome.DENIED
        else:
            assert not inventory.complete
            _check_text(inventory.cure)

    def test_examining_gives_checks(self, target: ContractTarget) -> None:
        for coordinator in filter(None, (target.coordinator, target.lesser)):
            with connected(coordinator()) as conversation:
                checks = conversation.examine()
            assert isinstance(checks, tuple)
            assert len({check.name for check in checks}) == len(checks)
            for check in checks:
                _check_check(check)

    def test_a_failed_connect_says_why(self, target: ContractTarget) -> None:
        coordinator = target.broken()
        assert coordinator.connect() is False
        assert coordinator.failure is not None
        assert coordinator.failure.reason in {Reason.REFUSED, Reason.PATH_MISSING}
        _check_text(coordinator.failure.hint)
        coordinator.disconnect()

    def test_nothing_can_be_asked_without_a_connection(self, target: ContractTarget) -> None:
        coordinator = target.coordinator()
        asks: tuple[Callable[[], object], ...] = (
            coordinator.fetch_inventory,
            lambda: coordinator.collect_capacity({target.stays}),
            coordinator.examine,
        )
        for _ in ("before", "after"):
            for ask in asks:
                with pytest.raises(CollectFailed):
                    ask()
            with connected(coordinator):
                pass

    def test_disconnecting_is_always_harmless(self, target: ContractTarget) -> None:
        for coordinator in (target.coordinator(), target.broken()):
            coordinator.disconnect()
            coordinator.connect()
            coordinator.disconnect()
            coordinator.disconnect()

    def test_a_conversation_can_begin_again(self, target: ContractTarget) -> None:
        coordinator = target.coordinator()
        for _ in range(2):
            with connected(coordinator):
                assert coordinator.failure is None
                assert coordinator.fetch_inventory().databases

    def test_a_peer_that_says_nothing_is_left_at_the_deadline(self, target: ContractTarget) -> None:
        if target.at_port is None:
            pytest.skip("this engine does not speak TCP")
        with _silent_peer() as port:
            coordinator = target.at_port(port, SHORT_DEADLINE)
            begun = time.monotonic()
            assert not coordinator.connect()
            coordinator.disconnect()
            took = time.monotonic() - begun
        assert coordinator.failure is not None
        assert coordinator.failure.reason is Reason.TIMEOUT
        assert took < SHORT_DEADLINE + PATIENCE

    def test_no_time_at_all_is_a_timeout(self, target: ContractTarget) -> None:
        if target.at_port is None:
            pytest.skip("this engine does not speak TCP")
        with _silent_peer() as port:
            coordinator = target.at_port(port, 0.0)
            assert not coordinator.connect()
            coordinator.disconnect()
        assert coordinator.failure is not None
        assert coordinator.failure.reason is Reason.TIMEOUT

    def test_neither_thread_nor_descriptor_is_left(self, target: ContractTarget) -> None:
        def converse() -> None:
            _ask_for(target.coordinator(), {target.stays})
            broken = target.broken()
            broken.connect()
            broken.disconnect()

        converse()  # what an engine keeps for all its conversations is there after the first
        before = _held()
        for _ in range(ROUNDS):
            converse()
        left = _settled(before)
        assert left.descriptors <= before.descriptors
        assert left.threads <= before.threads


def _ask_for(coordinator: CapacityExaminer, names: set[str]) -> tuple[Inventory, CapacityReport]:
    with connected(coordinator):
        return coordinator.fetch_inventory(), coordinator.collect_capacity(names)


def _identities(target: ContractTarget) -> dict[str, str]:
    """Give what the engine knows each database by, as far as that can be kept."""
    _, report = _ask_for(target.coordinator(), {target.stays, target.gone})
    kept = account_for({target.stays, target.gone}, report)
    return {size.name: size.identity for size in kept.sizes if size.identity}


def _outcomes(report: CapacityReport) -> dict[str, Outcome]:
    return {each.name: each.outcome for each in report.unmeasured}


def _check_fates(report: CapacityReport, names: set[str]) -> None:
    """Every name has one fate, and what has no size says why."""
    sized, unsized = (each.name for each in report.sizes), (each.name for each in report.unmeasured)
    assert sorted([*sized, *unsized]) == sorted(names)
    for each in report.unmeasured:
        assert isinstance(each.outcome, Outcome)
        assert each.outcome is not Outcome.MEASURED
        _check_text(each.hint)


def _check_check(check: Check) -> None:
    assert isinstance(check, Check)
    assert isinstance(check.state, CheckState)
    assert check.name
    assert all(isinstance(name, str) for name in check.costs)
    _check_text(check.unlocks)


def _check_text(said: Text) -> None:
    for language in Language:
        assert render(said, language).strip()


@contextmanager
def _silent_peer() -> Iterator[int]:
    """Lend a port where connections are accepted, by the system, and never answered."""
    with closing(socket.create_server(("127.0.0.1", 0))) as peer:
        yield peer.getsockname()[1]


@frozen
class _Held:
    """How many descriptors and threads this process has."""

    descriptors: int
    threads: int


def _held() -> _Held:
    descriptors = sum(1 for _ in _DESCRIPTORS.iterdir()) if _DESCRIPTORS.exists() else 0
    return _Held(descriptors, threading.active_count())


def _settled(wanted: _Held) -> _Held:
    """Count again, leaving a moment to what ends by itself."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        held = _held()
        if held.descriptors <= wanted.descriptors and held.threads <= wanted.threads:
            break
        time.sleep(0.01)
    return _held()
