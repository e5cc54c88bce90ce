"""No secret that a caller hands in comes out again: not in an answer, not in a log."""

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders import a_conversation
from tests.http.service import Play, Service

from capacity_core.access import Scope
from capacity_core.model import CollectFailed, Reason

pytestmark = pytest.mark.unit

MARKER = "hunter2-Grüße"
GOOD: dict[str, Any] = {"name": "n", "db_type": "pg", "host": "h"}
WRONG = [
    {},
    {"password": [MARKER]},
    {"password": {MARKER: 1}},
    {"port": MARKER},
    {"is_active": MARKER},
    {"filters": MARKER},
    {"tls": {"mode": "require", "ca": 5, "key": MARKER}},
    {"timezone": 1},
]


def everything(answers: list[Any], log: pytest.LogCaptureFixture) -> str:
    told = [answer.text + repr(answer.headers) for answer in answers]
    formatter = logging.Formatter()
    return "\n".join([*told, *(formatter.format(record) for record in log.records)])


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(secret=st.text(st.characters(categories=["L", "N", "P"]), min_size=8, max_size=40))
def test_a_password_is_never_told(
    service: Service, play: Play, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    marked = f"{MARKER}{secret}"
    added = service.call("POST", "/instances", json={**GOOD, "password": marked})
    path = f"/instances/{added.json()['data']['instance']['id']}"
    answers = [added, service.call("GET", path), service.call("GET", "/instances")]
    answers.append(service.call("PATCH", path, json={"password": marked, "port": 0}))
    answers.append(service.call("PATCH", path, json={"password": marked, "password_ref": "env:X"}))
    for ending in (CollectFailed(Reason.AUTH_FAILED), ValueError("a bug")):
        play.is_now(lambda _, ending=ending: a_conversation(inventory=ending))  # type: ignore[misc]  # binds the loop's value
        answers.append(service.call("POST", f"{path}/actions/sync-capacity"))
    answers.append(service.call("DELETE", path))
    assert answers[0].status_code == 201
    assert MARKER not in everything(answers, caplog)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_body_that_is_refused_is_not_repeated(
    service: Service, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"password": MARKER, **wrong}
    answer = service.call("POST", "/instances", json=body)
    assert answer.status_code == 400
    assert MARKER not in everything([answer], caplog)


def test_a_token_is_never_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        service.call("GET", "/instances", Scope.ADMIN),
        service.call("POST", "/instances", Scope.VIEW),
        service.client.get("/api/v1/instances", headers={"Authorization": f"Bearer {MARKER[:7]}"}),
    ]
    told = everything(answers, caplog)
    assert MARKER[:7] not in told
    assert not [token for token in service.tokens.values() if token in told]
