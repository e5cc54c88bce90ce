"""`capacity serve`: the token it makes, its log, and how it fails."""

import json
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from tests.builders import NOON
from tests.cli.conftest import Cli
from tests.stores import add_instance

from capacity_adapters.cli.serve import configure_logging
from capacity_adapters.store import open_store
from capacity_core.reads import Paging
from capacity_core.runs import Trigger


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = kept


def test_the_log_is_json_with_the_contracts_words(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    root_logger.warning(
        "容量同步后触发聚合失败",
        extra={"component": "databases_capacity", "instance_id": 7},
        exc_info=ZeroDivisionError(),
    )
    [line] = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["message"] == "容量同步后触发聚合失败"
    assert (entry["module"], entry["instance_id"]) == ("databases_capacity", 7)
    assert (entry["level"], "component" in entry) == ("warning", False)
    assert "ZeroDivisionError" in entry["exception"]
    assert entry["timestamp"].endswith("Z")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def serving(
    cli: Cli, port: int, *options: str
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    with cli.popen("serve", "--json", "--port", str(port), *options) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] not in {"}\n", ""}:
                lines.append(process.stdout.readline())
            yield process, json.loads("".join(lines))["data"]
        finally:
            process.terminate()


def ask(url: str, token: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(url, headers=headers)  # noqa: S310 -- our own http URL
    for _attempt in range(100):
        try:
            with urlopen(request, timeout=10) as answer:  # noqa: S310 -- our own http URL
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        except URLError:
            time.sleep(0.1)
    raise TimeoutError(url)


def test_the_first_start_makes_an_admin_token_and_prints_it_once(cli: Cli) -> None:
    store = f"sqlite:///{cli.home}/served.db"
    port = free_port()
    with serving(cli, port, "--store", store) as (process, data):
        assert data["url"] == f"http://127.0.0.1:{port}"
        token = data["token"]
        assert ask(f"{data['url']}/api/v1/instances")[0] == 401
        assert ask(f"{data['url']}/api/v1/instances", token)[0] == 200
        process.terminate()
        assert process.stderr is not None
        log = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert all("message" in line for line in log)
    assert token not in json.dumps(log)
    with serving(cli, free_port(), "--store", store) as (_process, data):
        assert data["token"] is None
    cli("token", "revoke", "admin", "--store", store)
    with serving(cli, free_port(), "--store", store) as (_process, data):
        assert data["token"] not in {None, token}


def test_a_port_that_is_taken_is_told_and_exits_1(cli: Cli) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        said = cli.process("serve", "--port", port)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: Cannot listen on 127.0.0.1 port {port}: Address already")
    assert not (cli.home / "share").exists()


def test_a_wrong_setting_ends_it_before_it_serves(cli: Cli) -> None:
    said = cli.process("serve", CAPACITY_TIMEZONE="Mars")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: CAPACITY_TIMEZONE is 'Mars'")


def test_what_the_schedule_missed_is_caught_up_by_a_service_that_starts(cli: Cli) -> None:
    url = f"sqlite:///{cli.home}/served.db"
    store = open_store(url)
    add_instance(store)
    with store.begin() as work:
        work.runs.fire("0 3 * * *", NOON)
        work.commit()
    with serving(cli, free_port(), "--store", url, "--schedule", "0 3 * * *") as (process, _data):
        assert process.stderr is not None
        for line in process.stderr:
            if "the schedule has started run" in line:
                break
        process.terminate()
        assert "Traceback" not in process.stderr.read()
    with store.begin() as work:
        (run,) = work.runs.page(Paging()).rows
    assert run.trigger is Trigger.SCHEDULE
    store.close()


def test_a_bad_schedule_ends_it_before_it_serves(cli: Cli) -> None:
    said = cli.process("serve", "--schedule", "daily")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: CAPACITY_SCHEDULE is 'daily'; allowed: a cron expression")


def test_ctrl_c_ends_it_as_asked(cli: Cli) -> None:
    with serving(cli, free_port()) as (process, data):
        assert ask(f"{data['url']}/health/live")[0] == 200
        process.send_signal(2)
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
