"""Slow instances keep neither each other's callers nor the readers waiting."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from threading import Event, Semaphore, Timer
from threading import enumerate as threads

import pytest
from attrs import define, field
from httpx import ASGITransport, AsyncClient, Response
from tests.builders import a_conversation, an_instance
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.memory import MemoryStore
from capacity_adapters.memory.series import MemoryLimits
from capacity_adapters.memory.store import MemoryUnitOfWork
from capacity_core.access import Scope
from capacity_core.model import Scenario
from capacity_core.ports import Lease
from capacity_http import create_app

pytestmark = pytest.mark.unit

PATIENCE = 30  # seconds until a test that hangs is called a failure


@define
class SlowInstances:
    """Connections that stay open until the test lets them go on."""

    go_on: Event = field(factory=Event)
    begun: Semaphore = field(factory=lambda: Semaphore(0))

    def coordinator_of(self, _instance: object) -> MemoryCoordinator:
        self.begun.release()
        assert self.go_on.wait(PATIENCE)
        return a_conversation()

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=PATIENCE)


@pytest.fixture
def slow(play: Play) -> Iterator[SlowInstances]:
    instances = SlowInstances()
    play.is_now(instances.coordinator_of)
    yield instances
    instances.go_on.set()


def test_ten_callers_at_once_sync_an_instance_once(service: Service, slow: SlowInstances) -> None:
    instance_id = service.add()
    with ThreadPoolExecutor(10) as callers:
        asked = [callers.submit(service.sync, instance_id) for _ in range(10)]
        slow.wait_for(1)
        refused = [each.result(PATIENCE) for each in _first(asked, 9)]
        slow.go_on.set()
        answers = [each.result(PATIENCE) for each in asked]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["message_code"] for answer in refused} == {"SYNC_IN_PROGRESS"}


def _first(futures: list[Future[Response]], count: int) -> list[Future[Response]]:
    done = as_completed(futures, PATIENCE)
    return [next(done) for _ in range(count)]


def test_reads_and_health_answer_while_every_worker_waits_for_a_target(
    play: Play, slow: SlowInstances
) -> None:
    store = MemoryStore()
    with (
        running(an_application(store, play), store, workers=2) as service,
        ThreadPoolExecutor(4) as callers,
    ):
        ids = [service.add(f"i{number}") for number in range(4)]
        asked = [callers.submit(service.sync, instance_id) for instance_id in ids]
        slow.wait_for(2)
        assert service.client.get("/health/live").status_code == 200
        assert service.client.get("/health/ready").status_code == 200
        assert service.names() == ["i0", "i1", "i2", "i3"]
        assert service.call("GET", "/instances", None).status_code == 401
        assert not any(each.done() for each in asked)
        assert not slow.begun.acquire(blocking=False)  # never more than `workers` at once
        slow.go_on.set()
        assert {each.result(PATIENCE).status_code for each in asked} == {200}


def test_no_request_costs_a_thread_beside_the_pools(service: Service) -> None:
    assert service.sync(service.add()).status_code == 200
    assert service.names() == ["shop"]
    assert service.call("GET", "/instances", None).status_code == 401
    assert not [each.name for each in threads() if each.name.startswith("asyncio_")]


LONG_QUESTIONS = [
    ("GET", "/instances/{}/forecast"),
    ("GET", "/capacity/databases/summary?period_type=weekly"),
    ("GET", "/capacity/instances/summary?period_type=weekly"),
    ("GET", "/capacity/databases?order=growth"),
    ("GET", "/capacity/instances?order=growth"),
    ("POST", "/capacity/aggregations"),
]


def test_reads_tokens_and_syncs_go_on_while_every_reporter_computes(play: Play) -> None:
    begun, let_go = Semaphore(0), Event()

    class Computing(MemoryUnitOfWork):
        @property
        def limits(self) -> MemoryLimits:  # what forecasts ask for, and nobody else
            begun.release()
            assert let_go.wait(PATIENCE)
            return super().limits

    class Busy(MemoryStore):
        @contextmanager
        def begin(
            self,
            lease: Lease | None = None,
            *,
            unhurried: bool = False,  # noqa: ARG002 -- as its parent
        ) -> Iterator[MemoryUnitOfWork]:
            work = Computing(self, lease)
            try:
                yield work
            finally:
                work.end()

    store = Busy()
    with running(an_application(store, play), store) as service, ThreadPoolExecutor(16) as callers:
        instance_id = service.add()
        busy = [f"/instances/{instance_id}/forecast"] * 4
        asked = [callers.submit(service.call, "GET", path) for path in busy]
        for _ in range(2):
            assert begun.acquire(timeout=PATIENCE)
        asked += [
            callers.submit(service.call, method, path.format(instance_id))
            for method, path in LONG_QUESTIONS
        ]
        assert service.names() == ["shop"]
        assert service.call("GET", "/instances", None).status_code == 401
        for level in ("databases", "instances"):
            assert service.call("GET", f"/capacity/{level}").status_code == 200
        assert service.sync(instance_id).status_code == 200
        assert not any(each.done() for each in asked)
        assert not begun.acquire(blocking=False)
        let_go.set()
        assert {each.result(PATIENCE).status_code for each in asked} == {200}


def test_a_store_that_does_not_answer_makes_the_service_unready(play: Play) -> None:
    store, let_go = MemoryStore(), Event()

    class Stuck(MemoryStore):
        def check(self) -> None:
            let_go.wait(PATIENCE)

    stuck = Stuck(store.state)
    with running(an_application(stuck, play), stuck) as service:
        assert service.client.get("/health/ready").status_code == 503
        assert service.client.get("/health/live").status_code == 200
        let_go.set()


def test_a_caller_who_leaves_does_not_undo_the_sync(play: Play, slow: SlowInstances) -> None:
    store = MemoryStore()
    with store.begin() as work:
        instance_id = work.instances.add(an_instance()).id
        work.commit()
    application = an_application(store, play)
    _, token = application.create_token("t", Scope.UPDATE)
    app = create_app(application)

    async def call_and_leave() -> None:
        transport = ASGITransport(app)  # type: ignore[arg-type]  # Litestar types its scopes more narrowly
        async with app.lifespan(), AsyncClient(transport=transport, base_url="http://x") as client:
            path = f"/api/v1/instances/{instance_id}/actions/sync-capacity"
            headers = {"Authorization": f"Bearer {token}"}
            calling = asyncio.create_task(client.post(path, headers=headers))
            await asyncio.to_thread(slow.wait_for, 1)
            calling.cancel()
            await asyncio.wait([calling])
            Timer(0.3, slow.go_on.set).start()  # while the service is closing

    asyncio.run(call_and_leave())
    last_sync = application.get_instance(instance_id).last_sync
    assert last_sync is not None
    assert last_sync.scenario is Scenario.COMPLETE


def test_writes_that_wait_for_the_store_stall_no_read(service: Service) -> None:
    instance_id = service.add()
    with ThreadPoolExecutor(8) as pool, service.store.begin() as work:
        work.instances.hold(instance_id)  # the store's one writer is busy
        path, changes = f"/instances/{instance_id}", {"description": "new"}
        writes = [
            pool.submit(service.call, "PATCH", path, Scope.ADMIN, json=changes) for _ in range(8)
        ]
        assert service.call("GET", "/instances").status_code == 200
        assert not any(write.done() for write in writes)
        work.commit()
        assert [write.result().status_code for write in writes] == [200] * 8
