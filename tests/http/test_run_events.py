"""The events of a run: in which order they come, how they end, and that nothing stays behind."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from attrs import define, evolve, field, frozen
from tests.builders import NOON, an_instance
from tests.http.service import Play, Service, an_application, running

from capacity_adapters.memory import MemoryStore
from capacity_core.access import Scope
from capacity_core.errors import StoreError
from capacity_core.messages import text
from capacity_core.runs import ItemCounts, Run, RunStatus, Selection
from capacity_http import create_app
from capacity_http.events import HEARTBEAT, StreamLimits, Streams
from capacity_http.plugin import CapacityPlugin

pytestmark = pytest.mark.unit

PATIENCE = 20  # seconds until a test that hangs is called a failure
NEVER = 3600.0
RUN = Run(
    id=7,
    trigger="manual",
    requested_by="me",
    selection=Selection(),
    status=RunStatus.RUNNING,
    started_at=NOON,
    active_at=NOON,
    counts=ItemCounts(pending=2),
)
HALF = evolve(RUN, counts=ItemCounts(pending=1, completed=1))
OVER = evolve(RUN, counts=ItemCounts(completed=2), status=RunStatus.COMPLETED, finished_at=NOON)


@define
class Looks:
    """A run as it is at each look; the last one stays."""

    left: list[Run | StoreError]
    looks: int = 0
    begun: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))

    def __call__(self, run_id: int) -> Run:
        assert run_id == RUN.id
        self.looks += 1
        self.begun.release()
        found = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(found, StoreError):
            raise found
        return found


def parsed(told: bytes) -> tuple[str, Any]:
    if told == HEARTBEAT:
        return "-", None
    event, data, *rest = told.decode().split("\n")
    assert rest == ["", ""]
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def heard(stream: AsyncIterator[bytes], most: int = 100) -> list[tuple[str, Any]]:
    found = []
    async with asyncio.timeout(PATIENCE):
        async for told in stream:
            found.append(parsed(told))
            if len(found) == most:
                break
    return found


def test_progress_is_told_when_it_changes_and_the_end_last() -> None:
    async def listen() -> list[tuple[str, Any]]:
        looks = Looks([RUN, RUN, HALF, HALF, OVER])
        streams = Streams(looks, StreamLimits(poll_seconds=0.0))
        found = await heard(streams.open(RUN.id))
        streams.close()
        assert looks.looks == 5
        return found

    found = asyncio.run(listen())
    assert [name for name, _ in found] == ["progress", "progress", "end"]
    assert [run["progress_percent"] for _, run in found] == [0.0, 50.0, 100.0]
    assert [run["status"] for _, run in found] == ["running", "running", "completed"]
    assert found[-1][1]["counts"]["completed"] == 2


def test_a_stream_that_has_nothing_to_tell_shows_that_it_lives() -> None:
    async def listen() -> None:
        limits = StreamLimits(heartbeat_seconds=0.02, poll_seconds=NEVER)
        streams = Streams(Looks([RUN]), limits)
        began = time.monotonic()
        found = await heard(streams.open(RUN.id), 4)
        assert [name for name, _ in found] == ["progress", "-", "-", "-"]
        assert time.monotonic() - began >= 0.06
        streams.close()

    asyncio.run(listen())


def test_a_heartbeat_comes_also_between_looks_that_find_nothing_new() -> None:
    async def listen() -> None:
        looks = Looks([RUN])
        streams = Streams(looks, StreamLimits(heartbeat_seconds=0.03, poll_seconds=0.001))
        found = await heard(streams.open(RUN.id), 3)
        assert [name for name, _ in found] == ["progress", "-", "-"]
        assert looks.looks > 3
        streams.close()

    asyncio.run(listen())


def test_a_store_that_fails_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    failed = StoreError(text("error.internal"))

    async def listen() -> list[str]:
        streams = Streams(Looks([failed, RUN, failed, OVER]), StreamLimits(poll_seconds=0.0))
        found = await heard(streams.open(RUN.id))
        streams.close()
        return [name for name, _ in found]

    assert asyncio.run(listen()) == ["progress", "end"]
    assert caplog.text.count("the events of run 7 wait for the store") == 2


def test_streams_end_at_once_from_any_thread() -> None:
    async def listen() -> list[str]:
        limits = StreamLimits(heartbeat_seconds=NEVER, poll_seconds=NEVER)
        looks = Looks([RUN])
        streams = Streams(looks, limits)
        listening = [asyncio.create_task(heard(streams.open(RUN.id))) for _ in range(3)]
        for _ in listening:
            await asyncio.to_thread(looks.begun.acquire)
        threading.Thread(target=streams.end).start()
        found = await asyncio.gather(*listening)
        assert not streams.count
        assert [name for name, _ in await heard(streams.open(RUN.id))] == []
        streams.close()
        return [name for each in found for name, _ in each]

    assert asyncio.run(listen()) == ["progress"] * 3


def test_a_stream_gives_its_place_back_however_it_ends() -> None:
    async def listen() -> None:
        looks = Looks([RUN])
        streams = Streams(looks, StreamLimits(most=2, poll_seconds=NEVER))
        never_begun, left = streams.open(RUN.id), streams.open(RUN.id)
        assert streams.is_full
        del never_begun
        assert streams.count == 1
        await heard(left, 1)
        await left.aclose()
        assert not streams.count
        told = asyncio.create_task(heard(streams.open(RUN.id)))
        await asyncio.to_thread(looks.begun.acquire)  # the one before
        await asyncio.to_thread(looks.begun.acquire)
        told.cancel()
        await asyncio.wait([told])
        assert streams.count == 0
        streams.close()

    asyncio.run(listen())


@pytest.fixture
def service(play: Play) -> Iterator[Service]:
    store = MemoryStore()
    limits = StreamLimits(most=1, poll_seconds=0.01)
    with running(an_application(store, play), store, stream_limits=limits) as made:
        yield made


def a_run(service: Service, *, is_over: bool) -> int:
    fleet = service.application.fleet
    instance_id = service.add(f"over {is_over}")
    run, _ = fleet.start(Selection(instance_ids=(instance_id,)))
    return fleet.cancel(run.id).id if is_over else run.id


def test_a_run_that_is_over_has_but_an_end(service: Service) -> None:
    run_id = a_run(service, is_over=True)
    for _ in range(3):  # each gives the only place back
        answer = service.call("GET", f"/capacity/runs/{run_id}/events", Scope.VIEW)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Request-Id"]
        name, run = parsed(answer.content)
        assert (name, run["id"], run["status"]) == ("end", run_id, "cancelled")
    assert run == service.call("GET", f"/capacity/runs/{run_id}").json()["data"]["run"]


@pytest.mark.parametrize(
    ("language", "said"),
    [("zh", "同时跟踪的运行过多, 请稍后再试"), ("en", "Too many runs are being followed at once")],
)
def test_one_stream_too_many_is_refused_in_the_envelope(
    service: Service, language: str, said: str
) -> None:
    plugin = service.client.app.plugins.get(CapacityPlugin)
    run_id = a_run(service, is_over=False)
    kept = plugin.facade.streams.open(run_id)
    headers = {"Accept-Language": language}
    answer = service.call("GET", f"/capacity/runs/{run_id}/events", headers=headers)
    assert (answer.status_code, answer.json()["message_code"]) == (503, "SERVICE_BUSY")
    assert answer.json()["message"].startswith(said)
    assert answer.json()["recoverable"] is True
    assert answer.headers["Retry-After"]
    service.application.fleet.cancel(run_id)
    del kept
    assert service.call("GET", f"/capacity/runs/{run_id}/events").status_code == 200


@frozen
class Listening:
    """A service behind a real socket."""

    client: httpx.Client
    plugin: CapacityPlugin
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def count(self) -> int:
        return self.plugin.facade.streams.count


@contextmanager
def listening(store: MemoryStore, play: Play) -> Iterator[Listening]:
    application = an_application(store, play)
    _, token = application.create_token("t", Scope.UPDATE)
    limits = StreamLimits(heartbeat_seconds=0.02, poll_seconds=0.01)
    app = create_app(application, stream_limits=limits)
    config = uvicorn.Config(app, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/api/v1/capacity/runs"
        headers = {"Authorization": f"Bearer {token}"}
        plugin = app.plugins.get(CapacityPlugin)
        with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as client:
            try:
                yield Listening(client, plugin, server, thread)
            finally:
                server.should_exit = True
                if thread.is_alive():
                    plugin.end_streams()
                thread.join(PATIENCE)


def until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_client_that_goes_away_leaves_nothing_behind(play: Play) -> None:
    store = MemoryStore()
    with listening(store, play) as service:
        add_one(store)
        run_id = service.client.post("").json()["data"]["run"]["id"]
        for _ in range(20):
            with service.client.stream("GET", f"/{run_id}/events") as answer:
                lines = answer.iter_lines()
                assert next(lines) == "event: progress"
                assert service.count >= 1
        until(lambda: service.count == 0)
        assert service.client.get(f"/{run_id}").status_code == 200


def test_a_stream_follows_the_run_over_a_real_socket(play: Play) -> None:
    store = MemoryStore()
    with listening(store, play) as service:
        add_one(store)
        run_id = service.client.post("").json()["data"]["run"]["id"]
        seen = []
        with service.client.stream("GET", f"/{run_id}/events") as answer:
            for line in answer.iter_lines():
                if line.startswith((":", "event")):
                    seen.append(line)
                if line == HEARTBEAT.decode().strip():
                    service.client.post(f"/{run_id}/actions/cancel")
        assert (seen[0], seen[-1]) == ("event: progress", "event: end")
        assert HEARTBEAT.decode().strip() in seen


def test_a_server_that_stops_ends_its_streams_at_once(play: Play) -> None:
    store = MemoryStore()
    with listening(store, play) as service:
        add_one(store)
        run_id = service.client.post("").json()["data"]["run"]["id"]
        with service.client.stream("GET", f"/{run_id}/events") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: progress"
            service.server.should_exit = True
            service.plugin.end_streams()
            assert "event: end" not in list(lines)
        service.thread.join(PATIENCE)
        assert not service.thread.is_alive()


def add_one(store: MemoryStore) -> None:
    with store.begin() as work:
        work.instances.add(an_instance())
        work.commit()
