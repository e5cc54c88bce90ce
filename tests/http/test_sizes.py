"""What the questions about databases and their histories answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from tests.builders import a_conversation
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.memory import MemoryStore
from capacity_core.model import (
    CapacityReport,
    DatabaseSize,
    Freshness,
    Inventory,
    Outcome,
    SeenDatabase,
    Unmeasured,
)

pytestmark = pytest.mark.unit

MIB = 1024 * 1024
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Today:
    now = NOON


@pytest.fixture
def service(play: Play) -> Iterator[Service]:
    store = MemoryStore()
    with running(evolve(an_application(store, play), now=lambda: Today.now), store) as made:
        yield made


def play_day(
    service: Service, play: Play, instance_id: int, day: int, report: CapacityReport
) -> None:
    names = [size.name for size in report.sizes] + [gone.name for gone in report.unmeasured]
    inventory = Inventory(tuple(SeenDatabase(name) for name in names))
    play.is_now(lambda _: a_conversation(inventory=inventory, report=report))
    Today.now = NOON + timedelta(days=day)
    assert service.sync(instance_id).status_code == 200


def two_days(service: Service, play: Play) -> int:
    instance_id = service.add()
    first = (DatabaseSize("a", MIB + 1, "m", MIB, 1), DatabaseSize("b b", 5, "m"))
    play_day(service, play, instance_id, 0, CapacityReport(first))
    denied = (Unmeasured.of("b b", Outcome.DENIED),)
    play_day(service, play, instance_id, 1, CapacityReport((DatabaseSize("a", 0, "m"),), denied))
    return instance_id


def test_databases_show_their_last_size_and_their_latest_outcome(
    service: Service, play: Play
) -> None:
    instance_id = two_days(service, play)
    data = service.call("GET", f"/instances/{instance_id}/databases").json()["data"]
    assert (data["total"], data["tls"]) == (2, "unverified or none")
    a, b = data["items"]
    assert (a["size_bytes"], a["size_mb"], a["outcome"]) == (0, 0, "measured")
    assert (a["collected_date"], a["is_active"]) == ("2026-03-11", True)
    assert (b["database_name"], b["size_bytes"], b["size_mb"]) == ("b b", 5, 1)
    assert (b["collected_date"], b["outcome"], b["method"]) == ("2026-03-10", "denied", "m")
    assert b["last_attempt_at"] == "2026-03-11T12:00:00+00:00"
    assert (b["log_size_bytes"], b["log_size_mb"]) == (None, None)


def test_a_history_is_newest_first_and_unknown_is_not_zero(service: Service, play: Play) -> None:
    instance_id = two_days(service, play)
    history = service.call("GET", f"/instances/{instance_id}/sizes?database_name=b%20b")
    newest, oldest = history.json()["data"]["items"]
    assert (newest["collected_date"], newest["size_bytes"]) == ("2026-03-11", None)
    assert (newest["size_mb"], newest["outcome"]) == (None, "denied")
    assert (oldest["size_bytes"], oldest["outcome"]) == (5, "measured")


def test_a_size_says_how_it_was_found_out_and_whether_it_compares(
    service: Service, play: Play
) -> None:
    instance_id = service.add()
    told = DatabaseSize("a", 9, "m", None, None, 7, 2**50, Freshness.ESTIMATE, 12)
    play_day(service, play, instance_id, 0, CapacityReport((told,)))
    denied = (Unmeasured.of("b", Outcome.DENIED),)
    later = CapacityReport((DatabaseSize("a", 9, "n"),), denied)
    play_day(service, play, instance_id, 1, later)
    history = service.call("GET", f"/instances/{instance_id}/sizes?database_name=a")
    newest, oldest = history.json()["data"]["items"]
    names = ("used_size_bytes", "ceiling_bytes", "freshness", "duration_ms", "method_changed")
    assert [oldest[name] for name in names] == [7, 2**50, "estimate", 12, False]
    assert [newest[name] for name in names] == [None, None, "live", None, True]
    a, b = service.call("GET", f"/instances/{instance_id}/databases").json()["data"]["items"]
    assert [a[name] for name in names] == [newest[name] for name in names]
    assert [b[name] for name in names] == [None, None, None, None, False]


def test_the_days_of_an_instance_say_how_many_databases_were_measured(
    service: Service, play: Play
) -> None:
    instance_id = two_days(service, play)
    data = service.call("GET", f"/instances/{instance_id}/days").json()["data"]
    newest, oldest = data["items"]
    assert (newest["collected_date"], oldest["collected_date"]) == ("2026-03-11", "2026-03-10")
    assert [(day["measured_count"], day["active_count"]) for day in data["items"]] == [
        (1, 2),
        (2, 2),
    ]
    assert (newest["total_size_bytes"], newest["total_size_mb"]) == (0, 0)
    assert (newest["carried_size_bytes"], newest["carried_size_mb"]) == (5, 1)
    page = service.call("GET", f"/instances/{instance_id}/days?limit=1&page=2").json()["data"]
    assert ([day["collected_date"] for day in page["items"]], page["pages"]) == (["2026-03-10"], 2)


def test_a_history_may_be_bounded_by_days(service: Service, play: Play) -> None:
    instance_id = two_days(service, play)
    path = f"/instances/{instance_id}/sizes?database_name=a"
    for query, days in [
        ("&start_date=2026-03-11", ["2026-03-11"]),
        ("&end_date=2026-03-10", ["2026-03-10"]),
        ("&start_date=2026-03-10&end_date=2026-03-11", ["2026-03-11", "2026-03-10"]),
        ("&limit=1&page=2", ["2026-03-10"]),
    ]:
        items = service.call("GET", path + query).json()["data"]["items"]
        assert [row["collected_date"] for row in items] == days
    unknown = f"/instances/{instance_id}/sizes?database_name=A"
    assert service.call("GET", unknown).json()["data"]["total"] == 0
