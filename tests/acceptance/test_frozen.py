"""A server that freezes in mid-conversation: the caller hears in time, the server forgets us."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.conftest import Deployment
from tests.faults.freezing import FILLED, SERVERS, sessions_left
from tests.faults.matrix import GRACE
from tests.servers import Server, temporary
from tests.targets import RULES

from capacity_core.model import Scenario
from capacity_core.reads import Paging

pytestmark = pytest.mark.live

DEADLINE = 1.0
KEPT: dict[str, tuple[Scenario, set[str]]] = {
    "connect": (Scenario.CONNECT_FAILED, set()),
    "inventory": (Scenario.INVENTORY_FAILED, set()),
    "sizes": (Scenario.COLLECT_FAILED, set(FILLED)),  # what the inventory told
}


@pytest.fixture
def sync_deadline() -> float:
    return DEADLINE


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(scope="module", params=list(SERVERS))
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind = SERVERS[request.param]
    with temporary(kind.start) as server:
        kind.fill(server)
        yield server


@pytest.mark.parametrize("phase", KEPT)
def test_a_sync_of_a_frozen_server_is_a_timeout_and_the_next_one_complete(
    deployment: Deployment, own_server: Server, phase: str
) -> None:
    scenario, known = KEPT[phase]
    with SERVERS[own_server.scheme].freezing(own_server, phase) as port:
        instance = deployment.register(own_server, port=port, filters=RULES)
        started = time.monotonic()
        answer = deployment.sync(instance.id)
        elapsed = time.monotonic() - started
    assert elapsed < DEADLINE + GRACE
    assert (answer.status_code, answer.json()["extra"]["reason"]) == (409, "timeout")
    application = deployment.application
    last = application.get_instance(instance.id).last_sync
    assert last is not None
    assert last.scenario is scenario
    rows = application.databases(instance.id, Paging()).rows
    assert {row.database_name for row in rows} - {"postgres", "freezing"} == known
    assert not sessions_left(own_server)
    assert deployment.sync(deployment.register(own_server).id).status_code == 200
