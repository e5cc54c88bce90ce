"""`capacity worker`: what it collects, and how it ends."""

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import PROGRAM, Cli, cli  # noqa: F401 -- pytest finds the fixture here
from tests.faults.listeners import listening, silent
from tests.servers import HOST, free_port
from tests.stores import url_of

from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_core.application import CapacityApplication
from capacity_core.instances import InstanceFields
from capacity_core.reads import Paging
from capacity_core.runs import Run, RunStatus, Selection, Trigger

PATIENCE = 60.0


@contextmanager
def at_work(
    cli: Cli,  # noqa: F811 -- the fixture
    *options: str,
    **environ: str,
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    with cli.popen("worker", "--json", *options, **environ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] not in {"}\n", ""}:
                lines.append(process.stdout.readline())
            assert lines[-1], process.stderr and process.stderr.read()
            yield process, json.loads("".join(lines))["data"]
        finally:
            process.terminate()


@pytest.fixture
def application(
    cli: Cli,  # noqa: F811 -- likewise
    store_url: str,
) -> Iterator[CapacityApplication]:
    """Lend a store that knows two folders of SQLite files, in two zones."""
    opened = build_application(read_settings({"HOME": "/", "CAPACITY_STORE_URL": store_url}))
    for zone in ("default", "dmz"):
        folder = cli.home / zone
        folder.mkdir()
        with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
            connection.execute("CREATE TABLE things (name TEXT)")
        fields = InstanceFields(name=zone, db_type="sqlite", path=str(folder), zone=zone)
        opened.add_instance(fields)
    yield opened
    opened.close()


def until_ended(application: CapacityApplication, run: Run) -> Run:
    until(lambda: application.fleet.run(run.id).status is not RunStatus.RUNNING)
    return application.fleet.run(run.id)


def ended(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    process.send_signal(number)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(timeout=PATIENCE) == 0
    assert "Traceback" not in said
    return said


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def jobs_in(url: str) -> int | None:
    with psycopg.connect(url) as connection:
        table = "capacity_queue.procrastinate_jobs"
        there = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
        if there == (None,):
            return None
        counted = connection.execute("SELECT count(*) FROM capacity_queue.procrastinate_jobs")
        row = counted.fetchone()
    return int(row[0]) if row else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_collects_what_runs_until_a_signal(
    cli: Cli,  # noqa: F811 -- likewise
    store_url: str,
    application: CapacityApplication,
    number: signal.Signals,
) -> None:
    run, _ = application.fleet.start(Selection())
    with at_work(cli, "--store", store_url, "--concurrency", "3") as (process, data):
        assert data == {"zones": [], "concurrency": 3, "queue": "embedded"}
        done = until_ended(application, run)
        ended(process, number)
    assert (done.status, done.counts.completed) == (RunStatus.COMPLETED, 2)


def test_of_a_zone_it_collects_no_other(
    cli: Cli,  # noqa: F811 -- likewise
    store_url: str,
    application: CapacityApplication,
) -> None:
    run, _ = application.fleet.start(Selection())
    with at_work(cli, "--store", store_url, "--queue", "dmz") as (process, data):
        assert data["zones"] == ["dmz"]
        until(lambda: application.fleet.run(run.id).counts.completed)
        ended(process, signal.SIGTERM)
    counts = application.fleet.run(run.id).counts
    assert (counts.completed, counts.pending) == (1, 1)


def test_it_has_a_schedule_too(
    cli: Cli,  # noqa: F811 -- likewise
    store_url: str,
    application: CapacityApplication,
) -> None:
    with application.begin() as work:
        work.runs.fire("0 3 * * *", datetime.now(UTC) - timedelta(days=2))
        work.commit()
    with at_work(cli, "--store", store_url, "--schedule", "0 3 * * *") as (process, _data):
        until(lambda: application.fleet.runs(Paging()).rows)
        done = until_ended(application, application.fleet.run(1))
        ended(process, signal.SIGTERM)
    assert (done.trigger, done.status) == (Trigger.SCHEDULE, RunStatus.COMPLETED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    cli: Cli,  # noqa: F811 -- likewise
    store_url: str,
    application: CapacityApplication,
    number: signal.Signals,
) -> None:
    with listening(silent) as port:
        fields = InstanceFields(name="silent", db_type="pg", host=HOST, port=port, username="x")
        application.add_instance(fields)
        run, _ = application.fleet.start(Selection(db_types=("pg",)))
        environ = {"CAPACITY_CONNECT_DEADLINE": "60"}
        with at_work(cli, "--store", store_url, **environ) as (process, _data):
            until(lambda: application.fleet.run(run.id).counts.running)
            process.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
            process.send_signal(number)
            assert process.wait(timeout=PATIENCE) == 128 + number


def test_it_ends_where_nobody_can_read_what_it_says(store_url: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [PROGRAM, "worker", "--store", store_url]
        said = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert said.returncode == 1


@pytest.mark.live
def test_it_takes_jobs_of_a_queue(
    cli: Cli,  # noqa: F811 -- likewise
    request: pytest.FixtureRequest,
) -> None:
    url = url_of("postgresql", request)
    opened = build_application(read_settings({"HOME": "/", "CAPACITY_STORE_URL": url}))
    (cli.home / "files").mkdir()
    fields = InstanceFields(name="files", db_type="sqlite", path=str(cli.home / "files"))
    opened.add_instance(fields)
    run, _ = opened.fleet.start(Selection())
    environ = {"CAPACITY_QUEUE": "procrastinate", "CAPACITY_STORE_URL": url}
    with cli.popen("serve", "--port", str(free_port()), **environ) as service:
        until(lambda: jobs_in(url) == 1)  # it offers, and works on nothing itself
        assert opened.fleet.run(run.id).counts.pending == 1
        service.terminate()
    with at_work(cli, **environ) as (process, data):
        assert data["queue"] == "procrastinate"
        done = until_ended(opened, run)
        ended(process, signal.SIGTERM)
    assert done.counts.total == 1
    opened.close()


@pytest.mark.parametrize(
    ("options", "environ", "code", "told"),
    [
        (["--schedule", "daily"], {}, 1, "CAPACITY_SCHEDULE is 'daily'"),
        (["--concurrency", "0"], {}, 2, "0 is not in the range"),
        ([], {"CAPACITY_QUEUE": "procrastinate"}, 1, "needs a PostgreSQL store"),
    ],
)
def test_it_says_what_is_wrong_and_does_not_begin(
    cli: Cli,  # noqa: F811 -- likewise
    options: list[str],
    environ: dict[str, str],
    code: int,
    told: str,
) -> None:
    said = cli.process("worker", *options, **environ)
    assert (said.code, said.out) == (code, "")
    assert told in said.err
