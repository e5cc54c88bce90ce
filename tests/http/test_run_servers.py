"""Runs behind real server processes: one, two at once, one that is killed, one that is stopped."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest
from attrs import frozen
from tests.cli.conftest import PROGRAM
from tests.faults.listeners import listening, silent
from tests.servers import HOST, Server, free_port
from tests.stores import KEY, copied_sqlite

from capacity_adapters.queues.embedded import MOST_FOR_FEW
from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_core import InstanceFields, Secret
from capacity_core.access import Scope
from capacity_core.application import CapacityApplication
from capacity_core.reads import Paging

PATIENCE = 60.0
RUNS = "/api/v1/capacity/runs"


@frozen
class Place:
    """A store, and how to start servers on it."""

    home: Path
    url: str
    token: str
    application: CapacityApplication

    @contextmanager
    def serving(self, **settings: str) -> Iterator["Serving"]:
        environ = {**os.environ, **environment(self.home, self.url), **settings}
        port = free_port()
        log = (self.home / f"server-{port}.log").open("wb")
        with (
            log,
            subprocess.Popen(
                [PROGRAM, "serve", "--port", str(port)],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as process,
            httpx.Client(
                base_url=f"http://{HOST}:{port}",
                headers={"Authorization": f"Bearer {self.token}", "Accept-Language": "en"},
                timeout=PATIENCE,
            ) as client,
        ):
            served = Serving(process, client)
            try:
                until(served.is_live)
                yield served
            finally:
                process.kill()

    def add_files(self, name: str) -> None:
        folder = self.home / name
        folder.mkdir()
        with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
            connection.execute("CREATE TABLE things (name TEXT)")
        self.application.add_instance(InstanceFields(name=name, db_type="sqlite", path=str(folder)))

    def add_server(self, name: str, port: int, **login: Any) -> None:
        fields = InstanceFields(
            name=name, db_type="postgresql", host=HOST, port=port, username="bench"
        )
        self.application.add_instance(fields, **login)


@frozen
class Serving:
    process: "subprocess.Popen[bytes]"
    client: httpx.Client

    def is_live(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        try:
            return self.client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str = "") -> Any:
        answer = self.client.get(RUNS + path)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def start(self) -> Any:
        answer = self.client.post(RUNS)
        assert answer.status_code == 202, answer.text
        return answer.json()["data"]["run"]

    def statuses(self, run_id: int) -> dict[str, str]:
        items = self.get(f"/{run_id}/items?limit=200")["items"]
        return {item["instance_name"]: item["status"] for item in items}

    def events(self, run_id: int) -> Iterator[tuple[str, Any]]:
        with self.client.stream("GET", f"{RUNS}/{run_id}/events") as answer:
            name = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                if line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def environment(home: Path, url: str) -> dict[str, str]:
    return {
        "HOME": str(home),
        "CAPACITY_STORE_URL": url,
        "CAPACITY_SECRET_KEY": base64.b64encode(KEY).decode(),
    }


@contextmanager
def a_place(home: Path, url: str) -> Iterator[Place]:
    application = build_application(read_settings(environment(home, url)))
    _, token = application.create_token("operator", Scope.UPDATE)
    yield Place(home, url, token, application)
    application.close()


@pytest.fixture
def place(tmp_path: Path, store_url: str) -> Iterator[Place]:
    with a_place(tmp_path, store_url) as made:
        yield made


@pytest.fixture
def sqlite_place(tmp_path: Path, sqlite_template: Path) -> Iterator[Place]:
    with a_place(tmp_path, copied_sqlite(sqlite_template, tmp_path)) as made:
        yield made


def test_two_servers_that_are_asked_at_once_have_one_run(place: Place) -> None:
    with ExitStack() as stack:
        place.add_server("silent", stack.enter_context(listening(silent)))
        short = {"CAPACITY_CONNECT_DEADLINE": "3"}
        servers = [stack.enter_context(place.serving(**short)) for _ in range(2)]
        callers = stack.enter_context(ThreadPoolExecutor(8))
        barrier = Barrier(8)

        def ask(number: int) -> httpx.Response:
            barrier.wait(PATIENCE)
            return servers[number % 2].client.post(RUNS)

        answers = list(callers.map(ask, range(8)))
        assert {answer.status_code for answer in answers} == {202}
        [run_id] = {answer.json()["data"]["run"]["id"] for answer in answers}
        said = sorted(answer.json()["message"] for answer in answers)
        assert said[:7] == [f"Run {run_id} of the same selection is running already"] * 7
        assert said[7] == f"Run {run_id} started over 1 instances"
        assert [server.get()["total"] for server in servers] == [1, 1]
        # Whichever of them does the work, both tell how it goes on.
        ends = [list(callers.submit(list, server.events(run_id)).result()) for server in servers]
        assert [told[-1][0] for told in ends] == ["end", "end"]
        assert [told[-1][1]["status"] for told in ends] == ["failed", "failed"]
        [item] = servers[0].get(f"/{run_id}/items")["items"]
        assert (item["reason"], item["attempts"]) == ("timeout", 1)


@pytest.mark.live
def test_a_run_over_a_server_and_files_is_followed_to_its_end(
    sqlite_place: Place, postgres: Server
) -> None:
    sqlite_place.add_files("files")
    sqlite_place.add_server("server", postgres.port, password=Secret("bench"))
    with sqlite_place.serving() as server:
        run_id = server.start()["id"]
        told = list(server.events(run_id))
        assert {name for name, _ in told[:-1]} <= {"progress"}
        name, run = told[-1]
        assert (name, run["status"], run["requested_by"]) == ("end", "completed", "operator")
        assert run["counts"]["completed"] == run["total"] == 2
        assert run["size_bytes"] > 1_000_000
        shown = server.get(f"/{run_id}")
        assert shown == {"run": run, "failures": []}
        items = server.get(f"/{run_id}/items?status=completed")["items"]
        assert sum(item["size_bytes"] for item in items) == run["size_bytes"]


def test_a_run_that_is_cancelled_midway_agrees_with_itself(sqlite_place: Place) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(listening(silent))
        sqlite_place.add_files("first")
        sqlite_place.add_server("silent", port)
        for number in range(MOST_FOR_FEW + 3):  # those claimed ahead are given back
            sqlite_place.add_files(f"later {number}")
        one = {"CAPACITY_FLEET_WORKERS": "1", "CAPACITY_CONNECT_DEADLINE": "5"}
        server = stack.enter_context(sqlite_place.serving(**one))
        run_id = server.start()["id"]
        midway = Counter(completed=1, running=1, pending=MOST_FOR_FEW + 3)
        until(lambda: Counter(server.statuses(run_id).values()) == midway)
        before = server.statuses(run_id)
        assert (before["first"], before["silent"]) == ("completed", "running")
        answer = server.client.post(f"{RUNS}/{run_id}/actions/cancel")
        assert (answer.status_code, answer.json()["data"]["run"]["status"]) == (200, "running")
        name, run = list(server.events(run_id))[-1]
        assert (name, run["status"]) == ("end", "cancelled")
        after = {"completed": "completed", "running": "failed", "pending": "cancelled"}
        ended = {each: after[was] for each, was in before.items()}
        assert server.statuses(run_id) == ended
        assert {status: many for status, many in run["counts"].items() if many} == Counter(
            ended.values()
        )
        assert server.get(f"/{run_id}")["run"] == server.get()["items"][0] == run


def test_a_killed_server_that_starts_again_finishes_its_run(sqlite_place: Place) -> None:
    with listening(silent) as port:
        sqlite_place.add_files("files")
        sqlite_place.add_server("silent", port)
        midway = {"files": "completed", "silent": "running"}
        with sqlite_place.serving(CAPACITY_CONNECT_DEADLINE="60") as server:
            run_id = server.start()["id"]
            until(lambda: server.statuses(run_id) == midway)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        # As if the half minute had passed for which the dead worker has its claim and its lease.
        path = sqlite_place.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE run_items SET claimed_until = 0 WHERE status = 'running'")
            connection.execute("UPDATE leases SET expires_at = 0")
        with sqlite_place.serving(CAPACITY_CONNECT_DEADLINE="1") as server:
            until(lambda: server.get(f"/{run_id}")["run"]["status"] != "running")
            run = server.get(f"/{run_id}")["run"]
            items = server.get(f"/{run_id}/items")["items"]
    assert run["status"] == "completed_with_errors"
    assert [(item["instance_name"], item["attempts"]) for item in items] == [
        ("files", 1),
        ("silent", 2),
    ]


def test_a_server_that_is_stopped_ends_events_at_once_and_lets_the_sync_finish(
    sqlite_place: Place,
) -> None:
    with ExitStack() as stack:
        sqlite_place.add_server("silent", stack.enter_context(listening(silent)))
        sqlite_place.add_files("files")
        one = {"CAPACITY_FLEET_WORKERS": "1", "CAPACITY_CONNECT_DEADLINE": "4"}
        server = stack.enter_context(sqlite_place.serving(**one))
        run_id = server.start()["id"]
        until(lambda: server.statuses(run_id)["silent"] == "running")
        events = server.events(run_id)
        assert next(events)[0] == "progress"
        began = time.monotonic()
        server.process.terminate()
        assert [name for name, _ in events if name == "end"] == []
        assert time.monotonic() - began < 2.0
        server.process.wait(PATIENCE)
    found = sqlite_place.application.fleet.items(run_id, Paging()).rows
    statuses = {item.instance_name: item.status for item in found}
    assert statuses == {"silent": "failed", "files": "pending"}
