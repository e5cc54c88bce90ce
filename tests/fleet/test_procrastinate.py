"""Procrastinate carries items to workers, and decides nothing."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import psycopg
import pytest
from attrs import evolve, frozen
from tests.fleet.kill_rounds import procrastinate_round
from tests.fleet.killing import DATABASES, Killing, faults, killable, prepared, settings_for
from tests.servers import Server
from tests.stores import url_of

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.queues import collecting, procrastinate
from capacity_adapters.queues.offers import SCHEMA, Enqueuer, create_queue, queue_of
from capacity_adapters.queues.procrastinate import ProcrastinateWorkers
from capacity_adapters.settings import Settings, read_settings
from capacity_adapters.store import driver_arguments
from capacity_adapters.wiring import build_application, build_collectors
from capacity_core.application import CapacityApplication
from capacity_core.errors import SettingsError, StoreError
from capacity_core.fleet import CapacityFleet
from capacity_core.messages import text
from capacity_core.ports import Lease
from capacity_core.reads import Paging
from capacity_core.runs import ItemReason, ItemStatus, Run, RunStatus

pytestmark = pytest.mark.live

PATIENCE = 60.0


@frozen
class Place:
    """A store on PostgreSQL, a run in it, and targets."""

    url: str
    folder: Path
    application: CapacityApplication
    run_id: int

    @property
    def fleet(self) -> CapacityFleet:
        return self.application.fleet

    @property
    def server(self) -> dict[str, Any]:
        arguments = driver_arguments(self.url)
        assert arguments is not None
        return arguments

    @property
    def run(self) -> Run:
        return self.fleet.run(self.run_id)

    def workers(
        self, *, concurrency: int = 4, zones: tuple[str, ...] = (), **changes: Any
    ) -> ProcrastinateWorkers:
        application = evolve(self.application, **changes)
        return ProcrastinateWorkers(
            application.fleet, application.leases, self.server, concurrency, 6.0, 6.0, zones
        )

    def asked(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.server, autocommit=True) as connection:
            connection.execute(f"SET search_path TO {SCHEMA}, public")
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    applications = []

    def make(instances: int = 6, zones: tuple[str, ...] = ("default",)) -> Place:
        url = url_of("postgresql", request)
        run_id = prepared(url, instances, zones=zones)
        plain = build_application(settings_for(url))
        applications.append(plain)
        return Place(url, tmp_path, killable(plain, Killing(), tmp_path), run_id)

    yield make
    for each in applications:
        each.close()


@contextmanager
def working(workers: ProcrastinateWorkers) -> Iterator[None]:
    workers.start()
    try:
        yield
    finally:
        workers.stop()


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(place: Place) -> bool:
    try:
        return place.run.status is not RunStatus.RUNNING
    except StoreError:  # a connection that was dropped is ours, perhaps
        return False


@pytest.mark.parametrize("zone", ["default", "z" * 63, "区" * 63, "区" * 13 + "x", "a/b:c"])
def test_every_zone_has_a_queue_that_postgresql_can_notify(zone: str, postgres: Server) -> None:
    queue = queue_of(zone)
    assert len(queue.encode()) <= 40
    assert (queue == zone) is (len(zone.encode()) <= 40)
    assert queue_of(zone + "!") != queue
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_notify(%s, '')", [f"procrastinate_queue_v1#{queue}"])


def test_its_tables_are_made_once_in_a_schema_of_their_own(place_of: Callable[..., Place]) -> None:
    place = place_of(1)
    named = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    before = place.asked(named, "public")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create_queue, [place.server] * 4))
    create_queue(place.server)
    assert place.asked(named, "public") == before
    assert ("procrastinate_jobs",) in place.asked(named, SCHEMA)
    place.application.check_store()


def test_a_run_is_collected_and_leaves_no_job(place_of: Callable[..., Place]) -> None:
    place = place_of(12, zones=("default", "区" * 63))
    with working(place.workers()):
        until(lambda: ended(place))
    assert faults(place.url, place.folder, place.run_id) == []
    assert len((place.folder / "visits").read_text().splitlines()) == 12
    assert place.asked("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert place.asked("SELECT count(*) FROM procrastinate_workers") == [(0,)]


def test_a_worker_of_one_zone_leaves_the_others_alone(place_of: Callable[..., Place]) -> None:
    place = place_of(6, zones=("default", "dmz"))
    with working(place.workers(zones=("dmz",))):
        until(lambda: place.run.counts.completed == 3)
        until(lambda: place.asked("SELECT count(*) FROM procrastinate_jobs") == [(3,)])
    items = place.fleet.items(place.run_id, Paging()).rows
    assert [item.status for item in items] == [ItemStatus.PENDING, ItemStatus.COMPLETED] * 3


def test_as_many_run_at_once_as_were_asked_for(place_of: Callable[..., Place]) -> None:
    place, together = place_of(10), Barrier(10)  # asyncio's own threads are 6 on 2 cores

    class Waiting(MemoryCoordinator):
        def connect(self) -> bool:
            together.wait(PATIENCE)
            return super().connect()

    with working(
        place.workers(concurrency=10, coordinator_for=lambda *_, **__: Waiting(DATABASES))
    ):
        until(lambda: ended(place))
    assert place.run.counts.completed == 10


def test_an_item_that_has_a_job_gets_no_second_one(place_of: Callable[..., Place]) -> None:
    place = place_of(3)
    create_queue(place.server)
    enqueuer = Enqueuer(place.fleet, place.server, 6.0, 0.0)
    enqueuer._app.open()
    try:
        assert [enqueuer.offer(), enqueuer.offer()] == [3, 0]
        place.asked("DELETE FROM procrastinate_jobs WHERE id = 1")  # as a kill amid may do
        assert [enqueuer.offer(), enqueuer.offer()] == [1, 0]
        place.fleet.cancel(place.run_id)
        assert enqueuer.offer() == 0
    finally:
        enqueuer._app.close()


def test_what_dead_workers_held_is_freed_and_the_old_is_deleted(
    place_of: Callable[..., Place],
) -> None:
    place = place_of(1)
    create_queue(place.server)
    place.asked("""
        INSERT INTO procrastinate_workers (last_heartbeat)
        VALUES (now() - interval '7 seconds'), (now()), (now() - interval '61 seconds')""")
    place.asked("""
        INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id)
        VALUES ('silent', 'x', 'doing', 1), ('alive', 'x', 'doing', 2),
        ('pruned', 'x', 'doing', NULL), ('old', 'x', 'failed', NULL),
        ('young', 'x', 'failed', NULL)""")
    place.asked("""
        INSERT INTO procrastinate_events (job_id, type, at)
        SELECT id, 'failed', now() - CASE queue_name WHEN 'old' THEN 2 ELSE 0 END * interval '1 day'
        FROM procrastinate_jobs WHERE status = 'failed'""")
    enqueuer = Enqueuer(place.fleet, place.server, 6.0)
    enqueuer._app.open()
    enqueuer.clean()
    enqueuer._app.close()
    found = place.asked("SELECT queue_name, status::text FROM procrastinate_jobs ORDER BY id")
    assert found == [
        ("silent", "todo"),
        ("alive", "doing"),
        ("pruned", "todo"),
        ("young", "failed"),
    ]
    assert place.asked("SELECT id FROM procrastinate_workers ORDER BY id") == [(1,), (2,)]


@frozen
class Keeper:
    seconds: float = 6.0

    @contextmanager
    def keep(self, _lease: object) -> Iterator[None]:
        yield


def item_of(place: Place) -> int:
    (item,) = place.fleet.items(place.run_id, Paging()).rows
    return item.id


def test_a_job_whose_item_waits_no_more_does_nothing(place_of: Callable[..., Place]) -> None:
    place = place_of(1)
    workers = place.workers()
    for _ in range(2):
        workers.collect(item_of(place), Keeper())
    assert place.run.status is RunStatus.COMPLETED
    assert len((place.folder / "visits").read_text().splitlines()) == 1


def test_whatever_is_wrong_with_one_instance_is_its_own_end(
    place_of: Callable[..., Place], caplog: pytest.LogCaptureFixture
) -> None:
    place = place_of(1)

    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError

    place.workers(coordinator_for=broken).collect(item_of(place), Keeper())
    (item,) = place.fleet.items(place.run_id, Paging()).rows
    assert (item.status, item.reason) == (ItemStatus.FAILED, ItemReason.INTERNAL_ERROR)
    assert "ZeroDivisionError" in caplog.text


def failing(place: Place, fails: Callable[[], bool]) -> dict[str, Any]:
    """Let the store fail, but for what a sync writes."""

    @contextmanager
    def refusing(lease: Lease | None = None, *, unhurried: bool = False) -> Iterator[Any]:
        with place.application.begin(lease, unhurried=unhurried) as work:
            if lease is None and fails():
                raise StoreError(text("store.failed", where="here"))
            yield work

    return {"begin": refusing}


def test_an_end_is_written_again_until_the_store_takes_it(
    place_of: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.001)
    place = place_of(1)
    begun = iter([False, True, True, False])  # a claim, and three times its end
    place.workers(**failing(place, lambda: next(begun))).collect(item_of(place), Keeper())
    assert place.run.status is RunStatus.COMPLETED


def test_while_it_stops_it_does_not_write_again_for_ever(
    place_of: Callable[..., Place],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(procrastinate, "LAST_WORDS_SECONDS", 0.0)
    place = place_of(1)
    calls = iter(range(100))
    workers = place.workers(**failing(place, lambda: next(calls) >= 1))
    workers._stopping.set()
    workers.collect(item_of(place), Keeper())
    assert f"item {item_of(place)}: The store here failed" in caplog.text
    assert place.run.counts.running == 1  # until its claim expires


def test_a_stop_lets_run_what_runs_and_leaves_what_waits(place_of: Callable[..., Place]) -> None:
    place, asked, free = place_of(3), Event(), Event()

    class Slow(MemoryCoordinator):
        def connect(self) -> bool:
            asked.set()
            assert free.wait(PATIENCE)
            return super().connect()

    workers = place.workers(concurrency=1, coordinator_for=lambda *_, **__: Slow(DATABASES))
    workers.start()
    workers.wake()
    assert asked.wait(PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(workers.stop)
        until(workers._stopping.is_set)
        free.set()
        stopping.result(PATIENCE)
    counts = place.run.counts
    assert (counts.completed, counts.pending, counts.running) == (1, 2, 0)


def test_it_may_be_stopped_at_any_moment(place_of: Callable[..., Place]) -> None:
    place = place_of(1)
    create_queue(place.server)
    for hundredths in range(0, 20, 2):
        workers = place.workers(zones=("dmz",))
        workers.start()
        time.sleep(hundredths / 100)
        workers.stop()
    assert place.run.counts.pending == 1


def test_it_goes_on_when_the_store_drops_every_connection(place_of: Callable[..., Place]) -> None:
    place = place_of(40)
    with working(place.workers(concurrency=2)):
        until(lambda: place.run.counts.completed >= 3)
        dropped = place.asked("""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""")
        until(lambda: ended(place))
    assert dropped
    assert faults(place.url, place.folder, place.run_id) == []


def test_offering_goes_on_after_the_store_failed(
    place_of: Callable[..., Place],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.001)
    place = place_of(2)
    outcomes = iter([True, True, *[False] * 1000])
    application = evolve(place.application, **failing(place, lambda: next(outcomes)))
    enqueuer = Enqueuer(application.fleet, place.server)
    enqueuer.start()
    until(lambda: place.asked("SELECT count(*) FROM procrastinate_jobs") == [(2,)])
    enqueuer.stop()
    assert caplog.text.count("offering waits") == 2


def test_a_store_that_cannot_be_reached_is_told_at_the_start(
    place_of: Callable[..., Place],
) -> None:
    place = place_of(1)
    workers = ProcrastinateWorkers(
        place.fleet, place.application.leases, {**place.server, "port": 1}
    )
    with caplog_at(logging.ERROR), pytest.raises(StoreError):
        workers.start()
    workers.stop()


@contextmanager
def caplog_at(level: int) -> Iterator[None]:
    logger = logging.getLogger("psycopg.pool")
    before = logger.level
    logger.setLevel(level)
    yield
    logger.setLevel(before)


def with_queue(url: str) -> Settings:
    return read_settings(
        {"HOME": "/", "CAPACITY_STORE_URL": url, "CAPACITY_QUEUE": "procrastinate"}
    )


def test_the_setting_chooses_who_works_and_who_offers(place_of: Callable[..., Place]) -> None:
    place = place_of(1)
    settings = with_queue(place.url)
    assert isinstance(build_collectors(settings, place.application), ProcrastinateWorkers)
    offering = build_collectors(settings, place.application, works=False)
    assert isinstance(offering, Enqueuer)
    offering.stop()  # that never started


def test_a_file_cannot_be_its_store(place_of: Callable[..., Place], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs a PostgreSQL store"):
        build_collectors(with_queue(f"sqlite:///{tmp_path}/x.db"), place_of(1).application)


def test_a_missing_extra_says_what_to_install(
    place_of: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of(1)
    monkeypatch.setitem(sys.modules, "procrastinate", None)
    for name in ("offers", "procrastinate"):
        monkeypatch.delitem(sys.modules, f"capacity_adapters.queues.{name}")
        monkeypatch.delattr(f"capacity_adapters.queues.{name}")
    with pytest.raises(SettingsError, match=r"pip install 'capacity-sync\[procrastinate\]'"):
        build_collectors(with_queue(place.url), place.application)


@pytest.mark.parametrize("kill_at", ["measured:2", "taken:1"])
def test_a_killed_worker_loses_and_doubles_nothing(
    kill_at: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ended_so = procrastinate_round(url_of("postgresql", request), tmp_path, kill_at)
    assert ended_so.faults == []
