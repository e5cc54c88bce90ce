"""What the question about time to full answers."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.http.service import Play, Service, an_application, running
from tests.stores import on_day, sync

from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope
from capacity_core.model import DatabaseSize

pytestmark = pytest.mark.unit

DAYS = 30
NOT_ENOUGH = "Not enough data: it takes sizes on at least 7 days, with 3 changes"


@pytest.fixture
def service(play: Play) -> Iterator[Service]:
    store = MemoryStore()
    application = evolve(
        an_application(store, play), now=lambda: NOON + timedelta(days=DAYS - 1), timezone="UTC"
    )
    with running(application, store) as made:
        yield made


@pytest.fixture
def instance_id(service: Service) -> int:
    kept = service.add()
    for day in range(DAYS):
        line = DatabaseSize("a b", 100 + day, "m", ceiling_bytes=229)
        sync(service.store, kept, {"a b": line, "flat": 5}, on_day(day))
    return kept


def test_databases_are_told_with_dates_and_windows(service: Service, instance_id: int) -> None:
    answer = service.call("GET", f"/instances/{instance_id}/forecast", Scope.VIEW)
    data = answer.json()["data"]
    today = NOON.date() + timedelta(days=DAYS - 1)
    full_on = (today + timedelta(days=100)).isoformat()
    assert data["instance"] == {"id": instance_id, "name": "shop", "db_type": "postgresql"}
    assert (data["date"], data["whole"]) == (today.isoformat(), None)
    line, flat = data["databases"]
    earliest, latest = ((today + timedelta(days=days)).isoformat() for days in (96, 104))
    growth = {"bytes_per_day": 1, "low_bytes_per_day": 0, "high_bytes_per_day": 2}
    assert line == {
        "database_name": "a b",
        "status": "full_on",
        "message": f"预计 {full_on} 达到上限 (最早 {earliest}, 最晚 {latest})",
        "size_bytes": 129,
        "collected_date": today.isoformat(),
        "ceiling_bytes": 229,
        "ceiling_source": "engine",
        "full_on": full_on,
        "earliest": earliest,
        "latest": latest,
        "over_on": None,
        "window_days": 30,
        "windows": [
            {"window_days": 7, "known_days": 7, **growth},
            {"window_days": 30, "known_days": 30, **growth},
        ],
    }
    assert (flat["status"], flat["message"], flat["full_on"]) == ("no_ceiling", "没有上限", None)


def test_one_database_and_the_whole_instance(service: Service, instance_id: int) -> None:
    service.application.forecasts.set_limit(instance_id, None, 1000)
    service.application.forecasts.set_limit(instance_id, "flat", 10)
    path, english = f"/instances/{instance_id}/forecast", {"Accept-Language": "en"}
    data = service.call("GET", path, headers=english).json()["data"]
    assert (data["whole"]["size_bytes"], data["whole"]["ceiling_source"]) == (134, "limit")
    assert data["whole"]["database_name"] is None
    data = service.call("GET", f"{path}?database_name=flat", headers=english).json()["data"]
    [flat] = data["databases"]
    assert (data["whole"], flat["message"], flat["windows"]) == (None, NOT_ENOUGH, [])


def test_an_open_range_is_told(service: Service) -> None:
    kept = service.add("wild")
    for day in range(DAYS):
        sync(service.store, kept, {"a": 1000 + day + day % 3 * 50}, on_day(day))
    service.application.forecasts.set_limit(kept, "a", 5000)
    path = f"/instances/{kept}/forecast"
    answer = service.call("GET", path, headers={"Accept-Language": "en"}).json()
    [row] = answer["data"]["databases"]
    assert row["latest"] is None
    assert row["message"] == (
        f"Full on {row['full_on']}, {row['earliest']} at the earliest, perhaps never"
    )


@pytest.mark.parametrize("name", ["nobody", "", "%00", "A B"])
def test_an_unknown_database_is_not_found(service: Service, instance_id: int, name: str) -> None:
    answer = service.call("GET", f"/instances/{instance_id}/forecast?database_name={name}")
    assert (answer.status_code, answer.json()["message_code"]) == (404, "RESOURCE_NOT_FOUND")


def test_a_dropped_database_is_told(service: Service, instance_id: int) -> None:
    sync(service.store, instance_id, {"flat": 5}, on_day(DAYS))
    path, english = f"/instances/{instance_id}/forecast", {"Accept-Language": "en"}
    answer = service.call("GET", f"{path}?database_name=a%20b", headers=english)
    assert answer.status_code == 404
    assert "'a b' was dropped" in answer.json()["message"]


def test_a_slip_in_the_query_is_refused(service: Service, instance_id: int) -> None:
    answer = service.call("GET", f"/instances/{instance_id}/forecast?database=flat")
    assert (answer.status_code, answer.json()["extra"]) == (400, {"field": "database"})


def test_an_unknown_instance_is_not_found(service: Service) -> None:
    assert service.call("GET", "/instances/99/forecast").status_code == 404
