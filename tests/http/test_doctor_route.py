"""The doctor over HTTP: the checks, or the failure that a sync would have."""

from collections.abc import Callable, Mapping

import pytest
from attrs import evolve
from tests.builders import a_conversation
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope
from capacity_core.decisions import DECISIONS, Decision
from capacity_core.diagnosis import Check, CheckState
from capacity_core.errors import EngineNotSupportedError
from capacity_core.messages import text
from capacity_core.model import (
    CollectFailed,
    Failure,
    Instance,
    Inventory,
    Reason,
    Scenario,
    SeenDatabase,
    sql_cure,
)
from capacity_core.ports import CapacityExaminer

pytestmark = pytest.mark.unit

SIZES = Check(
    "read_sizes", CheckState.MISSING, text("doctor.read_sizes"), ("a",), sql_cure("GRANT it")
)
ENGLISH = {"Accept-Language": "en"}


def plays(**told: object) -> Callable[[Instance], CapacityExaminer]:
    return lambda _instance: a_conversation(**told)


def not_installed(_instance: Instance) -> CapacityExaminer:
    raise EngineNotSupportedError(text("sync.engine_not_supported", name="-"))


def examine(service: Service, instance_id: int, **request: Mapping[str, str]) -> tuple[int, dict]:  # type: ignore[type-arg]  # as JSON comes
    answer = service.call("GET", f"/instances/{instance_id}/doctor", Scope.UPDATE, **request)
    return answer.status_code, answer.json()


def test_what_is_missing_is_told_with_its_cost_and_cure(service: Service, play: Play) -> None:
    play.is_now(plays(checks=(SIZES,)))
    instance_id = service.add()
    status, body = examine(service, instance_id, headers=ENGLISH)
    assert status == 200
    assert body["message"].startswith("Sizing every database of shop lacks")
    assert body["data"]["diagnosis"] == {
        "instance_id": instance_id,
        "ready": False,
        "complete": True,
        "checks": [
            {
                "name": "read_sizes",
                "state": "missing",
                "unlocks": "The size of every database",
                "costs": ["a"],
                "cure": "As an administrator, run: GRANT it",
            }
        ],
        "unseen": [],
    }


def test_nothing_missing_is_ready_and_leaves_no_trace(service: Service, play: Play) -> None:
    play.is_now(plays())
    instance_id = service.add()
    lease = service.store.leases.acquire(instance_id, 60)  # a sync of it is running
    status, body = examine(service, instance_id)
    assert (status, body["message"]) == (200, "实例 shop 权限齐备")
    assert body["data"]["diagnosis"]["ready"] is True
    service.store.leases.release(lease)
    shown = service.call("GET", f"/instances/{instance_id}").json()["data"]["instance"]
    assert shown["last_sync"] is None
    databases = service.call("GET", f"/instances/{instance_id}/databases").json()["data"]["items"]
    assert databases == []


def test_what_is_known_and_hidden_is_named(service: Service, play: Play) -> None:
    play.is_now(plays())
    instance_id = service.add()
    service.sync(instance_id)
    play.is_now(plays(inventory=Inventory((SeenDatabase("b"),), complete=False)))
    _, body = examine(service, instance_id)
    assert body["data"]["diagnosis"]["unseen"] == ["a"]
    assert body["data"]["diagnosis"]["complete"] is False


@pytest.mark.parametrize(
    ("role", "scenario", "reason"),
    [
        (not_installed, Scenario.ENGINE_NOT_SUPPORTED, Reason.DRIVER_MISSING),
        (
            plays(connects=Failure.of(Reason.AUTH_FAILED)),
            Scenario.CONNECT_FAILED,
            Reason.AUTH_FAILED,
        ),
        (
            plays(inventory=CollectFailed(Reason.ACCOUNT_LOCKED)),
            Scenario.INVENTORY_FAILED,
            Reason.ACCOUNT_LOCKED,
        ),
        (
            plays(checks=CollectFailed(Reason.CONNECTION_LOST)),
            Scenario.INVENTORY_FAILED,
            Reason.CONNECTION_LOST,
        ),
    ],
)
def test_an_instance_that_cannot_be_asked_fails_as_its_sync_would(
    service: Service,
    play: Play,
    role: Callable[[Instance], CapacityExaminer],
    scenario: Scenario,
    reason: Reason,
) -> None:
    play.is_now(role)
    instance_id = service.add()
    status, body = examine(service, instance_id)
    decision = DECISIONS[scenario]
    assert (status, body["message_code"]) == (decision.http_status, decision.message_key)
    assert (body["extra"]["instance_id"], body["extra"]["reason"]) == (instance_id, reason)
    assert body["extra"]["hint"]
    assert "容量采集" not in body["message"]  # nothing was to be collected


def test_a_bug_is_a_500(service: Service, play: Play) -> None:
    conversation: MemoryCoordinator = a_conversation(checks=ValueError("inner text"))
    play.is_now(lambda _instance: conversation)
    status, body = examine(service, service.add())
    assert (status, body["message_code"]) == (500, "INTERNAL_ERROR")
    assert conversation.disconnects == 1


def test_an_own_decision_table_is_the_doctor_s_too(play: Play) -> None:
    refused: Decision = evolve(DECISIONS[Scenario.CONNECT_FAILED], http_status=503)
    store = MemoryStore()
    table = {**DECISIONS, Scenario.CONNECT_FAILED: refused}
    application = evolve(an_application(store, play), decisions=table)
    play.is_now(plays(connects=False))
    with running(application, store) as service:
        assert examine(service, service.add())[0] == 503


def test_a_missing_instance_is_not_found(service: Service) -> None:
    assert examine(service, 4711)[0] == 404
