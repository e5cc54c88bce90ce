"""Every way the ports can behave, and what the decision table makes of it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product

import pytest
from attrs import evolve, field, frozen
from tests.builders import MOMENT, NOON, a_conversation, an_instance
from tests.stores import aggregates_of

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.memory import MemoryStore
from capacity_core.decisions import DECISIONS, Decision, Keep
from capacity_core.errors import EngineNotSupportedError, NotFoundError
from capacity_core.messages import text
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Failure,
    Instance,
    Inventory,
    LastSync,
    Outcome,
    Reason,
    Scenario,
    SeenDatabase,
    Unmeasured,
    sql_cure,
)
from capacity_core.ports import CapacitySyncCoordinator, UnitOfWork
from capacity_core.reads import SizeRow
from capacity_core.result import InstanceCapacitySyncActionResult
from capacity_core.sync import InstanceCapacitySyncActionsService

pytestmark = pytest.mark.unit

TLS = Failure.of(Reason.TLS)
GRANT = sql_cure("GRANT it")
TWO = Inventory((SeenDatabase("a"), SeenDatabase("b")))
BLIND = Inventory((), complete=False, cure=GRANT)
ONE_OF_TWO = CapacityReport(
    (DatabaseSize("a", 10, "m"),), (Unmeasured.of("b", Outcome.DENIED, GRANT),)
)
ALL_DENIED = CapacityReport(
    (), tuple(Unmeasured.of(name, Outcome.DENIED, GRANT) for name in ("a", "b"))
)
BUG = ValueError("a bug")

a_talk = partial(a_conversation, inventory=TWO, report=ONE_OF_TWO)


FOREIGN_ERRORS = [RuntimeError("x"), OSError("x"), ConnectionError("x"), TimeoutError("x")]
OURS = CollectFailed(Reason.TLS)

# How each step may go, and the scenario that it ends the sync with: None goes on.
CONNECTS: list[tuple[bool | Failure | Exception, Scenario | None, Reason | None]] = [
    (True, None, None),
    (TLS, Scenario.CONNECT_FAILED, Reason.TLS),
    (False, Scenario.CONNECT_FAILED, Reason.OTHER),
    (OURS, Scenario.CONNECT_FAILED, Reason.TLS),
    *[(error, Scenario.CONNECT_FAILED, Reason.OTHER) for error in FOREIGN_ERRORS],
]
INVENTORIES: list[tuple[Inventory | Exception, Scenario | None, Reason | None]] = [
    (TWO, None, None),
    (Inventory(), Scenario.INVENTORY_ONLY, None),
    (BLIND, Scenario.INVENTORY_ONLY, None),
    (Inventory((SeenDatabase("sys", is_system=True),)), Scenario.INVENTORY_ONLY, None),
    (OURS, Scenario.INVENTORY_FAILED, Reason.TLS),
    *[(error, Scenario.INVENTORY_FAILED, Reason.OTHER) for error in FOREIGN_ERRORS],
]
REPORTS: list[tuple[CapacityReport | Exception, Scenario, Reason | None]] = [
    (ONE_OF_TWO, Scenario.COMPLETE, None),
    (CapacityReport(), Scenario.NOTHING_MEASURED, Reason.EMPTY),
    (ALL_DENIED, Scenario.NOTHING_MEASURED, Reason.PERMISSION_DENIED),
    (
        CapacityReport((DatabaseSize("a", -1, "m"),)),
        Scenario.NOTHING_MEASURED,
        Reason.EMPTY,
    ),
    (OURS, Scenario.COLLECT_FAILED, Reason.TLS),
    *[(error, Scenario.COLLECT_FAILED, Reason.OTHER) for error in FOREIGN_ERRORS],
]


def every_conversation() -> Iterator[tuple[MemoryCoordinator, Scenario, Reason | None]]:
    for connect, inventory, report in product(CONNECTS, INVENTORIES, REPORTS):
        coordinator = a_talk(connects=connect[0], inventory=inventory[0], report=report[0])
        ends = (connect[1:], inventory[1:], report[1:])
        scenario, reason = next(end for end in ends if end[0] is not None)
        assert scenario is not None
        yield coordinator, scenario, reason


@frozen
class World:
    """A store with one instance."""

    store: MemoryStore = field(factory=MemoryStore)
    instance: Instance = field(init=False)

    def __attrs_post_init__(self) -> None:
        with self.store.begin() as work:
            object.__setattr__(self, "instance", work.instances.add(an_instance()))
            work.commit()

    def sync(
        self,
        coordinator: CapacitySyncCoordinator,
        *,
        decisions: Mapping[Scenario, Decision] = DECISIONS,
        commit: bool = True,
    ) -> InstanceCapacitySyncActionResult:
        with self.store.begin() as work:
            result = service(work, lambda _: coordinator, decisions=decisions)
            if commit:
                work.commit()
        return result

    def rows(self) -> dict[str, SizeRow]:
        with self.store.begin() as work:
            return {
                row.database_name: row for row in work.reads.sizes_on(self.instance.id, MOMENT.day)
            }

    def active(self) -> set[str]:
        with self.store.begin() as work:
            known = work.repository.known_databases(self.instance.id)
        return {name for name, is_active in known.items() if is_active}

    def last_sync(self) -> LastSync | None:
        with self.store.begin() as work:
            return work.instances.get(self.instance.id).last_sync


def service(
    work: UnitOfWork,
    coordinator_for: Callable[[Instance], CapacitySyncCoordinator],
    *,
    decisions: Mapping[Scenario, Decision] = DECISIONS,
    aggregation_required: bool = False,
) -> InstanceCapacitySyncActionResult:
    return InstanceCapacitySyncActionsService(
        work.repository,
        work.aggregator,
        coordinator_for,
        lambda: NOON,
        decisions=decisions,
        aggregation_required=aggregation_required,
    ).sync_instance_capacity(1)


def test_every_way_the_ports_can_behave_ends_in_its_row_of_the_table() -> None:
    count = 0
    for coordinator, scenario, reason in every_conversation():
        world = World()
        result = world.sync(coordinator)
        count += 1
        assert result.scenario is scenario
        assert result.decision == DECISIONS[scenario]
        assert (result.failure.reason if result.failure else None) == reason
        assert coordinator.disconnects == 1
        assert world.last_sync() == LastSync(NOON, scenario, reason)
        keeps = DECISIONS[scenario].keeps
        expected_active = {"a", "b"} if Keep.INVENTORY in keeps and result.change else set()
        if scenario is Scenario.INVENTORY_ONLY:
            expected_active = set()
        assert world.active() == expected_active
        outcomes = {name: row.last_outcome for name, row in world.rows().items()}
        explained = {fate.name: fate.outcome for fate in result.report.unmeasured}
        measured = {size.name: Outcome.MEASURED for size in result.report.sizes}
        assert outcomes == ({**explained, **measured} if Keep.STATS in keeps else {})
        assert result.saved_count == len(result.report.sizes)
        total_written = scenario is Scenario.COMPLETE or (
            scenario is Scenario.INVENTORY_ONLY and result.inventory_complete
        )
        assert result.instance_stat_updated is total_written
        with world.store.begin() as work:
            day = work.reads.instance_day(1, MOMENT.day)
        assert (day is not None) is total_written
        if day is not None:
            assert day.total_size_bytes == (10 if scenario is Scenario.COMPLETE else 0)
    assert count == len(CONNECTS) * len(INVENTORIES) * len(REPORTS)


@pytest.mark.parametrize("step", ["connects", "inventory", "report"])
def test_a_bug_in_a_coordinator_is_raised_after_disconnecting(step: str) -> None:
    world = World()
    coordinator = evolve(a_talk(), **{step: BUG})  # type: ignore[arg-type]  # a table of steps
    with pytest.raises(ValueError, match="a bug"):
        world.sync(coordinator)
    assert coordinator.disconnects == 1
    assert world.last_sync() is None
    assert world.active() == set()


def test_a_missing_instance_is_not_found_and_nobody_is_asked() -> None:
    def ask_nobody(_: Instance) -> CapacitySyncCoordinator:
        raise AssertionError

    with MemoryStore().begin() as work, pytest.raises(NotFoundError):
        service(work, ask_nobody)


def test_an_engine_that_is_not_installed_keeps_the_attempt() -> None:
    def no_engine(_: Instance) -> CapacitySyncCoordinator:
        raise EngineNotSupportedError(text("hint.other"))

    world = World()
    with world.store.begin() as work:
        result = service(work, no_engine)
        work.commit()
    assert result.scenario is Scenario.ENGINE_NOT_SUPPORTED
    assert world.last_sync() == LastSync(NOON, result.scenario, Reason.DRIVER_MISSING)


def test_what_the_caller_does_not_commit_is_not_kept() -> None:
    world = World()
    world.sync(a_talk(), commit=False)
    assert world.rows() == {}
    assert world.last_sync() is None


def test_a_database_that_the_login_no_longer_sees_stays_with_its_outcome() -> None:
    world = World()
    world.sync(a_talk())
    blinder = a_talk(inventory=Inventory((SeenDatabase("a"),), complete=False, cure=GRANT))
    result = world.sync(blinder)
    assert world.active() == {"a", "b"}
    assert world.rows()["b"].last_outcome is Outcome.NOT_VISIBLE
    assert [warning.code for warning in result.warnings] == ["inventory_incomplete"]


def test_blindness_to_everything_writes_no_zero() -> None:
    world = World()
    world.sync(a_talk())
    result = world.sync(a_talk(inventory=BLIND))
    assert result.scenario is Scenario.INVENTORY_ONLY
    assert [fate.name for fate in result.report.unmeasured] == ["a", "b"]
    assert {row.last_outcome for row in world.rows().values()} == {Outcome.NOT_VISIBLE}
    assert not result.instance_stat_updated
    with world.store.begin() as work:
        day = work.reads.instance_day(1, MOMENT.day)
    assert day is not None
    assert day.total_size_bytes == 10


def test_the_days_aggregate_follows_a_zero_total() -> None:
    world = World()
    totals = []
    for coordinator in (a_talk(), a_talk(inventory=Inventory())):
        world.sync(coordinator)
        totals.append([row[3] for row in aggregates_of(world.store, 1)[1]])
    assert totals == [[10], [0]]


def test_a_total_that_was_not_written_is_not_aggregated() -> None:
    world = World()
    aggregator = BrokenAggregator(frozenset())
    with world.store.begin() as work:
        InstanceCapacitySyncActionsService(
            work.repository, aggregator, lambda _: a_talk(inventory=BLIND), lambda: NOON
        ).sync_instance_capacity(1)
    assert aggregator.called == ["database"]


def test_a_total_beyond_64_bits_is_refused_not_stored() -> None:
    world = World()
    sizes = tuple(DatabaseSize(name, MAX_BYTES, "m") for name in ("a", "b"))
    result = world.sync(a_talk(report=CapacityReport(sizes)))
    assert result.scenario is Scenario.COMPLETE
    assert not result.instance_stat_updated
    assert [warning.code for warning in result.warnings] == ["total_overflow"]
    assert world.rows()["a"].size_bytes == MAX_BYTES


@pytest.mark.parametrize("timezone", [None, "Asia/Shanghai", "America/Los_Angeles"])
def test_the_business_day_is_the_instances_own(timezone: str | None) -> None:
    world = World()
    with world.store.begin() as work:
        work.instances.save(evolve(world.instance, timezone=timezone))
        work.commit()
    with world.store.begin() as work:
        result = InstanceCapacitySyncActionsService(
            work.repository,
            work.aggregator,
            lambda _: a_talk(),
            lambda: NOON.replace(hour=17),
            timezone="Asia/Tokyo",
        ).sync_instance_capacity(1)
    days = {None: 11, "Asia/Shanghai": 11, "America/Los_Angeles": 10}
    assert result.moment.day.day == days[timezone]


def test_a_caller_may_bring_another_table() -> None:
    frugal = {**DECISIONS, Scenario.COMPLETE: Decision(202, "OK", "done", frozenset())}
    world = World()
    result = world.sync(a_talk(), decisions=frugal)
    assert result.http_status == 202
    assert world.rows() == {}


def test_a_table_that_keeps_more_than_there_is_keeps_what_there_is() -> None:
    greedy = {**DECISIONS, Scenario.CONNECT_FAILED: Decision(409, "X", "done", frozenset(Keep))}
    world = World()
    result = world.sync(a_talk(connects=False), decisions=greedy)
    assert world.active() == set()
    assert result.saved_count == 0


@frozen
class BrokenAggregator:
    broken: frozenset[str]
    called: list[str] = field(factory=list)

    def calculate_daily_database_aggregations_for_instance(self, *_: object) -> None:
        self._calculate("database")

    def calculate_daily_aggregations_for_instance(self, *_: object) -> None:
        self._calculate("instance")

    def _calculate(self, level: str) -> None:
        self.called.append(level)
        if level in self.broken:
            raise ArithmeticError(level)


@pytest.mark.parametrize(
    "broken", [frozenset(), {"database"}, {"instance"}, {"database", "instance"}]
)
def test_aggregations_fail_independently_and_leave_a_warning(
    broken: frozenset[str], caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    aggregator = BrokenAggregator(frozenset(broken))
    with world.store.begin() as work:
        result = InstanceCapacitySyncActionsService(
            work.repository, aggregator, lambda _: a_talk(), lambda: NOON
        ).sync_instance_capacity(1)
    assert result.scenario is Scenario.COMPLETE
    assert aggregator.called == ["database", "instance"]
    assert [w.code for w in result.warnings] == ["aggregation_failed"] * len(broken)
    logged = [r for r in caplog.records if r.message == "容量同步后触发聚合失败"]
    assert len(logged) == len(broken)
    for record in logged:
        about = vars(record)
        assert record.levelno == logging.WARNING
        assert about["component"] == "databases_capacity"
        assert about["action"] == "sync_instance_capacity"
        assert about["instance_id"] == 1


def test_aggregation_can_be_made_mandatory() -> None:
    world = World()
    with world.store.begin() as work, pytest.raises(ArithmeticError):
        InstanceCapacitySyncActionsService(
            work.repository,
            BrokenAggregator(frozenset({"database"})),
            lambda _: a_talk(),
            lambda: NOON,
            aggregation_required=True,
        ).sync_instance_capacity(1)


def test_only_active_databases_are_asked_for() -> None:
    world = World()
    coordinator = a_talk(
        inventory=Inventory((SeenDatabase("a"), SeenDatabase("sys", is_system=True)))
    )
    world.sync(coordinator)
    assert coordinator.asked == {"a"}
