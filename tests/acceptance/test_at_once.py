"""Many syncs at once, slow targets, killed processes: nothing waits, doubles or is lost."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.acceptance.conftest import Deployment
from tests.relay import relay_to
from tests.servers import Server

from capacity_adapters.wiring import build_application
from capacity_core import InstanceFields
from capacity_core.model import Scenario
from capacity_core.reads import Paging

pytestmark = pytest.mark.live

SIZES = b"pg_database_size"


def open_transactions(store_url: str) -> int:
    """Count the store's connections that hold a transaction; on SQLite, try to take it over."""
    if store_url.startswith("sqlite"):
        path = store_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as store:
            store.execute("BEGIN EXCLUSIVE")
            store.execute("ROLLBACK")
        return 0
    with closing(psycopg.connect(store_url, autocommit=True)) as store:
        row = store.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_while_a_target_is_slow_the_store_is_free_and_others_finish(
    deployment: Deployment, postgres: Server
) -> None:
    with relay_to(postgres.port, hold_at=SIZES) as relay, ThreadPoolExecutor(1) as pool:
        slow = deployment.register(postgres, port=relay.port)
        other = deployment.register(postgres)
        first = pool.submit(deployment.sync, slow.id)
        assert relay.held.wait(10)
        for _ in range(5):
            assert open_transactions(deployment.store_url) == 0
            assert deployment.sync(other.id).status_code == 200
            assert not first.done()
            time.sleep(1)  # five seconds in all: the target takes its time
        relay.let_go()
        assert first.result().status_code == 200


def test_ten_syncs_of_one_instance_are_one_sync_and_nine_refusals(
    deployment: Deployment, postgres: Server
) -> None:
    with relay_to(postgres.port, hold_at=SIZES) as relay, ThreadPoolExecutor(10) as pool:
        instance = deployment.register(postgres, port=relay.port)
        syncs = [pool.submit(deployment.application.sync, instance.id) for _ in range(10)]
        assert relay.held.wait(10)
        wait_until(lambda: sum(sync.done() for sync in syncs) == 9)
        relay.let_go()
        scenarios = Counter(sync.result().scenario for sync in syncs)
    assert scenarios == {Scenario.COMPLETE: 1, Scenario.IN_PROGRESS: 9}
    rows = deployment.application.sizes_on(instance.id, None)
    assert len(rows) == len({row.database_name for row in rows}) > 0


def test_ten_instances_at_once_lose_nothing(deployment: Deployment, postgres: Server) -> None:
    instances = [deployment.register(postgres) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(deployment.sync, [instance.id for instance in instances]))
    assert [answer.status_code for answer in answers] == [200] * 10
    for instance, answer in zip(instances, answers, strict=True):
        rows = deployment.application.sizes_on(instance.id, None)
        result = answer.json()["data"]["result"]
        assert len(rows) == result["saved_count"] > 0
        page = deployment.application.databases(instance.id, Paging(1, 200))
        assert page.total == result["inventory"]["created"]


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


KILLED = """
import sys
from attrs import evolve
from capacity_adapters import wiring
from capacity_adapters.settings import read_settings
import capacity_core.application as door, os
door.LEASE_GRACE_SECONDS = 3
wiring.build_application(read_settings(os.environ)).sync(int(sys.argv[1]), deadline=2)
"""


def test_a_killed_sync_frees_its_instance_when_its_lease_ends(
    deployment: Deployment, postgres: Server, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "CAPACITY_STORE_URL": deployment.store_url,
        "CAPACITY_SECRET_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "XDG_DATA_HOME": str(tmp_path),
    }
    with relay_to(postgres.port, hold_at=SIZES) as relay:
        instance = deployment.register(postgres, port=relay.port)
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(instance.id)], env=environment)
        try:
            assert relay.held.wait(20)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        relay.let_go()
        assert deployment.sync(instance.id).json()["message_code"] == "SYNC_IN_PROGRESS"
        assert deployment.application.get_instance(instance.id).last_sync is None
        wait_until(lambda: deployment.sync(instance.id).status_code == 200)
    assert deployment.application.sizes_on(instance.id, None)


def test_processes_that_share_a_new_store_all_succeed(
    deployment: Deployment, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.db").touch()
    fields = InstanceFields(name="files", db_type="sqlite", path=str(folder))
    instance = deployment.application.add_instance(fields)
    others = [build_application(deployment.settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda other: other.sync(instance.id).scenario, others))
    for other in others:
        other.close()
    assert set(ended) <= {Scenario.COMPLETE, Scenario.IN_PROGRESS}
    assert Scenario.COMPLETE in ended
