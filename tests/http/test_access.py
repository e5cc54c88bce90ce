"""Who may do what, and in which order a request is judged."""

from typing import Any

import pytest
from litestar import Litestar, Router, get
from litestar.routes import HTTPRoute
from litestar.testing import TestClient
from tests.http.service import Service

from capacity_core.access import Scope
from capacity_core.errors import NotFoundError
from capacity_core.messages import Language
from capacity_core.runs import Selection
from capacity_http.auth import PUBLIC, SCOPE, guard_of, parse_id
from capacity_http.errors import error_handler_of
from capacity_http.facade import Facade

pytestmark = pytest.mark.unit

ROUTES = [
    ("GET", "/instances", Scope.VIEW),
    ("POST", "/instances", Scope.ADMIN),
    ("POST", "/instances/import?dry_run=true", Scope.ADMIN),
    ("GET", "/instances/{id}", Scope.VIEW),
    ("PATCH", "/instances/{id}", Scope.ADMIN),
    ("DELETE", "/instances/{id}", Scope.ADMIN),
    ("GET", "/instances/{id}/databases", Scope.VIEW),
    ("GET", "/instances/{id}/sizes?database_name=a", Scope.VIEW),
    ("GET", "/instances/{id}/days", Scope.VIEW),
    ("GET", "/instances/{id}/forecast", Scope.VIEW),
    ("POST", "/instances/{id}/actions/sync-capacity", Scope.UPDATE),
    ("GET", "/instances/{id}/doctor", Scope.UPDATE),
    ("GET", "/capacity/databases", Scope.VIEW),
    ("GET", "/capacity/databases/summary?period_type=daily", Scope.VIEW),
    ("GET", "/capacity/instances", Scope.VIEW),
    ("GET", "/capacity/instances/summary?period_type=daily", Scope.VIEW),
    ("POST", "/capacity/aggregations", Scope.ADMIN),
    ("POST", "/capacity/runs", Scope.UPDATE),
    ("GET", "/capacity/runs", Scope.VIEW),
    ("GET", "/capacity/runs/{run}", Scope.VIEW),
    ("GET", "/capacity/runs/{run}/items", Scope.VIEW),
    ("GET", "/capacity/runs/{run}/events", Scope.VIEW),
    ("POST", "/capacity/runs/{run}/actions/cancel", Scope.UPDATE),
    ("POST", "/capacity/runs/{run}/actions/retry", Scope.UPDATE),
]
BODY = {"name": "n", "db_type": "pg", "host": "h"}
MALFORMED_IDS = ["abc", "0", "-1", "1.5", "+1", "01", " 1", "1e3", "٣", "9" * 19, "9" * 5000]
PUBLIC_PATHS = {
    "/health/live",
    "/health/ready",
    "/schema",
    "/schema/openapi.json",
    "/schema/openapi.yaml",
    "/schema/openapi.yml",
    "/schema/{path:str}",
}


def test_every_route_says_its_scope_or_that_it_is_public(service: Service) -> None:
    app: Litestar = service.client.app
    seen = set()
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            scope = handler.opt.get(SCOPE)
            if route.path in PUBLIC_PATHS or method == "OPTIONS":
                assert scope == PUBLIC or route.path.startswith("/schema"), route.path
            else:
                assert isinstance(scope, Scope), (method, route.path)
                assert handler.resolve_guards(), (method, route.path)
                seen.add((method, route.path))
    gets = [path for method, path, _ in ROUTES if method == "GET"]
    assert len(seen) == len(ROUTES) + len(gets)  # each GET answers HEAD as well


def test_what_reads_is_for_view_what_syncs_for_update_the_rest_for_admin(
    service: Service,
) -> None:
    for method, path, needed in ROUTES:
        for scope in Scope:
            instance_id = service.add(f"{method} {path} {scope}")
            run_id = a_run(service, instance_id, is_over=not path.endswith("cancel"))
            asked = path.format(id=instance_id, run=run_id)
            body: dict[str, Any] = {"json": BODY if path.startswith("/instances") else None}
            if "import" in path:
                body = {"content": "name,db_type,host\nn,pg,h\n"}
            answer = service.call(method, asked, scope, **body)
            allowed = scope.covers(needed)
            assert (answer.status_code == 403) is not allowed, (method, path, scope)
            assert answer.status_code < 400 or not allowed, (method, path, scope, answer.text)
            if allowed and method in {"POST", "PATCH"} and "instance" in answer.json()["data"]:
                changed = answer.json()["data"]["instance"]["id"]
                service.call("DELETE", f"/instances/{changed}")


def a_run(service: Service, instance_id: int, *, is_over: bool) -> int:
    fleet = service.application.fleet
    run, _ = fleet.start(Selection(instance_ids=(instance_id,)))
    return fleet.cancel(run.id).id if is_over else run.id


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dTpw", "bearer nonsense", "Bearer cap_x cap_y", "Bearer é"],
)
def test_a_wrong_authorization_is_unauthenticated(service: Service, header: str) -> None:
    answer = service.client.get(
        "/api/v1/instances", headers={b"Authorization": header.encode("latin-1")}
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["category"] == "authentication"


def test_the_scheme_of_a_token_may_be_written_in_any_case(service: Service) -> None:
    header = {"Authorization": f"bEARER  {service.tokens[Scope.VIEW]}"}
    assert service.client.get("/api/v1/instances", headers=header).status_code == 200


def test_a_revoked_token_is_unauthenticated(service: Service) -> None:
    assert service.call("GET", "/instances", Scope.VIEW).status_code == 200
    service.application.revoke_token("a view")
    assert service.call("GET", "/instances", Scope.VIEW).status_code == 401


def test_first_the_token_then_its_scope_then_the_instance_then_the_input(
    service: Service,
) -> None:
    instance_id = service.add()
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "/instances/{id}", {"content": b"{"}),
        ("GET", "/instances/{id}/databases?page=x", {}),
        ("GET", "/instances/{id}/sizes?start_date=x", {}),
        ("GET", "/capacity/runs/{id}?page=1", {}),
        ("GET", "/capacity/runs/{id}/items?status=x", {}),
        ("GET", "/capacity/runs/{id}/events?page=1", {}),
        ("POST", "/capacity/runs/{id}/actions/cancel?page=1", {}),
        ("POST", "/capacity/runs/{id}/actions/retry?page=1", {}),
    ]
    assert a_run(service, instance_id, is_over=True) == instance_id
    for method, path, bad in requests:
        for nobody in ("abc", instance_id + 1):
            missing = path.format(id=nobody)
            assert service.call(method, missing, None, **bad).status_code == 401
            if method != "GET":
                assert service.call(method, missing, Scope.VIEW, **bad).status_code == 403
            assert service.call(method, missing, **bad).status_code == 404
        assert service.call(method, path.format(id=instance_id), **bad).status_code == 400


def test_an_id_of_more_than_64_bits_never_reaches_the_store() -> None:
    assert parse_id(str(2**63 - 1)) == 2**63 - 1
    with pytest.raises(NotFoundError):
        parse_id(str(2**63))


@pytest.mark.parametrize("instance_id", MALFORMED_IDS)
def test_a_malformed_id_names_no_instance(service: Service, instance_id: str) -> None:
    for method, path, _ in ROUTES:
        if "{" in path:
            answer = service.call(method, path.format(id=instance_id, run=instance_id), json=BODY)
            assert answer.status_code == 404, (method, path)
            assert answer.json()["message_code"] == "RESOURCE_NOT_FOUND"


def test_a_route_that_forgot_its_scope_is_closed_to_all(service: Service) -> None:
    @get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    facade = Facade(service.application, Language.ZH, 1)
    app = Litestar(
        [Router("/", guards=[guard_of(facade)], route_handlers=[forgotten])],
        lifespan=[facade.lifespan],
        exception_handlers={Exception: error_handler_of(facade)},
        logging_config=None,
    )
    with TestClient(app) as client:
        assert client.get("/forgotten").status_code == 401
        header = {"Authorization": f"Bearer {service.tokens[Scope.ADMIN]}"}
        assert client.get("/forgotten", headers=header).status_code == 403
