"""`capacity sync --all`: every instance, each with its reason, and what a signal leaves behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from attrs import define, evolve
from tests.cli.conftest import PROGRAM, Cli, Said, on_a_terminal
from tests.faults.freezing import wait_until
from tests.faults.listeners import closed, garbage, listening
from tests.servers import Server

import capacity_core.attempts
from capacity_adapters.cli import driving, run_reports
from capacity_adapters.cli.output import note
from capacity_adapters.cli.run_reports import progress_line
from capacity_adapters.cli.session import Session
from capacity_adapters.wiring import build_workers
from capacity_core.errors import StoreError
from capacity_core.messages import Text
from capacity_core.ports import Lease
from capacity_core.runs import ItemCounts, Selection

FLEET_MODULES = {
    "capacity_adapters.cli.driving",
    "capacity_adapters.cli.run_reports",
    "capacity_adapters.queues.embedded",
    "capacity_core.fleet",
    "capacity_core.run_views",
}


class Start(Protocol):
    def __call__(self, *options: str) -> "Stuck": ...


@pytest.fixture(autouse=True)
def _nothing_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused port would be tried for five seconds."""
    monkeypatch.setattr(capacity_core.attempts, "RETRIES", {})


def add(cli: Cli, url: str, *options: str) -> None:
    said = cli("instance", "add", "--url", url, *options)
    assert said.code == 0, said


def add_folders(cli: Cli, *names: str) -> None:
    for name in names:
        (cli.home / name).mkdir()
        (cli.home / name / "a.db").touch()
        add(cli, f"sqlite:///{name}")


def items_of(cli: Cli, run_id: int = 1) -> dict[str, tuple[str, str | None]]:
    items = cli("run", "show", str(run_id), "--json").data["items"]
    return {item["instance_name"]: (item["status"], item["reason"]) for item in items}


@pytest.mark.live
def test_every_instance_is_synced_or_has_its_reason(
    cli: Cli, folder: Path, postgres: Server, mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIGHT", "bench")
    monkeypatch.setenv("WRONG", "wrong-s3cret")
    add(cli, f"postgresql://bench@127.0.0.1:{postgres.port}/", "--name", "pg")
    add(cli, f"mysql://bench@127.0.0.1:{mariadb.port}/", "--name", "my", "--password-env", "RIGHT")
    add(
        cli,
        f"mysql://bench@localhost:{mariadb.port}/",
        *("--name", "shut", "--password-env", "WRONG"),
    )
    add(cli, f"sqlite:///{folder}", "--name", "files")
    with closed() as port:
        add(cli, f"postgresql://eve@127.0.0.1:{port}/", "--name", "gone")
        told = cli("sync", "--all")
        said = cli("sync", "--all", "--json")
    assert (told.code, told.out) == (1, "")
    assert "Run 1: 5 of 5 instances to sync ..." in told.err
    lines = [line.split() for line in told.err.splitlines()]
    assert ["1", "failed", "auth_failed", "shut"] in lines
    assert ["1", "failed", "refused", "gone"] in lines
    assert "refused (failed): Nothing listens on that port" in told.err
    assert ": 3 completed, 2 failed\n" in told.err
    assert told.err.endswith("Take up what did not complete: capacity run retry 1\n")
    assert items_of(cli) == {
        "pg": ("completed", None),
        "my": ("completed", None),
        "shut": ("failed", "auth_failed"),
        "files": ("completed", None),
        "gone": ("failed", "refused"),
    }
    assert said.code == 1
    assert said.err == ""
    data = said.document["extra"]
    assert data["run"]["status"] == "completed_with_errors"
    assert data["run"]["counts"]["completed"] == 3
    assert data["joined"] is False
    assert {each["reason"] for each in data["failures"]} == {"auth_failed", "refused"}
    assert all(each["hint"] and each["count"] == 1 for each in data["failures"])
    items = cli("run", "show", "2", "--json").data["items"]
    assert sum(item["size_bytes"] or 0 for item in items) == data["run"]["size_bytes"] > 0
    assert "s3cret" not in told.err + said.out


@pytest.mark.live
def test_a_run_is_driven_on_a_postgresql_store_too(
    cli: Cli, folder: Path, postgres: Server
) -> None:
    name = f"store_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            store = ("--store", postgres.url(name))
            add(cli, f"sqlite:///{folder}", *store)
            add(cli, "sqlite:///nowhere", *store)
            assert cli("sync", "--all", *store).code == 1
            (cli.home / "nowhere").mkdir()
            run = cli("run", "retry", "1", *store, "--json").data["run"]
            assert cli("run", "show", "1", *store).code == 0
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert (run["status"], run["counts"]["completed"]) == ("completed", 2)


@pytest.mark.live
def test_a_wrong_password_is_not_tried_again_until_it_changes(
    cli: Cli, mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPACITY_SECRET_MY", "wrong-s3cret")
    ref = ("--password-ref", "env:CAPACITY_SECRET_MY")
    add(cli, f"mysql://bench@127.0.0.1:{mariadb.port}/", "--name", "my", *ref)
    assert "auth_failed (failed): " in cli("sync", "--all").err
    skipped = cli("sync", "--all")
    assert skipped.code == 1
    assert "auth_failed (skipped): The login was refused before" in skipped.err
    monkeypatch.setenv("CAPACITY_SECRET_MY", "bench")
    assert cli("sync", "--all").code == 0


def test_wrong_limits_are_refused_before_a_run_is_started(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_folders(cli, "a")
    monkeypatch.setenv("CAPACITY_ENGINE_LIMITS", "clay:4")
    assert cli("sync", "--all").code == 1
    assert cli("run", "list", "--json").data["total"] == 0


def test_where_all_is_well_people_get_a_line_and_exit_code_0(cli: Cli) -> None:
    add_folders(cli, "a", "b")
    said = cli("sync", "--all")
    assert (said.code, said.err) == (0, "Run 1: 2 of 2 instances to sync ...\n")
    assert said.out.splitlines()[0] == "Total: 0 B in 2 databases"
    assert said.out.splitlines()[1].endswith(" s: 2 completed")


def test_engines_and_tags_select_and_what_selects_nothing_is_told(cli: Cli) -> None:
    add_folders(cli, "a", "b")
    cli("instance", "edit", "b", "--tag", "prod")
    run = cli("sync", "--all", "--engine", "SQLite", "--tag", "prod", "--json").data["run"]
    assert run["selection"] == {"db_types": ["sqlite"], "tags": ["prod"], "instance_ids": []}
    assert items_of(cli) == {"b": ("completed", None)}
    none = cli("sync", "--all", "--engine", "mariadb")
    assert (none.code, none.err) == (1, "error: No active instance is selected\n")
    unknown = cli("sync", "--all", "--engine", "clay", "--json").document
    assert unknown["message_code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "Give a TARGET or --all."),
        (["a", "--all"], "Give a TARGET or --all."),
        (["--all", "--password-env", "X"], "--password-env goes with a TARGET only."),
        (["--all", "--password-file", "X"], "--password-file goes with a TARGET only."),
        (["--all", "--tls", "require"], "--tls goes with a TARGET only."),
        (["--all", "--tls-ca", ""], "--tls-ca goes with a TARGET only."),
        (["a", "--engine", "mysql"], "--engine goes with --all only."),
        (["a", "--tag", "x"], "--tag goes with --all only."),
        (["a", "--concurrency", "2"], "--concurrency goes with --all only."),
        (["--all", "--concurrency", "0"], "'--concurrency'"),
    ],
)
def test_what_makes_no_sense_together_is_refused(cli: Cli, arguments: list[str], why: str) -> None:
    said = cli("sync", *arguments)
    assert said.code == 2
    assert why in said.err


def test_many_failures_for_one_reason_name_a_few(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reports, "MAX_LIMIT", 3)
    for number in range(7):
        add(cli, f"sqlite:////nowhere/{number}", "--name", f"n{number}")
    said = cli("sync", "--all")
    assert said.code == 1
    assert "n0, n1, n2, n3, n4 and 2 more" in said.err
    assert "Run 1 failed in " in said.err


@define
class Stuck:
    """A run in a process of its own: its one worker is at an instance that keeps it waiting."""

    process: "subprocess.Popen[str]"
    release: threading.Event
    _err: str = ""

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, and wait until it has said that it heard."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        while "Stopping" not in self._err:
            said = self.process.stderr.readline()
            assert said, self._err
            self._err += said

    def ended(self) -> Said:
        with self.process as process:
            out, err = process.communicate(timeout=30)
        return Said(process.returncode, out, self._err + err)


@pytest.fixture
def stuck(cli: Cli) -> Iterator[Start]:
    """Start a run whose first instance says nothing until it is let, beside a second that waits."""
    came, release = threading.Event(), threading.Event()

    def behave(peer: socket.socket, _done: threading.Event) -> None:
        came.set()
        release.wait()
        garbage(peer, release)

    with listening(behave) as port:
        try:
            add(cli, f"postgresql://eve@127.0.0.1:{port}/", "--name", "mute")
            add_folders(cli, "next")

            def start(*options: str) -> Stuck:
                given = ("--concurrency", "1", "--deadline", "60", *options)
                process = cli.popen("sync", "--all", *given)
                assert came.wait(30)
                return Stuck(process, release)

            yield start
        finally:
            release.set()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_running_finish_and_leaves_the_rest(
    cli: Cli, stuck: Start, number: signal.Signals, code: int
) -> None:
    run = stuck()
    run.tell(number)
    run.release.set()
    said = run.ended()
    assert (said.code, said.out) == (code, ""), said
    assert "Stopping: running syncs finish, within 60 s; once more ends at once.\n" in said.err
    assert "protocol (failed): " in said.err
    assert "Interrupted: run 1 has 1 of 2 instances done, 1 wait\n" in said.err
    assert said.err.endswith("Go on with: capacity run retry 1\n")
    assert "Traceback" not in said.err
    assert items_of(cli) == {"mute": ("failed", "protocol"), "next": ("pending", None)}
    went_on = cli("run", "retry", "1")
    assert went_on.code == 1
    assert items_of(cli) == {"mute": ("failed", "protocol"), "next": ("completed", None)}


def test_an_interrupted_run_is_one_document_too(cli: Cli, stuck: Start) -> None:
    store = f"sqlite:///{cli.home / 'share' / 'capacity-sync' / 'capacity.db'}"
    run = stuck("--json", "--store", store)
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # it says nothing of having heard
    run.release.set()
    said = run.ended()
    assert (said.code, said.err) == (130, "")
    document = said.document
    assert document["success"] is False
    assert document["suggestions"] == ["Go on with: capacity run retry 1 --store ..."]
    assert document["extra"]["run"]["counts"]["pending"] == 1
    assert [each["reason"] for each in document["extra"]["failures"]] == ["protocol"]


def test_a_second_signal_ends_at_once(stuck: Start) -> None:
    run = stuck()
    run.tell(signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    assert run.ended().code == 130
    assert not run.release.is_set()


def release_when_joined(monkeypatch: pytest.MonkeyPatch, release: threading.Event) -> None:
    def heard(message: str) -> None:
        note(message)
        if message.startswith("Joining"):
            release.set()

    monkeypatch.setattr(driving, "note", heard)


def test_a_second_command_joins_the_run_and_says_so(
    cli: Cli, stuck: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stuck()
    release_when_joined(monkeypatch, first.release)
    said = cli("sync", "--all")
    other = first.ended()
    assert "Joining run 1 of the same selection, started by " in said.err
    assert (said.code, other.code) == (1, 1)
    assert items_of(cli) == {"mute": ("failed", "protocol"), "next": ("completed", None)}
    assert cli("run", "list", "--json").data["total"] == 1


def test_whoever_drives_a_run_hears_that_it_was_cancelled(cli: Cli, stuck: Start) -> None:
    first = stuck()
    # What was claimed ahead is given back.
    wait_until(lambda: items_of(cli)["next"] == ("pending", None), 30)
    told = cli("run", "cancel", "1")
    assert "1 running syncs finish, and keep what they measure" in told.out
    other = cli("sync", "--all")
    assert "Run 1 is being cancelled" in other.err
    first.release.set()
    said = first.ended()
    assert (said.code, other.code) == (1, 1)
    assert ": 1 failed, 1 cancelled\n" in said.err
    assert "Run 1 cancelled in " in said.err
    assert items_of(cli) == {"mute": ("failed", "protocol"), "next": ("cancelled", None)}


def test_a_terminal_gets_a_bar_and_its_cursor_back(cli: Cli) -> None:
    add_folders(cli, "a", "b")
    code, drawn = on_a_terminal(cli, "sync", "--all")
    assert code == 0
    assert "Run 1" in drawn
    assert "2/2 done" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")
    assert "Run 1 completed in " in drawn


def test_progress_tells_rate_and_what_is_left() -> None:
    assert progress_line(ItemCounts(pending=3), 0, 0.0) == "0/3 done"
    some = ItemCounts(pending=30, running=10, completed=15, failed=4, skipped=1)
    done = "20/60 done, 4 failed, 1 skipped"
    assert progress_line(some, 10, 5.0) == f"{done}, 2.0/s, about 20.0 s left"
    assert progress_line(some, 19, 2.0) == f"{done}, 0.5/s, about 1 min 20 s left"
    assert progress_line(some, 19, 200.0).endswith("about 2 h 13 min left")
    assert progress_line(ItemCounts(completed=2), 0, 1.0) == "2/2 done, 2.0/s"


def test_a_pipe_gets_a_line_now_and_then(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "LINE_SECONDS", 0.0)
    add_folders(cli, "a")
    assert "Run 1: 1/1 done" in cli("sync", "--all").err


def test_a_store_that_fails_meanwhile_leaves_a_run_to_go_on_with(cli: Cli) -> None:
    def failing(lease: Lease | None = None, *, unhurried: bool = False) -> Any:
        raise StoreError(Text(f"down ({lease}, {unhurried})"))

    add_folders(cli, "a")
    session = Session(None, json_wanted=False)
    with session.application() as application:
        run, _ = application.fleet.start(Selection())
        broken = evolve(application, begin=failing)
        workers = build_workers(session.settings(), broken)
        with pytest.raises(StoreError):
            driving.driven(session, broken, workers, run)
    assert cli.capsys.readouterr().err.endswith("go on with: capacity run retry 1\n")
    assert cli("run", "retry", "1").code == 0


def test_a_user_without_a_name_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert driving.user_name()
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert driving.user_name() is None


def test_one_sync_and_help_load_nothing_of_it(cli: Cli) -> None:
    add_folders(cli, "a")
    for arguments in (["sync", "a"], ["--help"], ["run", "--help"]):
        ran = subprocess.run(
            [sys.executable, "-X", "importtime", PROGRAM, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
        assert "capacity_adapters.cli.program" in loaded
        assert not loaded & FLEET_MODULES
