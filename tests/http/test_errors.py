"""The envelope of every failure, and what every answer carries."""

import pytest
from attrs import evolve
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.memory import MemoryStore
from capacity_core.errors import StoreError
from capacity_core.messages import Text

pytestmark = pytest.mark.unit

ENVELOPE = {
    "success",
    "error",
    "error_id",
    "category",
    "severity",
    "message_code",
    "message",
    "timestamp",
    "recoverable",
    "suggestions",
    "context",
}


@pytest.mark.parametrize("path", ["/", "/nope", "/api/v1", "/api/v1/nope", "/schema/x.json"])
def test_an_unknown_path_is_not_found_in_our_envelope(service: Service, path: str) -> None:
    answer = service.client.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == ENVELOPE
    assert answer.json()["message_code"] == "RESOURCE_NOT_FOUND"


def test_a_wrong_method_is_told_which_ones_there_are(service: Service) -> None:
    answer = service.call("GET", "/instances/1/actions/sync-capacity")
    assert (answer.status_code, answer.json()["message_code"]) == (405, "INVALID_REQUEST")
    assert (answer.json()["category"], answer.json()["severity"]) == ("business", "medium")
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_head_answers_as_get_without_a_body(service: Service) -> None:
    for path in ("/instances", f"/instances/{service.add()}"):
        asked, got = service.call("HEAD", path), service.call("GET", path)
        assert asked.status_code == got.status_code == 200
        assert asked.content == b""
        assert asked.headers["Content-Length"] == got.headers["Content-Length"]
    assert service.client.head("/health/live").status_code == 200
    assert service.client.head("/api/v1/instances").status_code == 401


def test_options_names_the_methods_and_needs_no_token(service: Service) -> None:
    answer = service.client.options("/api/v1/instances")
    assert answer.status_code == 204
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_an_instance_whose_name_is_taken_is_a_conflict(service: Service) -> None:
    service.add("shop")
    body = {"name": "shop", "db_type": "pg", "host": "h"}
    other = service.add("other")
    for answer in (
        service.call("POST", "/instances", json=body),
        service.call("PATCH", f"/instances/{other}", json={"name": "shop"}),
    ):
        assert answer.status_code == 409
        assert answer.json()["message_code"] == "CONSTRAINT_VIOLATION"
        assert answer.json()["severity"] == "low"
    assert service.names() == ["other", "shop"]


def test_a_callers_plain_request_id_is_kept_and_a_strange_one_replaced(service: Service) -> None:
    for given, kept in [("trace-1.a:b", True), ("a b", False), ("x" * 65, False), ("é", False)]:
        header = {b"X-Request-Id": given.encode("latin-1")}
        answer = service.client.get("/nope", headers=header)
        said = answer.json()["context"]["request_id"]
        assert said == answer.headers["X-Request-Id"]
        assert (said == given) is kept
        assert said


def test_no_answer_is_stored_or_sniffed(service: Service) -> None:
    answers = [
        service.client.get("/health/live"),
        service.client.get("/nope"),
        service.call("GET", "/instances"),
        service.call("GET", "/instances", None),
        service.sync(service.add()),
        service.sync(0),
    ]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-Id"]
        assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("accepts", "english"),
    [
        (None, False),
        ("en", True),
        ("en-GB", True),
        ("EN;q=0.5", True),
        ("zh", False),
        ("zh-CN,zh;q=0.9,en;q=0.8", False),
        ("zh;q=0.5, en;q=0.8", True),
        ("fr, en;q=0.1", True),
        ("fr", False),
        ("en;q=0", False),
        ("en;q=0, *", False),
        ("*", False),
        ("en;q=nonsense", False),
        ("english", False),
        (",;,", False),
    ],
)
def test_the_language_is_the_one_that_the_caller_likes_best(
    service: Service, accepts: str | None, english: bool
) -> None:
    headers = {"Accept-Language": accepts} if accepts is not None else {}
    if accepts is None:
        service.client.headers.pop("Accept-Language", None)
    said = service.client.get("/nope", headers=headers).json()["message"]
    assert said == ("Not found" if english else "资源不存在")


def test_a_strange_host_header_is_refused_in_our_envelope(service: Service) -> None:
    answer = service.client.get("/health/live", headers={"Host": "a b"})
    assert answer.status_code == 400
    assert answer.json()["message_code"] == "VALIDATION_ERROR"


class BrokenStore(MemoryStore):
    def check(self) -> None:
        raise StoreError(Text("the password of the store is hunter2"))


def test_a_service_is_ready_while_its_store_can_be_used(service: Service, play: Play) -> None:
    assert service.client.get("/health/ready").json()["data"] == {"status": "ready"}
    broken = BrokenStore()
    with running(evolve(an_application(broken, play)), broken) as sick:
        answer = sick.client.get("/health/ready")
        assert answer.status_code == 503
        assert set(answer.json()) == ENVELOPE
        assert "hunter2" not in answer.text
        assert sick.client.get("/health/live").status_code == 200
