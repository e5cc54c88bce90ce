"""The seed's own check: the sync action as its callers have always known it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from attrs import evolve
from tests.builders import a_conversation
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.memory import MemoryStore
from capacity_core.model import CapacityReport, Failure, Reason

pytestmark = pytest.mark.unit

NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def service(play: Play) -> Iterator[Service]:
    store = MemoryStore()
    application = evolve(an_application(store, play), now=lambda: NEW_YEAR)
    with running(application, store) as running_service:
        yield running_service


def inventory_names(service: Service, instance_id: int) -> list[str]:
    page = service.call("GET", f"/instances/{instance_id}/databases").json()["data"]
    return [row["database_name"] for row in page["items"]]


def test_a_caller_without_a_token_is_refused(service: Service) -> None:
    path = f"/instances/{service.add()}/actions/sync-capacity"
    answer = service.call("POST", path, None)
    assert answer.status_code == 401
    assert answer.json()["message_code"] == "AUTHENTICATION_REQUIRED"


def test_a_success_tells_status_and_message_and_dates_as_iso_strings(service: Service) -> None:
    answer = service.sync(service.add())
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    result = answer.json()["data"]["result"]
    assert result["status"] == "completed"
    assert result["message"] == "成功采集并保存 1 个数据库的容量信息"
    (database,) = result["databases"]
    assert database["collected_date"] == "2025-01-01"
    assert database["collected_at"] == "2025-01-01T00:00:00+00:00"


def test_an_empty_collection_is_a_conflict_and_keeps_the_inventory(
    service: Service, play: Play
) -> None:
    play.is_now(lambda _: a_conversation(report=CapacityReport()))
    instance_id = service.add()
    answer = service.sync(instance_id)
    assert answer.status_code == 409
    assert answer.json()["success"] is False
    assert answer.json()["error"] is True
    assert inventory_names(service, instance_id) == ["a"]


def test_a_collection_that_raises_is_a_conflict_and_keeps_the_inventory(
    service: Service, play: Play
) -> None:
    play.is_now(lambda _: a_conversation(report=RuntimeError("boom")))
    instance_id = service.add()
    answer = service.sync(instance_id)
    assert answer.status_code == 409
    assert answer.json()["message_code"] == "SYNC_DATA_ERROR"
    assert inventory_names(service, instance_id) == ["a"]


def test_a_removed_instance_is_not_found(service: Service) -> None:
    instance_id = service.add()
    service.call("DELETE", f"/instances/{instance_id}")
    assert service.sync(instance_id).status_code == 404


def test_a_disabled_instance_is_synced_all_the_same(service: Service) -> None:
    assert service.sync(service.add(is_active=False)).status_code == 200


def test_a_connect_that_fails_is_a_conflict(service: Service, play: Play) -> None:
    refused = Failure.of(Reason.REFUSED)
    play.is_now(lambda _: a_conversation(connects=refused))
    answer = service.sync(service.add())
    assert answer.status_code == 409
    assert answer.json()["message_code"] == "DATABASE_CONNECTION_ERROR"
