"""Every row of the decision table, as a caller over HTTP sees it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from attrs import evolve, frozen
from tests.builders import a_conversation
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.memory import MemoryStore
from capacity_core.decisions import DECISIONS
from capacity_core.errors import EngineNotSupportedError
from capacity_core.messages import text
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Failure,
    Instance,
    Inventory,
    Outcome,
    Reason,
    Scenario,
    SeenDatabase,
    Unmeasured,
    sql_cure,
)
from capacity_core.ports import CapacityExaminer

pytestmark = pytest.mark.unit

GRANT = sql_cure("GRANT it")
TWO = Inventory((SeenDatabase("a"), SeenDatabase("b")))
BOTH_DENIED = CapacityReport(
    (), tuple(Unmeasured.of(name, Outcome.DENIED, GRANT) for name in ("a", "b"))
)


def not_installed(_instance: Instance) -> CapacityExaminer:
    raise EngineNotSupportedError(text("sync.engine_not_supported", name="-"))


def plays(coordinator: MemoryCoordinator) -> Callable[[Instance], CapacityExaminer]:
    return lambda _instance: coordinator


@frozen
class Row:
    scenario: Scenario
    role: Callable[[Instance], CapacityExaminer]
    reason: Reason | None = None
    kept: tuple[str, ...] = ()


FAILURES = [
    Row(Scenario.ENGINE_NOT_SUPPORTED, not_installed, Reason.DRIVER_MISSING),
    Row(
        Scenario.CONNECT_FAILED,
        plays(a_conversation(connects=Failure.of(Reason.AUTH_FAILED))),
        Reason.AUTH_FAILED,
    ),
    Row(
        Scenario.INVENTORY_FAILED,
        plays(a_conversation(inventory=CollectFailed(Reason.TIMEOUT))),
        Reason.TIMEOUT,
    ),
    Row(
        Scenario.COLLECT_FAILED,
        plays(a_conversation(report=CollectFailed(Reason.CONNECTION_LOST))),
        Reason.CONNECTION_LOST,
        ("a",),
    ),
    Row(
        Scenario.NOTHING_MEASURED,
        plays(a_conversation(inventory=TWO, report=BOTH_DENIED)),
        Reason.PERMISSION_DENIED,
        ("a", "b"),
    ),
]


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.scenario)
def test_a_failure_of_the_target_is_told_and_keeps_what_the_table_says(
    service: Service, play: Play, row: Row
) -> None:
    play.is_now(row.role)
    instance_id = service.add()
    answer = service.sync(instance_id)
    decision, body = DECISIONS[row.scenario], answer.json()
    assert (answer.status_code, body["message_code"]) == (
        decision.http_status,
        decision.message_key,
    )
    assert body["extra"]["instance_id"] == instance_id
    assert body["extra"]["reason"] == row.reason
    assert body["extra"]["hint"]
    databases = service.call("GET", f"/instances/{instance_id}/databases").json()["data"]["items"]
    assert tuple(database["database_name"] for database in databases) == row.kept
    shown = service.call("GET", f"/instances/{instance_id}").json()["data"]["instance"]
    assert shown["last_sync"]["scenario"] == row.scenario
    assert shown["last_sync"]["reason"] == row.reason


def test_nothing_measured_lists_why(service: Service, play: Play) -> None:
    play.is_now(plays(a_conversation(inventory=TWO, report=BOTH_DENIED)))
    unmeasured = service.sync(service.add()).json()["extra"]["unmeasured"]
    assert [(row["database_name"], row["outcome"]) for row in unmeasured] == [
        ("a", "denied"),
        ("b", "denied"),
    ]
    assert all("GRANT it" in row["hint"] for row in unmeasured)


def test_a_complete_sync_answers_to_the_letter(service: Service, play: Play) -> None:
    sizes = (DatabaseSize("a", 1, "m"), DatabaseSize("b", 3 * 1024**2, "m", 1024**2, 2 * 1024**2))
    play.is_now(plays(a_conversation(inventory=TWO, report=CapacityReport(sizes))))
    body = service.sync(service.add()).json()
    result = body["data"]["result"]
    assert set(body) == {
        "success",
        "error",
        "message",
        "message_code",
        "timestamp",
        "data",
    }
    assert body["message"] == "实例 shop 的容量同步任务已成功完成"
    assert [entry["database_name"] for entry in result["databases"]] == ["b", "a"]
    assert [entry["size_mb"] for entry in result["databases"]] == [3, 1]
    assert result["total_size_bytes"] == 3 * 1024**2 + 1
    assert result["total_size_mb"] == 4
    assert result["saved_count"] == result["database_count"] == 2
    assert result["instance_stat_updated"] is True
    assert result["inventory"]["synchronized_databases"] == ["a", "b"]
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is UTC


def test_no_active_database_is_a_success_that_says_so(service: Service, play: Play) -> None:
    play.is_now(plays(a_conversation(inventory=Inventory())))
    answer = service.sync(service.add())
    result = answer.json()["data"]["result"]
    assert answer.status_code == 200
    assert result["message"] == "未发现活跃数据库,已仅同步数据库列表"
    assert (result["databases"], result["saved_count"]) == ([], 0)


def test_a_missing_instance_is_not_found_and_has_no_extra(service: Service) -> None:
    answer = service.sync(4711)
    assert answer.status_code == 404
    assert answer.json()["message"] == "实例不存在"
    assert "extra" not in answer.json()


def test_a_sync_that_runs_already_is_a_conflict_with_its_beginning(service: Service) -> None:
    instance_id = service.add()
    lease = service.store.leases.acquire(instance_id, 60)
    answer = service.sync(instance_id)
    assert (answer.status_code, answer.json()["message_code"]) == (409, "SYNC_IN_PROGRESS")
    assert answer.json()["extra"]["instance_id"] == instance_id
    assert datetime.fromisoformat(answer.json()["extra"]["since"]).tzinfo is not None
    service.store.leases.release(lease)
    assert service.sync(instance_id).status_code == 200


def test_a_bug_is_a_500_that_keeps_nothing_and_frees_the_lease(
    service: Service, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    play.is_now(plays(a_conversation(report=ValueError("inner text"))))
    instance_id = service.add()
    answer = service.sync(instance_id)
    body = answer.json()
    assert (answer.status_code, body["message_code"]) == (500, "INTERNAL_ERROR")
    assert (body["category"], body["severity"], body["recoverable"]) == ("system", "high", False)
    assert "inner text" not in answer.text
    (record,) = [record for record in caplog.records if body["error_id"] in record.getMessage()]
    assert record.exc_info is not None
    shown = service.call("GET", f"/instances/{instance_id}").json()["data"]["instance"]
    assert shown["last_sync"] is None
    play.is_now(plays(a_conversation()))
    assert service.sync(instance_id).status_code == 200


def test_a_body_is_not_needed_and_not_read(service: Service) -> None:
    assert service.sync(service.add(), content=b"{ not json").status_code == 200


def test_a_caller_may_bring_an_own_decision_table(play: Play) -> None:
    table = {**DECISIONS, Scenario.CONNECT_FAILED: evolve(DECISIONS[Scenario.CONNECT_FAILED])}
    changed = evolve(table[Scenario.CONNECT_FAILED], http_status=503)
    store = MemoryStore()
    application = evolve(
        an_application(store, play), decisions={**table, Scenario.CONNECT_FAILED: changed}
    )
    play.is_now(plays(a_conversation(connects=False)))
    with running(application, store) as service:
        assert service.sync(service.add()).status_code == 503
