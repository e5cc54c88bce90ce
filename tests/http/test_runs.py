"""Runs over HTTP: how they are started, shown, cancelled and done again."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from httpx import Response
from tests.builders import a_conversation
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.memory import MemoryStore
from capacity_core import Instance, Reason
from capacity_core.access import Scope
from capacity_core.model import Failure
from capacity_core.runs import Claim
from capacity_http.events import StreamLimits
from capacity_http.plugin import MAX_BODY_BYTES

pytestmark = pytest.mark.unit

ENGLISH = {"Accept-Language": "en"}
ONE = ("GET /{}", "GET /{}/items", "GET /{}/events", "POST /{}/actions/cancel")
WRONG: list[tuple[bytes, str]] = [
    (b"{", "body"),
    (b"[]", "body"),
    (b"null", "body"),
    (b'{"zones": ["dmz"]}', "zones"),
    (b'{"db_types": "postgresql"}', "db_types"),
    (b'{"db_types": ["dbase"]}', "db_types"),
    (b'{"tags": [7]}', "tags[0]"),
    (b'{"tags": ["two words"]}', "tags"),
    (b'{"tags": null}', "tags"),
    (b'{"instance_ids": ["1"]}', "instance_ids[0]"),
    (b'{"instance_ids": [0]}', "instance_ids[0]"),
    (b'{"instance_ids": [9223372036854775808]}', "instance_ids[0]"),
]


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def service(play: Play, woken: list[str]) -> Iterator[Service]:
    store = MemoryStore()
    options: Any = {
        "wake": lambda: woken.append("now"),
        "stream_limits": StreamLimits(poll_seconds=0.01),
    }
    with running(an_application(store, play), store, **options) as made:
        yield made


def start(service: Service, **request: Any) -> Response:
    return service.call("POST", "/capacity/runs", Scope.UPDATE, **request)


def started(service: Service, **selection: Any) -> dict[str, Any]:
    answer = start(service, json=selection)
    assert answer.status_code == 202, answer.text
    run: dict[str, Any] = answer.json()["data"]["run"]
    return run


def shown(service: Service, run_id: int, more: str = "", **request: Any) -> Any:
    answer = service.call("GET", f"/capacity/runs/{run_id}{more}", Scope.VIEW, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def act(service: Service, run_id: object, action: str, **request: Any) -> Response:
    path = f"/capacity/runs/{run_id}/actions/{action}"
    return service.call("POST", path, Scope.UPDATE, **request)


def claimed(service: Service, count: int = 100) -> Sequence[Claim]:
    fleet = service.application.fleet
    return fleet.claim([each.item_id for each in fleet.waiting(count)], "w", 30)


def finished(service: Service, claims: Sequence[Claim]) -> None:
    fleet = service.application.fleet
    fleet.finish([(claim, fleet.collect(claim)) for claim in claims])


def test_a_run_is_accepted_and_its_collectors_are_woken(service: Service, woken: list[str]) -> None:
    ids = [service.add(name) for name in ("a", "b")]
    answer = start(service)
    run = answer.json()["data"]["run"]
    assert (answer.status_code, woken) == (202, ["now"])
    assert answer.json()["message"] == "运行 1 已开始: 2 个实例"
    assert (run["status"], run["trigger"], run["requested_by"]) == ("running", "manual", "a update")
    assert run["selection"] == {"db_types": [], "tags": [], "instance_ids": []}
    assert (run["total"], run["counts"]["pending"], run["progress_percent"]) == (2, 2, 0.0)
    items = shown(service, run["id"], "/items")["items"]
    assert [(item["instance_id"], item["status"]) for item in items] == [
        (each, "pending") for each in ids
    ]


def test_a_second_request_of_the_same_selection_gets_the_running_run(
    service: Service, woken: list[str]
) -> None:
    service.add(tags=("eu", "prod"))
    first = started(service, tags=["prod", "eu"], db_types=["pg"])
    again = start(service, json={"tags": ["eu", "prod"], "db_types": ["POSTGRES"]}, headers=ENGLISH)
    assert again.status_code == 202
    assert again.json()["message"] == "Run 1 of the same selection is running already"
    assert again.json()["data"]["run"] == first
    assert first["selection"] == {
        "db_types": ["postgresql"], "tags": ["eu", "prod"], "instance_ids": []
    }  # fmt: skip
    assert started(service)["id"] != first["id"]
    assert len(woken) == 3


def test_a_run_takes_the_selected_instances_only(service: Service) -> None:
    ids = {name: service.add(name, tags=tags) for name, tags in (("a", ("eu",)), ("b", ("us",)))}
    for selection, names in (
        ({"tags": ["eu"]}, "a"),
        ({"instance_ids": [ids["b"], ids["b"]]}, "b"),
        ({"tags": ["eu", "us"]}, "ab"),
    ):
        items = shown(service, started(service, **selection)["id"], "/items")["items"]
        assert "".join(sorted(item["instance_name"] for item in items)) == names


@pytest.mark.parametrize("body", [b"", b"{}"], ids=repr)
def test_no_body_and_an_empty_one_select_everything(service: Service, body: bytes) -> None:
    service.add()
    assert start(service, content=body).json()["data"]["run"]["total"] == 1


@pytest.mark.parametrize(("body", "field"), WRONG, ids=str)
def test_a_wrong_body_is_refused_by_its_field(
    service: Service, woken: list[str], body: bytes, field: str
) -> None:
    service.add()
    answer = start(service, content=body)
    assert (answer.status_code, answer.json()["message_code"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["extra"] == {"field": field}
    assert (woken, service.call("GET", "/capacity/runs").json()["data"]["total"]) == ([], 0)


def test_a_body_that_is_too_large_is_refused(service: Service) -> None:
    answer = start(service, content=b" " * (MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["extra"]) == (413, {"field": "body"})


@pytest.mark.parametrize(
    ("headers", "said"),
    [({}, "没有找到活跃的数据库实例"), (ENGLISH, "No active instance is selected")],
    ids=["zh", "en"],
)
def test_a_selection_of_nothing_is_a_conflict(
    service: Service, headers: dict[str, str], said: str
) -> None:
    service.add(is_active=False)
    answer = start(service, headers=headers)
    assert (answer.status_code, answer.json()["message_code"]) == (409, "CONSTRAINT_VIOLATION")
    assert answer.json()["message"] == said


def test_runs_are_listed_the_newest_first_and_paged(service: Service) -> None:
    for name in ("a", "b", "c"):
        started(service, instance_ids=[service.add(name)])
    pages = [
        service.call("GET", f"/capacity/runs?page={page}&limit=2", Scope.VIEW).json()["data"]
        for page in (1, 2)
    ]
    assert [[run["id"] for run in page["items"]] for page in pages] == [[3, 2], [1]]
    assert [(page["total"], page["has_next"]) for page in pages] == [(3, True), (3, False)]


def test_a_run_tells_what_failed_and_why(service: Service, play: Play) -> None:
    def told(instance: Instance) -> MemoryCoordinator:
        if instance.name == "good":
            return a_conversation()
        return a_conversation(connects=Failure.of(Reason.AUTH_FAILED))

    play.is_now(told)
    for name in ("good", "bad", "worse"):
        service.add(name)
    run_id = started(service)["id"]
    finished(service, claimed(service))
    data = shown(service, run_id, headers=ENGLISH)
    assert data["run"]["status"] == "completed_with_errors"
    assert (data["run"]["size_bytes"], data["run"]["progress_percent"]) == (10, 100.0)
    [failure] = data["failures"]
    assert (failure["status"], failure["reason"], failure["count"]) == ("failed", "auth_failed", 2)
    assert failure["hint"]
    assert shown(service, run_id)["failures"][0]["hint"] != failure["hint"]
    failed = shown(service, run_id, "/items?status=failed&limit=1")
    assert (failed["total"], failed["pages"]) == (2, 2)
    assert [item["reason"] for item in failed["items"]] == ["auth_failed"]
    assert shown(service, run_id, "/items?status=pending")["items"] == []


@pytest.mark.parametrize("query", ["status=done", "status=", "page=0", "limit=201", "stat=failed"])
def test_a_wrong_question_about_items_is_refused_by_name(service: Service, query: str) -> None:
    service.add()
    run_id = started(service)["id"]
    answer = service.call("GET", f"/capacity/runs/{run_id}/items?{query}")
    field = query.partition("=")[0]
    assert (answer.status_code, answer.json()["extra"]) == (400, {"field": field})
    assert answer.json()["message"]


def test_a_cancelled_run_lets_running_syncs_finish_and_everything_agrees(service: Service) -> None:
    for name in ("a", "b", "c", "d"):
        service.add(name)
    run_id = started(service)["id"]
    finished(service, claimed(service, 1))
    working = claimed(service, 1)
    answer = act(service, run_id, "cancel", headers=ENGLISH)
    assert answer.status_code == 200
    assert answer.json()["message"] == "Run 1 is being cancelled: 1 running syncs are let finish"
    run = answer.json()["data"]["run"]
    assert (run["status"], run["cancel_requested_at"] is None) == ("running", False)
    assert run["counts"] | {"completed": 1, "running": 1, "cancelled": 2} == run["counts"]
    finished(service, working)
    run = shown(service, run_id)["run"]
    items = shown(service, run_id, "/items")["items"]
    assert run["status"] == "cancelled"
    assert [item["status"] for item in items] == ["completed"] * 2 + ["cancelled"] * 2
    assert run["counts"] | {"completed": 2, "cancelled": 2, "pending": 0} == run["counts"]
    listed = service.call("GET", "/capacity/runs").json()["data"]["items"]
    assert listed == [run]


def test_what_is_cancelled_before_it_began_is_cancelled_at_once(service: Service) -> None:
    service.add()
    run_id = started(service)["id"]
    answer = act(service, run_id, "cancel")
    assert answer.json()["message"] == "运行 1 已取消"
    assert answer.json()["data"]["run"]["status"] == "cancelled"
    again = act(service, run_id, "cancel", headers=ENGLISH)
    assert (again.status_code, again.json()["message_code"]) == (409, "CONSTRAINT_VIOLATION")
    assert again.json()["message"] == "The run has ended: cancelled"


def test_a_retry_does_again_what_did_not_complete(
    service: Service, play: Play, woken: list[str]
) -> None:
    service.add("a")
    play.is_now(lambda _instance: a_conversation(connects=Failure.of(Reason.TIMEOUT)))
    run_id = started(service)["id"]
    finished(service, claimed(service))
    assert shown(service, run_id)["run"]["status"] == "failed"
    play.is_now(lambda _instance: a_conversation())
    answer = act(service, run_id, "retry", headers=ENGLISH)
    assert (answer.status_code, answer.json()["message"]) == (202, "Run 1 is running again")
    assert answer.json()["data"]["run"]["status"] == "running"
    assert len(woken) == 2
    assert act(service, run_id, "retry").status_code == 202  # it runs: it is left as it is
    finished(service, claimed(service))
    assert shown(service, run_id)["run"]["status"] == "completed"
    refused = act(service, run_id, "retry")
    assert (refused.status_code, refused.json()["message"]) == (409, "运行中没有可重试的实例")


def test_a_retry_waits_for_another_run_of_the_same_selection(service: Service) -> None:
    service.add()
    first = started(service)["id"]
    act(service, first, "cancel")
    assert started(service)["id"] != first
    refused = act(service, first, "retry", headers=ENGLISH)
    assert refused.status_code == 409
    assert refused.json()["message"] == "Another run of the same selection is running"


@pytest.mark.parametrize("asked", [*ONE, "POST /{}/actions/retry"])
def test_a_run_that_is_not_there_is_not_found(service: Service, asked: str) -> None:
    method, path = asked.split()
    for run_id in ("1", "0", "x", "9" * 19):
        answer = service.call(method, f"/capacity/runs{path.format(run_id)}", headers=ENGLISH)
        assert (answer.status_code, answer.json()["message"]) == (404, "No such run")
        assert answer.headers["Content-Type"] == "application/json"


def test_head_and_options_of_runs(service: Service) -> None:
    service.add()
    run_id = started(service)["id"]
    for path in ("", f"/{run_id}", f"/{run_id}/items", f"/{run_id}/events"):
        answer = service.call("HEAD", f"/capacity/runs{path}")
        assert (answer.status_code, answer.content) == (200, b"")
        allowed = service.client.options(f"/api/v1/capacity/runs{path}").headers["Allow"]
        assert {"GET", "HEAD", "OPTIONS"} <= set(allowed.split(", "))
    assert service.call("GET", f"/capacity/runs/{run_id}/actions/cancel").status_code == 405
