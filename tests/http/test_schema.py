"""The schema tells the truth, and nothing that fits it, or does not, makes the service fail."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any

import pytest
import schemathesis
from httpx import InvalidURL
from hypothesis import HealthCheck, Phase, given, reject, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.http.service import Play, Service, an_application, running
from tests.stores import running_of

from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope

pytestmark = pytest.mark.unit

OPERATIONS = [
    "live",
    "ready",
    "list_instances",
    "add_instance",
    "import_instances",
    "show_instance",
    "change_instance",
    "remove_instance",
    "list_databases",
    "list_database_sizes",
    "list_instance_days",
    "forecast_instance",
    "sync_capacity",
    "examine_instance",
    "list_database_growth",
    "summarize_database_growth",
    "list_instance_growth",
    "summarize_instance_growth",
    "recompute_aggregations",
    "start_run",
    "list_runs",
    "show_run",
    "list_run_items",
    "cancel_run",
    "retry_run",
    "watch_run",
]
WAYS = [
    (name, mode)
    for name, mode in product(OPERATIONS, GenerationMode)
    if (name, mode) not in product(("live", "ready"), [GenerationMode.NEGATIVE])  # no input
]
# A schema cannot say every rule: which engines there are, what a time zone or a host is.
BEYOND_THE_SCHEMA: list[CheckFunction] = [positive_data_acceptance]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    store = MemoryStore()
    with running(an_application(store, Play()), store) as made:
        yield made


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get("/schema/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_the_schema_lists_every_operation(document: dict[str, Any]) -> None:
    found = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(found) == sorted(OPERATIONS)


def test_every_status_is_declared(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        statuses = set(operation["responses"])
        if path.startswith("/health"):
            continue
        assert {"400", "401", "403", "500"} < statuses, path
        names_one = "_id}" in path or operation["operationId"] == "recompute_aggregations"
        assert ("404" in statuses) is names_one, path
        assert ("requestBody" in operation) is ("413" in statuses), (path, method)
        assert operation["security"] == [{"bearer": []}]
    sync = document["paths"]["/api/v1/instances/{instance_id}/actions/sync-capacity"]["post"]
    assert set(sync["responses"]) == {"200", "400", "401", "403", "404", "409", "500"}
    assert "requestBody" not in sync


def test_bodies_forbid_what_they_do_not_name(document: dict[str, Any]) -> None:
    said = [
        operation["requestBody"]
        for _, _, operation in operations(document)
        if "requestBody" in operation
    ]
    texts = [each for each in said if "text/csv" in each["content"]]
    assert [each["content"] for each in texts] == [{"text/csv": {"schema": {"type": "string"}}}]
    said.remove(*texts)
    bodies = [each["content"]["application/json"]["schema"] for each in said]
    assert [(body["title"], each["required"]) for body, each in zip(bodies, said, strict=True)] == [
        ("NewInstance", True),
        ("InstanceChanges", True),
        ("RunSelection", False),
        ("AggregationRange", False),
    ]
    for flat in (bodies.pop(), bodies.pop()):
        assert flat["additionalProperties"] is False
    for body in bodies:
        nested = [body["properties"]["tls"], body["properties"]["filters"]]
        assert [part["additionalProperties"] for part in (body, *nested)] == [False] * 3
    assert bodies[0]["required"] == ["name", "db_type"]


def test_the_schema_is_served_without_anything_from_elsewhere(service: Service) -> None:
    for path in ("/schema", "/schema/openapi.json", "/schema/openapi.yaml"):
        answer = service.client.get(path)
        assert answer.status_code == 200
        assert "https:" not in answer.text
        assert "<script" not in answer.text


@pytest.mark.parametrize(("name", "mode"), WAYS, ids=str)
def test_whatever_is_asked_is_answered_as_the_schema_says(
    service: Service, document: dict[str, Any], name: str, mode: GenerationMode
) -> None:
    document = deepcopy(document)
    for _, _, open_to_us in operations(document):
        open_to_us.pop("security", None)  # tokens have tests of their own
    operation = schemathesis.openapi.from_dict(document).find_operation_by_id(name)
    headers = {"Authorization": f"Bearer {service.tokens[Scope.ADMIN]}"}
    service.add(f"{name} {mode}")
    for run in running_of(service.application.fleet.runs):
        service.application.fleet.cancel(run.id)  # so that its events end

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answer(case: Case[Any]) -> None:
        request = case.as_transport_kwargs("http://testserver.local")
        request["content"] = request.pop("data", None)
        request["headers"] = {**request["headers"], **headers}
        del request["cookies"]
        try:
            answered = service.client.request(**request)
        except InvalidURL:  # longer than this client can send
            reject()
        case.validate_response(answered, excluded_checks=BEYOND_THE_SCHEMA)

    answer()


def test_the_schema_knows_what_is_in_a_list_of_databases(document: dict[str, Any]) -> None:
    pages = [name for name in document["components"]["schemas"] if "DatabasesData" in name]
    items = [
        document["components"]["schemas"][name]["properties"].get("items", {}) for name in pages
    ]
    assert any("DatabaseView" in str(item) for item in items), items
