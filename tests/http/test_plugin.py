"""The facade inside somebody else's application."""

from typing import Any

import pytest
from litestar import Litestar, Response, get
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.testing import TestClient
from tests.http.service import Play, an_application

from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope
from capacity_core.messages import Language
from capacity_http import CapacityConfig, CapacityPlugin

pytestmark = pytest.mark.unit


@get("/own")
async def own() -> str:
    return "the host's"


@get("/broken")
async def broken() -> None:
    raise HTTPException(status_code=418, detail="the host's own words")


def test_a_host_keeps_its_own_routes_and_errors(play: Play) -> None:
    store = MemoryStore()
    application = an_application(store, play)
    _, token = application.create_token("t", Scope.ADMIN)
    config = CapacityConfig(application=application, language=Language.EN, path="/capacity")
    app = Litestar(
        [own, broken],
        plugins=[CapacityPlugin(config)],
        openapi_config=OpenAPIConfig(title="host", version="1"),
        logging_config=None,
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/own").text == "the host's"
        assert client.get("/broken").json() == {
            "status_code": 418,
            "detail": "the host's own words",
        }
        assert client.get("/nope").json() == {"status_code": 404, "detail": "Not Found"}
        refused = client.get("/capacity/api/v1/instances")
        assert refused.status_code == 401
        assert refused.json()["message"] == "A valid bearer token is required"
        headers = {"Authorization": f"Bearer {token}"}
        missing = client.get("/capacity/api/v1/instances/abc", headers=headers)
        assert missing.json()["message_code"] == "RESOURCE_NOT_FOUND"
        assert client.get("/capacity/health/ready").status_code == 200
        schema = client.get("/schema/openapi.json").json()
    assert "/capacity/api/v1/instances" in schema["paths"]
    assert "security" not in schema["paths"]["/own"]["get"]
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert application.begin is not None


def hosted(play: Play, **host: Any) -> Litestar:
    config = CapacityConfig(application=an_application(MemoryStore(), play), path="/capacity")
    return Litestar([own], plugins=[CapacityPlugin(config)], logging_config=None, **host)


def hosts_answer(_request: object, _error: Exception) -> Response[str]:
    return Response("the host's", status_code=500)


@pytest.mark.parametrize("kind", [LookupError, ValueError, HTTPException, 400, 401, 404])
def test_a_hosts_handlers_do_not_answer_for_us(play: Play, kind: Any) -> None:
    app = hosted(play, exception_handlers={kind: hosts_answer})
    with TestClient(app, raise_server_exceptions=False) as client:
        refused = client.get("/capacity/api/v1/instances")
        assert refused.json()["message_code"] == "AUTHENTICATION_REQUIRED"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "AUTHENTICATION_REQUIRED"), (403, "PERMISSION_REQUIRED"), (429, "INVALID_REQUEST")],
)
def test_what_a_hosts_guard_refuses_keeps_its_status(play: Play, status: int, code: str) -> None:
    def guard(_connection: object, _handler: object) -> None:
        raise HTTPException(status_code=status, detail="the host's reason")

    with TestClient(hosted(play, guards=[guard]), raise_server_exceptions=False) as client:
        refused = client.get("/capacity/api/v1/instances")
        assert (refused.status_code, refused.json()["message_code"]) == (status, code)


def test_a_host_without_a_schema_is_welcome(play: Play) -> None:
    config = CapacityConfig(application=an_application(MemoryStore(), play))
    app = Litestar(plugins=[CapacityPlugin(config)], openapi_config=None, logging_config=None)
    with TestClient(app) as client:
        assert client.get("/health/live").status_code == 200
