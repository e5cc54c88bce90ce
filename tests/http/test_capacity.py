"""What the questions about growth answer, and what a recomputation says."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.http.service import Play, Service, an_application, running
from tests.http.test_bad_input import refused
from tests.stores import on_day, sync

from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope
from capacity_core.aggregation import (
    MAX_OUTCOMES,
    AggregationOutcome,
    AggregationStatus,
    summed_up,
)
from capacity_core.answer import Asked
from capacity_core.growth import MAX_DAYS
from capacity_core.growth_reads import InstanceLabel
from capacity_core.messages import Language, text
from capacity_core.model import DatabaseSize, FileAddress, Outcome
from capacity_core.periods import PeriodType, period_of
from capacity_core.reads import AggregateLevel
from capacity_http.growth_views import aggregation_data

pytestmark = pytest.mark.unit

MIB = 1024 * 1024
LISTS = ["/capacity/databases", "/capacity/instances"]
SUMMARIES = [f"{path}/summary" for path in LISTS]
EVERY = "start_date=2000-01-01"


@pytest.fixture
def service(play: Play) -> Iterator[Service]:
    """Lend a service whose today is Tuesday, 10 March 2026."""
    store = MemoryStore()
    with running(evolve(an_application(store, play), now=lambda: NOON), store) as made:
        yield made


def data_of(service: Service, path: str) -> dict[str, Any]:
    answer = service.call("GET", path, Scope.VIEW)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def items(service: Service, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data_of(service, path)["items"]
    return found


def recompute(service: Service, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    answer = service.call("POST", "/capacity/aggregations", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def two_weeks(service: Service) -> int:
    """Keep 2 days of last week, and 1 day of this one on which `b` was denied."""
    shop = service.add()
    sync(service.store, shop, {"a": DatabaseSize("a", MIB, "m", 7, 1), "b": 10}, on_day(-7))
    sync(service.store, shop, {"a": DatabaseSize("a", MIB + 1, "m", 8), "b": 11}, on_day(-6))
    sync(
        service.store, shop, {"a": DatabaseSize("a", 2 * MIB, "m"), "b": Outcome.DENIED}, on_day(-1)
    )
    return shop


def two_instances(service: Service) -> tuple[int, int]:
    shop = service.add()
    files = service.add("files", db_type="sqlite", address=FileAddress("/data/x"))
    sync(service.store, shop, {"a": 1, "b": 30}, on_day(-1))
    sync(service.store, shop, {"a": 3, "b": 33}, on_day(0))
    sync(service.store, files, {"a": 20}, on_day(0))
    return shop, files


def test_a_database_s_week_is_told_in_bytes_and_in_mebibytes(service: Service) -> None:
    shop = two_weeks(service)
    recompute(service)
    (week,) = items(service, f"{LISTS[0]}?period_type=weekly&database_name=a&end_date=2026-03-08")
    assert week == {
        "instance": {"id": shop, "name": "shop", "db_type": "postgresql"},
        "database_name": "a",
        "period_type": "weekly",
        "period_start": "2026-03-02",
        "period_end": "2026-03-08",
        "partial": False,
        "is_running": False,
        "data_count": 2,
        "expected_count": 7,
        "elapsed_days": 7,
        "coverage": 2 / 7,
        "avg_size_bytes": MIB + 1,  # half a byte goes up
        "avg_size_mb": 2,
        "max_size_bytes": MIB + 1,
        "max_size_mb": 2,
        "min_size_bytes": MIB,
        "min_size_mb": 1,
        "first_size_bytes": MIB,
        "first_size_mb": 1,
        "last_size_bytes": MIB + 1,
        "last_size_mb": 2,
        "size_change_bytes": None,
        "size_change_percent": None,
        "avg_data_size_bytes": 8,
        "avg_data_size_mb": 1,
        "max_data_size_bytes": 8,
        "max_data_size_mb": 1,
        "min_data_size_bytes": 7,
        "min_data_size_mb": 1,
        "data_size_change_bytes": None,
        "data_size_change_percent": None,
        "avg_log_size_bytes": 1,
        "avg_log_size_mb": 1,
        "max_log_size_bytes": 1,
        "max_log_size_mb": 1,
        "min_log_size_bytes": 1,
        "min_log_size_mb": 1,
        "log_size_change_bytes": None,
        "log_size_change_percent": None,
        "growth_rate": None,
        "trend_direction": "unknown",
        "baseline_date": None,
        "is_break": False,
    }


def test_the_running_week_is_shown_as_partial_and_never_kept(service: Service) -> None:
    two_weeks(service)
    recompute(service)
    running_week, last = items(service, f"{LISTS[0]}?period_type=weekly&database_name=a")
    assert (running_week["is_running"], running_week["partial"]) == (True, True)
    assert (running_week["period_end"], running_week["elapsed_days"]) == ("2026-03-15", 2)
    assert (running_week["data_count"], running_week["coverage"]) == (1, 0.5)
    assert running_week["baseline_date"] == last["period_start"]
    assert {period.start for *_, period in service.store.state.database_aggregates} >= {
        date(2026, 3, 2)
    }
    assert date(2026, 3, 9) not in {
        period.start
        for *_, period in service.store.state.database_aggregates
        if period.type == "weekly"
    }


def test_a_change_tells_how_much_and_against_what(service: Service) -> None:
    shop = service.add()
    sync(service.store, shop, {"a": 100}, on_day(-14))
    sync(service.store, shop, {"a": 110}, on_day(-7))
    recompute(service, {"start_date": "2026-02-24"})
    _, oldest = items(service, f"{LISTS[0]}?period_type=weekly")
    newest, _ = items(service, f"{LISTS[0]}?period_type=weekly")
    names = ("size_change_bytes", "size_change_percent", "growth_rate", "trend_direction")
    assert [newest[name] for name in names] == [10, 10.0, 10.0, "growing"]
    assert [oldest[name] for name in names] == [None, None, None, "unknown"]
    assert newest["baseline_date"] == oldest["period_start"] == "2026-02-23"


def test_an_instance_s_week_counts_what_was_carried_and_says_so(service: Service) -> None:
    shop = two_weeks(service)
    recompute(service)
    this, last = items(service, f"{LISTS[1]}?period_type=weekly")
    assert last["instance"] == {"id": shop, "name": "shop", "db_type": "postgresql"}
    assert (last["partial"], last["partial_days"], last["data_count"]) == (False, 0, 2)
    assert (last["avg_total_size_bytes"], last["avg_total_size_mb"]) == (MIB + 11, 2)
    assert (last["first_total_size_bytes"], last["last_total_size_bytes"]) == (MIB + 10, MIB + 12)
    assert (last["min_total_size_mb"], last["max_total_size_mb"]) == (2, 2)
    assert (this["partial"], this["partial_days"], this["is_running"]) == (True, 1, True)
    assert this["avg_total_size_bytes"] == 2 * MIB + 11
    assert (this["avg_active_count"], this["avg_measured_count"]) == (2.0, 1.0)
    assert (this["max_active_count"], this["min_active_count"]) == (2, 2)
    assert (this["active_count_change"], this["total_size_change_bytes"]) == (0, MIB)
    assert this["trend_direction"] == "growing"
    assert not {"database_name", "avg_size_bytes", "avg_size_mb"} & this.keys()


def test_carried_sizes_make_a_finished_week_partial(service: Service) -> None:
    shop = service.add()
    sync(service.store, shop, {"a": 1, "b": 2}, on_day(-8))
    sync(service.store, shop, {"a": 1, "b": Outcome.DENIED}, on_day(-7))
    recompute(service)
    (week,) = items(service, f"{LISTS[1]}?period_type=weekly&start_date=2026-03-02")
    assert (week["partial"], week["is_running"], week["partial_days"]) == (True, False, 1)


def named(found: list[dict[str, Any]]) -> list[tuple[str, str | None, str]]:
    return [
        (row["instance"]["name"], row.get("database_name"), row["period_start"][-2:])
        for row in found
    ]


@pytest.mark.parametrize(
    ("query", "databases", "instances"),
    [
        ("", "shop.a@10 shop.b@10 files.a@10 shop.a@09 shop.b@09", "shop@10 files@10 shop@09"),
        ("instance_id={shop}", "shop.a@10 shop.b@10 shop.a@09 shop.b@09", "shop@10 shop@09"),
        ("db_type=sqlite", "files.a@10", "files@10"),
        ("db_type=pg&instance_id={files}", "", ""),
        ("db_type=pg&db_type=sqlite&instance_id={files}&instance_id=99", "files.a@10", "files@10"),
        ("start_date=2026-03-10&instance_id={shop}", "shop.a@10 shop.b@10", "shop@10"),
        ("end_date=2026-03-09", "shop.a@09 shop.b@09", "shop@09"),
        ("start_date=2026-03-09&end_date=2026-03-09", "shop.a@09 shop.b@09", "shop@09"),
        ("limit=1&page=2", "shop.b@10", "files@10"),
        ("page=99", "", ""),
        ("order=size&limit=3", "shop.b@10 shop.b@09 files.a@10", "shop@10 shop@09 files@10"),
        ("order=growth&limit=2", "shop.b@10 shop.a@10", "shop@10 shop@09"),
        ("order=percent&limit=2", "shop.a@10 shop.b@10", "shop@10 shop@09"),
        ("period_type=quarterly", "shop.a@01 shop.b@01 files.a@01", "shop@01 files@01"),
    ],
)
def test_a_list_is_narrowed_ordered_and_paged(
    service: Service, query: str, databases: str, instances: str
) -> None:
    shop, files = two_instances(service)
    query = query.format(shop=shop, files=files)
    for path, expected in zip(LISTS, (databases, instances), strict=True):
        found = named(items(service, f"{path}?{query}"))
        said = [f"{owner}{f'.{name}' if name else ''}@{day}" for owner, name, day in found]
        assert said == expected.split(), path


def test_a_name_is_exact(service: Service) -> None:
    shop = service.add()
    sync(service.store, shop, {"a": 1, "A": 2, "a ": 3, "a%": 4}, on_day(0))
    for name, size in (("a", 1), ("A", 2), ("a%20", 3), ("a%25", 4)):
        (row,) = items(service, f"{LISTS[0]}?database_name={name}")
        assert row["avg_size_bytes"] == size
    assert items(service, f"{LISTS[0]}?database_name=b") == []


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("time_range=0", ["10"]),
        ("time_range=1", ["10", "09"]),
        (f"time_range={MAX_DAYS}", ["10", "09"]),
        ("time_range=0&start_date=2026-03-09", ["10", "09"]),
        ("time_range=0&end_date=2026-03-09", ["09"]),
    ],
)
def test_instances_may_be_asked_for_the_days_before_today(
    service: Service, query: str, days: list[str]
) -> None:
    shop, _ = two_instances(service)
    found = items(service, f"{LISTS[1]}?instance_id={shop}&{query}")
    assert [row["period_start"][-2:] for row in found] == days
    summary = data_of(service, f"{SUMMARIES[1]}?instance_id={shop}&{query}&period_type=daily")
    assert summary["summary"]["total_size_bytes"] == (36 if "10" in days else 31)


def test_a_day_of_an_instance_ahead_of_us_is_whole(service: Service) -> None:
    sync(service.store, service.add(), {"a": 1}, on_day(1))
    for path in (LISTS[0], f"{LISTS[1]}?time_range=0"):
        (row,) = items(service, path)
        assert (row["period_start"], row["is_running"]) == ("2026-03-11", True)
        assert (row["data_count"], row["elapsed_days"], row["coverage"]) == (1, 1, 1.0)


def test_a_page_says_what_lies_around_it(service: Service) -> None:
    two_instances(service)
    around = ("page", "limit", "has_prev", "has_next", "total", "pages")
    for query, expected in [
        ("limit=2", (1, 2, False, True, 5, 3)),
        ("limit=2&page=3", (3, 2, True, False, 5, 3)),
        ("limit=5", (1, 5, False, False, 5, 1)),
        ("database_name=none", (1, 20, False, False, 0, 0)),
    ]:
        page = data_of(service, f"{LISTS[0]}?{query}")
        assert tuple(page[name] for name in around) == expected, query


@pytest.mark.parametrize("path", LISTS)
def test_what_is_not_counted_is_left_out(service: Service, path: str) -> None:
    two_instances(service)
    counted = data_of(service, f"{path}?limit=1")
    page = data_of(service, f"{path}?limit=1&count=false")
    assert counted.keys() - page.keys() == {"total", "pages"}
    assert page == {name: counted[name] for name in page}
    assert page["has_next"] is True


@pytest.mark.parametrize("path", LISTS)
def test_no_row_is_no_page(service: Service, path: str) -> None:
    page = data_of(service, path)
    assert (page["items"], page["total"], page["pages"]) == ([], 0, 0)


def test_a_summary_adds_up_the_latest_of_every_series(service: Service) -> None:
    two_instances(service)
    databases = data_of(service, f"{SUMMARIES[0]}?period_type=daily")["summary"]
    assert databases == {
        "period_type": "daily",
        "oldest_period_start": "2026-03-10",
        "newest_period_start": "2026-03-10",
        "total_databases": 3,
        "total_instances": 2,
        "total_size_bytes": 56,
        "total_size_mb": 1,
        "avg_size_bytes": 19,
        "avg_size_mb": 1,
        "max_size_bytes": 33,
        "max_size_mb": 1,
        "size_change_bytes": 5,
        "unknown_changes": 1,
    }
    instances = data_of(service, f"{SUMMARIES[1]}?period_type=daily&db_type=pg")["summary"]
    assert instances == {
        "period_type": "daily",
        "oldest_period_start": "2026-03-10",
        "newest_period_start": "2026-03-10",
        "total_instances": 1,
        "total_size_bytes": 36,
        "total_size_mb": 1,
        "avg_size_bytes": 36,
        "avg_size_mb": 1,
        "max_size_bytes": 36,
        "max_size_mb": 1,
        "size_change_bytes": 5,
        "unknown_changes": 0,
    }


@pytest.mark.parametrize("path", SUMMARIES)
def test_nothing_adds_up_to_nothing_known(service: Service, path: str) -> None:
    summary = data_of(service, f"{path}?period_type=monthly")["summary"]
    assert (summary["total_size_bytes"], summary["total_instances"]) == (0, 0)
    assert (summary["avg_size_bytes"], summary["max_size_mb"]) == (None, None)
    assert summary["size_change_bytes"] is None


WRONG = [
    ("period_type=yearly", "period_type"),
    ("period_type=", "period_type"),
    ("period_type=DAILY", "period_type"),
    ("instance_id=x", "instance_id"),
    ("instance_id=1&instance_id=", "instance_id"),
    ("instance_id=0", "instance_id"),
    (f"instance_id={2**63}", "instance_id"),
    ("instance_id=1" + "&instance_id=1" * 100, "instance_id"),
    ("db_type=dbase", "db_type"),
    ("db_type=pg&db_type=", "db_type"),
    ("db_type=pg" + "&db_type=pg" * 100, "db_type"),
    ("start_date=yesterday", "start_date"),
    ("start_date=2026-02-30", "start_date"),
    ("end_date=2026-01-01T00:00:00", "end_date"),
    ("start_date=2026-01-02&end_date=2026-01-01", "end_date"),
]
WRONG_IN_LISTS = [
    ("order=name", "order"),
    ("count=maybe", "count"),
    ("page=0", "page"),
    ("limit=0", "limit"),
    ("limit=201", "limit"),
]


@pytest.mark.parametrize(("query", "field"), WRONG, ids=lambda said: said[:40])
def test_a_wrong_question_is_refused(service: Service, query: str, field: str) -> None:
    for path in LISTS:
        refused(service.call("GET", f"{path}?{query}"), 400, field)
    for path in SUMMARIES:
        asked = query if "period_type" in query else f"{query}&period_type=daily"
        refused(service.call("GET", f"{path}?{asked}"), 400, field)


@pytest.mark.parametrize(("query", "field"), WRONG_IN_LISTS)
def test_a_wrong_page_of_a_list_is_refused(service: Service, query: str, field: str) -> None:
    for path in LISTS:
        refused(service.call("GET", f"{path}?{query}"), 400, field)


@pytest.mark.parametrize("name", ["perid_type", "PERIOD_TYPE", "listing", "request"])
def test_a_name_that_no_parameter_has_is_refused(service: Service, name: str) -> None:
    forecast = f"/instances/{service.add()}/forecast"
    for path in (*LISTS, *SUMMARIES, forecast):
        refused(service.call("GET", f"{path}?{name}=monthly"), 400, name)
        assert service.call("HEAD", f"{path}?{name}=monthly").status_code == 400
    refused(service.call("POST", f"/capacity/aggregations?{name}=monthly"), 400, name)
    refused(service.call("GET", f"{forecast}?instance_id=1"), 400, "instance_id")
    assert service.call("GET", f"{forecast}?database_name=a").status_code != 400


@pytest.mark.parametrize("value", ["-1", "x", "1.5", str(MAX_DAYS + 1)])
def test_a_wrong_time_range_is_refused(service: Service, value: str) -> None:
    for path in (LISTS[1], SUMMARIES[1]):
        query = f"period_type=daily&time_range={value}"
        answer = service.call("GET", f"{path}?{query}", headers={"Accept-Language": "en"})
        refused(answer, 400, "time_range")
        assert "a whole number of days, from 0" in answer.json()["message"]


@pytest.mark.parametrize("value", ["", "x" * 256, "a%00"])
def test_a_wrong_name_is_refused(service: Service, value: str) -> None:
    for path in (LISTS[0], SUMMARIES[0]):
        query = f"period_type=daily&database_name={value}"
        refused(service.call("GET", f"{path}?{query}"), 400, "database_name")


@pytest.mark.parametrize("path", SUMMARIES)
def test_a_summary_is_of_one_type_of_period(service: Service, path: str) -> None:
    refused(service.call("GET", path), 400, "period_type")


def test_dates_at_the_ends_of_the_calendar_do_no_harm(service: Service) -> None:
    two_instances(service)
    for path in LISTS:
        for kind in ("daily", "weekly", "monthly", "quarterly"):
            whole = f"{path}?period_type={kind}&start_date=0001-01-01&end_date=9999-12-31"
            assert data_of(service, whole)["total"] > 0
            before = f"{path}?period_type={kind}&end_date=0001-01-01"
            assert data_of(service, before)["total"] == 0


# Recomputation.


def test_a_range_is_recomputed_and_each_instance_s_outcome_told(service: Service) -> None:
    shop, files = two_instances(service)
    body = {"start_date": "2026-03-10", "end_date": "2026-03-10", "period_types": ["daily"]}
    data = recompute(service, body)
    assert (data["completed"], data["skipped"], data["failed"]) == (4, 0, 0)
    assert data["outcomes"][1] == {
        "instance": {"id": shop, "name": "shop", "db_type": "postgresql"},
        "level": "database",
        "period_type": "daily",
        "period_start": "2026-03-10",
        "period_end": "2026-03-10",
        "status": "completed",
        "aggregate_count": 2,
        "reason": None,
    }
    data = recompute(service, {**body, "instance_id": files, "period_types": ["weekly", "daily"]})
    assert (data["completed"], data["skipped"]) == (2, 2)
    assert {each["instance"]["id"] for each in data["outcomes"]} == {files}


def test_without_a_body_the_last_complete_periods_are_recomputed(service: Service) -> None:
    two_weeks(service)
    data = recompute(service)
    assert data == recompute(service, {}) == recompute(service, {"period_types": []})
    completed = {
        (each["period_type"], each["period_start"])
        for each in data["outcomes"]
        if each["status"] == "completed"
    }
    assert completed == {("weekly", "2026-03-02"), ("daily", "2026-03-09")}


def test_a_late_day_changes_the_week_once_it_is_recomputed(service: Service) -> None:
    shop = two_weeks(service)
    recompute(service)
    path = f"{LISTS[0]}?period_type=weekly&database_name=b&end_date=2026-03-08"
    sync(service.store, shop, {"a": 1, "b": 99}, on_day(-5))
    (before,) = items(service, path)
    recompute(service, {"start_date": "2026-03-05", "end_date": "2026-03-05"})
    (after,) = items(service, path)
    assert (before["data_count"], before["max_size_bytes"]) == (2, 11)
    assert (after["data_count"], after["max_size_bytes"]) == (3, 99)


@pytest.mark.parametrize(
    ("language", "message", "reason"),
    [
        ("en", "Aggregated: 0 completed, 4 skipped, 0 failed", "The period still runs"),
        ("zh", "聚合结束: 完成 0, 跳过 4, 失败 0", "该周期尚未结束"),
    ],
)
def test_outcomes_are_told_in_the_caller_s_language(
    service: Service, language: str, message: str, reason: str
) -> None:
    service.add()
    answer = service.call(
        "POST",
        "/capacity/aggregations",
        json={"period_types": ["monthly"]},
        headers={"Accept-Language": language},
    ).json()
    assert answer["message"] == message
    assert answer["data"]["outcomes"][-1]["reason"].startswith(reason)


def test_of_many_outcomes_the_failed_are_shown() -> None:
    label, day = InstanceLabel(1, "shop", "postgresql"), period_of(PeriodType.DAILY, NOON.date())
    done, skipped, failed = (
        AggregationOutcome(label, AggregateLevel.DATABASE, day, status, 0, text("done"))
        for status in AggregationStatus
    )
    asked = Asked(Language.EN, "r", NOON)
    data = aggregation_data(summed_up([*[done] * MAX_OUTCOMES, skipped, failed]), asked)
    assert (data.completed, data.skipped, data.failed) == (MAX_OUTCOMES, 1, 1)
    shown = [outcome.status for outcome in data.outcomes]
    assert shown == ["failed", "skipped", *["completed"] * (MAX_OUTCOMES - 2)]
    assert data.outcomes[0].reason == "Done"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_date": "2026-03-01T00:00:00"}, "start_date"),
        ({"end_date": 5}, "end_date"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, "end_date"),
        ({"start_date": "2026-03-11"}, "start_date"),
        ({"start_date": "2026-03-11", "end_date": "2026-03-12"}, "start_date"),
        ({"start_date": "1969-12-31"}, "start_date"),
        ({"end_date": "0001-01-01"}, "start_date"),
        ({"start_date": "2016-01-01"}, "start_date"),
        ({"period_types": "daily"}, "period_types"),
        ({"period_types": ["daily", "yearly"]}, "period_types[1]"),
        ({"instance_id": 0}, "instance_id"),
        ({"instance_id": "1"}, "instance_id"),
        ({"instance_id": 2**63}, "instance_id"),
        ({"scope": "all"}, "scope"),
        ([], "body"),
    ],
    ids=str,
)
def test_a_wrong_range_is_refused(service: Service, body: Any, field: str) -> None:
    refused(service.call("POST", "/capacity/aggregations", json=body), 400, field)


def test_an_unknown_instance_is_not_found(service: Service) -> None:
    answer = service.call("POST", "/capacity/aggregations", json={"instance_id": 99})
    assert (answer.status_code, answer.json()["message_code"]) == (404, "RESOURCE_NOT_FOUND")
