"""Growth at the command line: what is drawn, and what is asked of the store."""

import csv
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from tests.cli.conftest import Cli, on_a_terminal
from tests.stores import add_instance, sync

from capacity_adapters.cli.aggregate import report_of
from capacity_adapters.cli.growth_tables import (
    ASCII_BLOCKS,
    BLOCKS,
    fine_size,
    signed_percent,
    signed_size,
    sparkline,
)
from capacity_adapters.cli.output import Csv, Report, say
from capacity_adapters.store import Store
from capacity_core.aggregation import AggregationOutcome, AggregationStatus, summed_up
from capacity_core.growth_reads import InstanceLabel
from capacity_core.messages import text
from capacity_core.model import DatabaseSize, Moment, Outcome
from capacity_core.periods import PeriodType, last_complete, period_of
from capacity_core.reads import AggregateLevel

GIB = 2**30


def moment(days_ago: int) -> Moment:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    return Moment(at, at.date())


def day(days_ago: int) -> str:
    return moment(days_ago).day.isoformat()


@pytest.fixture
def shop(store: Store) -> int:
    """Keep four days of five: growth, a gap, a day denied, another method."""
    instance_id = add_instance(store, "shop")
    found: Mapping[int, Mapping[str, int | DatabaseSize | Outcome]] = {
        4: {"orders": 4 * GIB, "stock": GIB},
        3: {"orders": 5 * GIB, "stock": GIB},
        1: {"orders": 8 * GIB, "stock": Outcome.DENIED},
        0: {"orders": DatabaseSize("orders", 8 * GIB, "another"), "stock": Outcome.DENIED},
    }
    for days_ago, sizes in found.items():
        sync(store, instance_id, sizes, moment(days_ago))
    return instance_id


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([5], "▁"),
        ([5, 5, 5], "▁▁▁"),
        ([0, 7], "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([7, None, None, 0], "█  ▁"),
        ([None, 2**63 - 1, 0], " █▁"),
        ([None], " "),
    ],
)
def test_a_line_lies_between_its_smallest_and_largest_and_gaps_stay_gaps(
    values: list[int | None], line: str
) -> None:
    assert sparkline(values, BLOCKS) == line
    assert sparkline(values, ASCII_BLOCKS) == line.translate(str.maketrans(BLOCKS, ASCII_BLOCKS))


@pytest.mark.parametrize(
    ("change", "said"),
    [(None, "-"), (0, "0 B"), (1536, "+1.5 KiB"), (-GIB, "-1.0 GiB")],
)
def test_a_change_has_a_sign_and_an_unknown_one_is_no_zero(change: int | None, said: str) -> None:
    assert signed_size(change) == said


@pytest.mark.parametrize(
    ("percent", "said"),
    [
        (None, "-"),
        (0.0, "0.00%"),
        (-0.001, "0.00%"),
        (5.004, "+5.00%"),
        (-12.5, "-12.50%"),
        (123456.789, "+123456.79%"),
    ],
)
def test_a_percentage_has_a_sign_too(percent: float | None, said: str) -> None:
    assert signed_percent(percent) == said


@pytest.mark.usefixtures("shop")
def test_a_databases_days_are_shown_newest_last(cli: Cli) -> None:
    headers, *lines = cli("growth", "shop", "orders").out.splitlines()
    assert cells(headers) == [
        "PERIOD", "AVERAGE", "LAST", "CHANGE", "PERCENT", "TREND", "DAYS", "NOTE",
    ]  # fmt: skip
    assert [cells(line) for line in lines[:4]] == [
        [day(4), "4.0 GiB", "4.0 GiB", "-", "-", "-", "1/1"],
        [day(3), "5.0 GiB", "5.0 GiB", "+1.0 GiB", "+25.00%", "growing", "1/1"],
        [day(1), "8.0 GiB", "8.0 GiB", "+3.0 GiB", "+60.00%", "growing", "1/1"],
        [day(0), "8.0 GiB", "8.0 GiB", "-", "-", "-", "1/1", "running, break"],
    ]
    assert [line.partition(":")[0] for line in lines[4:6]] == ["running", "break"]
    assert lines[6] == "_- ##  4.0 GiB to 8.0 GiB"


def test_an_instances_days_say_where_sizes_were_carried(cli: Cli, shop: int) -> None:
    lines = cli("growth", str(shop), "--limit", "2").out.splitlines()
    assert [cells(line) for line in lines[1:3]] == [
        [day(1), "9.0 GiB", "9.0 GiB", "+3.0 GiB", "+50.00%", "growing", "1/1", "carried"],
        [day(0), "9.0 GiB", "9.0 GiB", "-", "-", "-", "1/1", "running, carried, break"],
    ]


def test_json_has_the_items_of_http_and_exact_bytes(cli: Cli, shop: int) -> None:
    data = cli("growth", "shop", "stock", "--json").data
    assert (data["instance"], data["database_name"], data["period_type"]) == (
        "shop", "stock", "daily",
    )  # fmt: skip
    first, second = data["items"]
    assert first["instance"] == {"id": shop, "name": "shop", "db_type": "postgresql"}
    assert (first["period_start"], second["period_start"]) == (day(4), day(3))
    assert (first["size_change_bytes"], second["size_change_bytes"]) == (None, 0)
    assert (second["avg_size_bytes"], second["trend_direction"]) == (GIB, "stable")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("command", [["growth", "shop"], ["growth", "shop", "stock"], ["top"]])
def test_csv_has_the_fields_of_json_on_flat_lines(cli: Cli, command: list[str]) -> None:
    daily = [*command, "--period", "daily"]
    items = cli(*daily, "--json").data["items"]
    found = list(csv.DictReader(io.StringIO(cli(*daily, "--csv").out)))
    assert len(found) == len(items) > 0
    for line, item in zip(found, items, strict=True):
        label = item.pop("instance")
        flat = {**{f"instance_{name}": value for name, value in label.items()}, **item}
        assert line == {name: in_csv(value) for name, value in flat.items()}


def in_csv(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_a_name_is_in_csv_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say(Report({}, (Csv([["name"], ['a,"b"\n\x1bc']]),)), json_wanted=False)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["name"], ['a,"b"\n\x1bc']]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("encoding", "line"), [("utf-8", "▁▃ ██"), ("ascii", "_- ##")])
def test_a_terminal_gets_the_blocks_that_it_can_draw(cli: Cli, encoding: str, line: str) -> None:
    code, drawn = on_a_terminal(cli, "growth", "shop", "orders", PYTHONIOENCODING=encoding)
    assert code == 0
    assert drawn.splitlines()[-1] == f"{line}  4.0 GiB to 8.0 GiB"


def test_no_name_in_csv_draws_on_a_terminal(cli: Cli, store: Store) -> None:
    sync(store, add_instance(store), {"a\x1b[31mb": 1}, moment(0))
    _, drawn = on_a_terminal(cli, "top", "--period", "daily", "--csv")
    assert "\x1b" not in drawn
    assert r"a\x1b[31mb" in drawn


def test_nothing_known_is_told_and_no_such_database_is_an_error(cli: Cli, store: Store) -> None:
    add_instance(store, "new")
    assert cli("growth", "new").out == "No daily sizes of new are known; run `capacity sync`\n"
    assert cli("top").out == "No monthly sizes are known; run `capacity aggregate`\n"
    assert cli("growth", "new", "--json").data["items"] == []
    assert len(cli("growth", "new", "--csv").out.splitlines()) == 1
    said = cli("growth", "new", "nope")
    assert (said.code, said.out) == (1, "")
    assert "no database named 'nope'" in said.err


@pytest.mark.usefixtures("shop")
def test_the_largest_and_the_fastest_of_all_instances(cli: Cli, store: Store) -> None:
    other = add_instance(store, "crm", port=1)
    for days_ago, size in ((1, 6 * GIB), (0, 7 * GIB)):
        sync(store, other, {"people": size}, moment(days_ago))

    def names(*options: str) -> list[tuple[str, str | None]]:
        items = cli("top", "--period", "daily", *options, "--json").data["items"]
        return [(item["instance"]["name"], item.get("database_name")) for item in items]

    assert names() == [("shop", "orders"), ("crm", "people")]
    assert names("--by", "growth") == [("crm", "people"), ("shop", "orders")]
    assert names("--by", "percent", "--limit", "1") == [("crm", "people")]
    assert names("--instances") == [("shop", None), ("crm", None)]
    assert names("--type", "mysql") == []
    assert names("--type", "pg") == names()
    refused = cli("top", "--type", "nosuch")
    assert (refused.code, refused.out) == (1, "")
    assert "Unknown db_type 'nosuch'; installed engines: " in refused.err
    assert len(names("--type", "mysql", "--type", "postgresql")) == 2
    headline, headers, *_ = cli("top", "--period", "daily", "--by", "percent").out.splitlines()
    assert headline == f"{day(0)} (running: it has not ended yet), by percent"
    assert (
        "Nothing is known to have grown"
        not in cli("top", "--period", "daily", "--by", "growth").out
    )
    assert cells(headers)[:3] == ["INSTANCE", "DATABASE", "AVERAGE"]


def test_that_nothing_grew_is_said(cli: Cli, store: Store) -> None:
    instance_id = add_instance(store, "shop")
    for days_ago, size in ((1, 6 * GIB), (0, 5 * GIB)):
        sync(store, instance_id, {"people": size}, moment(days_ago))
    for order, said in (("growth", True), ("percent", True), ("size", False)):
        drawn = cli("top", "--period", "daily", "--by", order).out
        assert ("Nothing is known to have grown" in drawn) is said


def test_a_narrow_terminal_breaks_names_and_nothing_else(cli: Cli, store: Store) -> None:
    instance_id = add_instance(store, "billing-primary.eu-west.example.org")
    for days_ago, size in ((1, 1234 * 10**9), (0, 1239 * 10**9)):
        sync(store, instance_id, {"customers_archive_2019": size}, moment(days_ago))
    code, drawn = on_a_terminal(cli, "top", "--period", "daily", COLUMNS="80")
    lines = re.sub("\x1b\\[[0-9;]*m", "", drawn).splitlines()
    assert code == 0
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split() == [
        "INSTANCE", "DATABASE", "AVERAGE", "LAST", "CHANGE", "PERCENT", "DAYS",
    ]  # fmt: skip
    assert "1.127 TiB  1.127 TiB  +4.7 GiB   +0.41%   1/1" in lines[2]


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (1023 * GIB, "1023.0 GiB"),
        (1024 * GIB, "1.000 TiB"),
        (1025 * GIB, "1.001 TiB"),
        (12 * 1024 * GIB, "12.00 TiB"),
        (500 * 1024 * GIB, "500.0 TiB"),
        (2 * 2**60, "2.000 EiB"),
    ],
)
def test_a_large_size_shows_what_changes(size: int, said: str) -> None:
    assert fine_size(size) == said


def test_the_latest_day_stands_in_for_a_day_without_sizes(cli: Cli, store: Store) -> None:
    instance_id = add_instance(store, "shop")
    for days_ago in (9, 5):
        sync(store, instance_id, {"orders": GIB}, moment(days_ago))
    (item,) = cli("top", "--period", "daily", "--json").data["items"]
    assert item["period_start"] == day(5)


def test_complete_periods_are_kept_by_aggregating(cli: Cli, store: Store) -> None:
    instance_id = add_instance(store, "shop")
    for days_ago in range(21):
        sync(store, instance_id, {"orders": GIB}, moment(days_ago))
    assert not any(
        item["data_count"] == 7 and not item["is_running"]
        for item in cli("growth", "shop", "--period", "weekly", "--json").data["items"]
    )
    said = cli("aggregate", "shop", "--from", day(20), "--period", "weekly")
    assert said.code == 0
    assert cells(said.out.splitlines()[0]) == ["PERIOD", "COMPLETED", "SKIPPED", "FAILED"]
    assert said.out.splitlines()[1].split()[::3] == ["weekly", "0"]
    whole = last_complete(PeriodType.WEEKLY, moment(0).day)
    weeks = cli("growth", "shop", "orders", "--period", "weekly", "--json").data["items"]
    kept = {item["period_start"]: item for item in weeks}
    assert kept[whole.start.isoformat()]["data_count"] == 7
    year, week, _ = whole.start.isocalendar()
    shown = cli("growth", "shop", "orders", "--period", "weekly").out
    assert f"{year}-W{week:02}" in shown


@pytest.mark.usefixtures("shop")
def test_aggregating_counts_and_says_what_range(cli: Cli) -> None:
    counts = cli("aggregate", "--json").data
    assert counts["failed"] == 0
    assert counts["failures"] == []
    # Yesterday and today, the last week, month and quarter, both levels; little is known of them.
    assert counts["completed"] + counts["skipped"] == 2 * (2 + 3 * 2)
    assert sum(each["count"] for each in counts["reasons"]) == counts["skipped"] > 0
    still = {"status": "skipped", "reason": "The period still runs: it is computed when read"}
    assert {**still, "count": 6} in counts["reasons"]
    assert "6 skipped: The period still runs" in cli("aggregate").out
    only = cli("aggregate", "shop", "--from", day(3), "--to", day(3), "--period", "daily", "--json")
    # That day, the empty one after it, and the one that compares with it.
    assert (only.data["completed"], only.data["skipped"]) == (4, 2)
    wrong = cli("aggregate", "--from", day(1), "--to", day(2))
    assert (wrong.code, f"{day(1)} is after {day(2)}" in wrong.err) == (1, True)
    future = cli("aggregate", "--from", day(-9))
    assert (future.code, f"after today ({day(0)})" in future.err) == (1, True)
    assert cli("aggregate", "nobody").code == 1
    assert cli("aggregate", "--period", "yearly").code == 2


def test_what_failed_is_named_and_the_exit_code_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    label = InstanceLabel(7, "shop\x1b", "postgresql")
    period = period_of(PeriodType.MONTHLY, moment(0).day)
    outcomes = [
        AggregationOutcome(label, AggregateLevel.DATABASE, period, status, 0, reason)
        for status, reason in (
            (AggregationStatus.COMPLETED, None),
            *[(AggregationStatus.FAILED, text("aggregation.failed"))] * 22,
        )
    ]
    report = report_of(summed_up(outcomes))
    say(report, json_wanted=False)
    out, err = capsys.readouterr()
    assert (report.exit_code, out) == (1, "")
    lines = err.splitlines()
    assert lines[1].split() == ["monthly", "1", "0", "22"]
    assert lines[2].startswith("failed: monthly databases of 'shop\\x1b' from ")
    assert lines[2].endswith("Aggregating failed: the service's log has the details")
    assert lines[-3:] == [
        "... and 2 more",
        "Counted is each period of an instance, its databases and its totals apart.",
        "Aggregated: 1 completed, 0 skipped, 22 failed",
    ]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "wrong",
    [
        ["growth", "shop", "--csv", "--json"],
        ["top", "--csv", "--json"],
        ["growth", "shop", "--limit", "201"],
        ["growth", "shop", "--limit", "0"],
        ["growth", "shop", "--period", "yearly"],
        ["top", "--by", "newest"],
        ["aggregate", "--from", "yesterday"],
        ["store", "prune"],
    ],
)
def test_wrong_usage_is_told(cli: Cli, wrong: list[str]) -> None:
    assert cli(*wrong).code == 2


def test_pruning_says_what_goes_and_dry_run_deletes_nothing(cli: Cli, store: Store) -> None:
    instance_id = add_instance(store, "shop")
    for days_ago in (900, 899, 898, 30, 0):
        sync(store, instance_id, {"orders": GIB, "stock": GIB}, moment(days_ago))
    counted = cli("store", "prune", "--older-than", "24mo", "--dry-run", "--json").data
    assert counted["rows"] == {"database_rows": 4, "instance_rows": 2, "runs": 0}
    assert counted["dry_run"] is True
    said = cli("store", "prune", "--older-than", "24mo")
    assert said.out == (
        "4 sizes of databases, 2 totals of instances and 0 runs from before "
        f"{counted['before']} were deleted\n"
    )
    pruned = cli("sizes", "shop", "--date", day(900)).out
    assert f"Days before {counted['before']} were pruned" in pruned
    assert "pruned" not in cli("sizes", "shop", "--date", day(20)).out
    assert cli("store", "status", "--json").data["store"]["pruned_before"] == counted["before"]
    assert counted["is_held_back"] is False
    short = cli("store", "prune", "--older-than", "1d", "--dry-run")
    assert short.out.splitlines()[1].startswith("No later: the running quarter and the one before")
    history = cli("sizes", "shop", "--history", "orders", "--json").data["history"]
    assert [row["collected_date"] for row in history] == [day(0), day(30), day(898)]
    quarters = cli("growth", "shop", "--period", "quarterly", "--json").data["items"]
    assert quarters[0]["period_end"] >= day(900)
    again = cli("store", "prune", "--older-than", "24mo", "--json").data["rows"]
    assert again == {"database_rows": 0, "instance_rows": 0, "runs": 0}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("age", ["1w", "0d", "", "2 years"])
def test_a_wrong_age_is_told(cli: Cli, age: str) -> None:
    said = cli("store", "prune", "--older-than", age)
    assert said.code == 1
    assert "90d, 24mo, 2y" in said.err
