"""`capacity run`: what it shows of runs, cancels, and takes up again."""

from collections.abc import Iterator

import pytest
from tests.cli.conftest import Cli

from capacity_adapters.cli.runs import STATUSES
from capacity_adapters.cli.session import Session
from capacity_core.dispatch import Wanted
from capacity_core.fleet import CapacityFleet
from capacity_core.model import Reason
from capacity_core.runs import Claim, ItemEnd, ItemStatus, Selection

RUN_FIELDS = {
    "id", "status", "trigger", "requested_by", "selection", "started_at", "active_at",
    "finished_at", "cancel_requested_at", "counts", "total", "progress_percent", "database_count",
    "size_bytes", "size_mb",
}  # fmt: skip
ITEM_FIELDS = {
    "id", "instance_id", "instance_name", "db_type", "status", "reason", "hint", "attempts",
    "database_count", "unmeasured_count", "size_bytes", "size_mb", "duration_ms", "started_at",
    "finished_at",
}  # fmt: skip


@pytest.fixture
def fleet(cli: Cli) -> Iterator[CapacityFleet]:
    """Lend the fleet of a store with the instances a and b."""
    for name in ("a", "b"):
        (cli.home / name).mkdir()
        (cli.home / name / "x.db").write_bytes(b"SQLite format 3\0" + bytes(1024 * 1024))
        assert cli("instance", "add", "--url", f"sqlite:///{name}").code == 0
    with Session(None, json_wanted=False).application() as application:
        yield application.fleet


def claimed(fleet: CapacityFleet, seconds: float = 60.0) -> Claim:
    """Start a run, and take its first item as a worker would."""
    run, _ = fleet.start(Selection(), requested_by="ann")
    waiting = fleet.waiting(1, Wanted(run.id))
    [claim] = fleet.claim([each.item_id for each in waiting], "me", seconds)
    return claim


def test_the_statuses_are_those_of_items() -> None:
    assert tuple(ItemStatus) == STATUSES


def test_without_a_run_the_list_says_how_one_is_started(cli: Cli) -> None:
    said = cli("run", "list")
    assert (said.code, "`capacity sync --all`" in said.out) == (0, True)
    assert cli("run", "list", "--json").data == {"runs": [], "total": 0}


@pytest.mark.usefixtures("fleet")
def test_runs_are_listed_newest_first(cli: Cli) -> None:
    cli("sync", "--all")
    cli("sync", "--all", "--engine", "sqlite")
    headers, newest, oldest = (line.split() for line in cli("run", "list").out.splitlines())
    assert headers[:4] == ["ID", "STATUS", "SELECTION", "TRIGGER"]
    assert newest[:5] == ["2", "completed", "engine", "sqlite", "manual"]
    assert oldest[:4] == ["1", "completed", "all", "manual"]
    assert oldest[-4:] == ["0", "0", "2.0", "MiB"]
    data = cli("run", "list", "--limit", "1", "--json").data
    assert ([run["id"] for run in data["runs"]], data["total"]) == ([2], 2)
    assert set(data["runs"][0]) == RUN_FIELDS
    assert cli("run", "list", "--limit", "1").out.endswith("... and 1 older\n")


def test_a_run_is_shown_with_its_items_and_why_some_failed(cli: Cli, fleet: CapacityFleet) -> None:
    claim = claimed(fleet)
    fleet.finish([(claim, ItemEnd(status=ItemStatus.FAILED, reason=Reason.TLS, duration_ms=9))])
    said = cli("run", "show", "1")
    assert said.code == 0
    lines = [line.split() for line in said.out.splitlines()]
    for line in (
        ["status", "running"],
        ["requested", "by", "ann"],
        ["done", "1", "of", "2", "(50", "%)"],
        ["a", "sqlite", "failed", "tls", "1", "-", "-", "9", "ms"],
        ["b", "sqlite", "pending", "-", "0", "-", "-", "-"],
        ["1", "failed", "tls", "a"],
    ):
        assert line in lines, line
    assert "tls (failed): TLS failed: check" in said.out
    data = cli("run", "show", "1", "--json").data
    assert set(data) == {"run", "failures", "items", "items_total"}
    assert set(data["run"]) == RUN_FIELDS
    assert set(data["items"][0]) == ITEM_FIELDS
    [failure] = data["failures"]
    assert (failure["status"], failure["reason"], failure["count"]) == ("failed", "tls", 1)
    assert failure["hint"] == data["items"][0]["hint"]


def test_items_are_of_one_status_and_of_one_page(cli: Cli, fleet: CapacityFleet) -> None:
    claimed(fleet)
    pending = cli("run", "show", "1", "--status", "pending", "--json").data
    assert [item["instance_name"] for item in pending["items"]] == ["b"]
    assert pending["items_total"] == 1
    assert cli("run", "show", "1", "--page", "2", "--json").data["items"] == []
    assert "0 of 2 instances; --page and --all" in cli("run", "show", "1", "--page", "2").out
    assert len(cli("run", "show", "1", "--all", "--json").data["items"]) == 2


@pytest.mark.parametrize("command", ["show", "cancel", "retry"])
@pytest.mark.parametrize("run_id", ["7", "9" * 30])
def test_a_run_that_is_not_there_is_told(cli: Cli, command: str, run_id: str) -> None:
    said = cli("run", command, run_id)
    assert (said.code, said.err) == (1, "error: No such run\n")


def test_cancelling_lets_the_running_finish(cli: Cli, fleet: CapacityFleet) -> None:
    claim = claimed(fleet)
    said = cli("run", "cancel", "1")
    assert said.code == 0
    assert "1 running syncs finish, and keep what they measure" in said.out
    assert "0 of 2 instances are done, 1 cancelled" in said.out
    assert "cancel requested" in cli("run", "show", "1").out
    fleet.finish([(claim, ItemEnd(status=ItemStatus.COMPLETED, database_count=1, size_bytes=5))])
    run = cli("run", "show", "1", "--json").data["run"]
    assert (run["status"], run["counts"]["completed"]) == ("cancelled", 1)
    assert "The run has ended: cancelled" in cli("run", "cancel", "1").err


def test_cancelling_a_run_whose_worker_died_ends_it(cli: Cli, fleet: CapacityFleet) -> None:
    claimed(fleet, seconds=-1.0)
    said = cli("run", "cancel", "1")
    assert said.out == "Run 1 is cancelled: 0 of 2 instances are done, 2 cancelled\n"


@pytest.mark.usefixtures("fleet")
def test_a_cancelled_run_is_taken_up_again(cli: Cli, fleet: CapacityFleet) -> None:
    fleet.start(Selection())
    cli("run", "cancel", "1")
    said = cli("run", "retry", "1", "--concurrency", "1", "--json")
    assert said.data["run"]["status"] == "completed"
    assert said.data["run"]["size_bytes"] == 2 * (1024 * 1024 + 16)
    again = cli("run", "retry", "1")
    assert (again.code, again.err) == (1, "error: The run has nothing to do again\n")


def test_a_run_that_nobody_works_on_is_driven_to_its_end(cli: Cli, fleet: CapacityFleet) -> None:
    claimed(fleet, seconds=-1.0)
    said = cli("run", "retry", "1")
    assert (said.code, "2 completed" in said.out) == (0, True), said


def test_a_run_that_is_being_cancelled_is_not_retried(cli: Cli, fleet: CapacityFleet) -> None:
    claimed(fleet)
    assert fleet.cancel(1).status == "running"
    said = cli("run", "retry", "1")
    assert (said.code, "Run 1 is being cancelled" in said.err) == (1, True), said
