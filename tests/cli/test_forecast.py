"""Time to full and limits at the command line."""

import csv
import io
from datetime import UTC, datetime, timedelta

import click
import pytest
from tests.cli.conftest import Cli, on_a_terminal
from tests.stores import Found, add_instance, sync

from capacity_adapters.cli.forecast import NO_SCORE, range_of
from capacity_adapters.cli.limits import parsed_size
from capacity_adapters.store import Store
from capacity_core.model import DatabaseSize, Moment

GIB = 2**30
DAYS = 32


def day(ahead: int) -> str:
    return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()


@pytest.fixture
def shop(store: Store) -> int:
    """Keep a month of two lines, of which the engine tells one ceiling, and a new database."""
    instance_id = add_instance(store, "shop")
    for number in range(DAYS):
        at = datetime.now(UTC) + timedelta(days=number + 1 - DAYS)
        ceiling = 2 * (10 + DAYS) * GIB
        orders = DatabaseSize("orders", (11 + number) * GIB, "m", ceiling_bytes=ceiling)
        found: Found = {"orders": orders, "stock": (20 + 2 * number) * GIB}
        young: Found = {"new": 5} if number == DAYS - 1 else {}
        sync(store, instance_id, {**found, **young}, Moment(at, at.date()))
    return instance_id


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.mark.usefixtures("shop")
def test_the_soonest_full_comes_first(cli: Cli) -> None:
    assert cli("limit", "set", "shop", "stock", "102GiB").code == 0
    assert cli("limit", "set", "shop", "1TiB").code == 0
    headers, *lines = cli("forecast", "shop").out.splitlines()
    assert cells(headers) == [
        "DATABASE", "SIZE", "CEILING", "GROWTH A DAY", "ITS RANGE", "FULL ON", "BETWEEN", "WINDOW",
    ]  # fmt: skip
    [whole, stock, orders, new] = map(cells, lines[:4])
    assert whole[:3] == ["(whole instance)", "124.0 GiB", "1.0 TiB"]
    assert stock == [
        "stock", "82.0 GiB", "102.0 GiB", "+2.0 GiB", "+1.9 GiB to +2.1 GiB",
        day(10), f"{day(10)} to {day(11)}", "30 days",
    ]  # fmt: skip
    assert orders[5:7] == [day(DAYS + 10), f"{day(DAYS + 9)} to {day(DAYS + 12)}"]
    assert new == ["new", "5 B", "-", "-", "-", "no ceiling", "-", "-"]
    assert lines[4].startswith("Ranges are meant to hold in 8 of 10 cases")
    assert lines[5:] == [
        "No ceiling is known: `capacity limit set shop [DATABASE] 500GiB` sets one."
    ]
    assert cli("limit", "set", "shop", "new", "1GiB").code == 0
    assert cli("forecast", "shop", "new").out.splitlines()[2:] == [
        "Not enough data: it takes sizes on at least 7 days, with 3 changes."
    ]


@pytest.mark.usefixtures("shop")
def test_a_narrow_terminal_breaks_no_date_and_no_number(cli: Cli) -> None:
    assert cli("limit", "set", "shop", "1TiB").code == 0
    assert cli("limit", "set", "shop", "stock", "102GiB").code == 0
    code, drawn = on_a_terminal(cli, "forecast", "shop", COLUMNS="80")
    lines = click.unstyle(drawn).splitlines()
    assert (code, lines[0].split()) == (
        0,
        ["DATABASE", "SIZE", "GROWTH", "A", "DAY", "FULL", "ON", "BETWEEN"],
    )
    assert max(map(len, lines[:4])) <= 80
    assert lines[1].startswith("(whole instance)")
    stock = next(line for line in lines if "stock" in line)
    assert f"{day(10)} to {day(11)}" in stock
    wide = on_a_terminal(cli, "forecast", "shop", COLUMNS="200")[1]
    assert "CEILING" in wide
    assert "WINDOW" in wide


def test_old_sizes_and_what_was_over_are_told(cli: Cli, store: Store) -> None:
    instance_id = add_instance(store, "old")
    for number in range(DAYS):
        at = datetime.now(UTC) + timedelta(days=number - DAYS - 19)
        sizes: Found = {"peak": 90 * GIB if number % 7 == 5 else 10 * GIB + number}
        sync(store, instance_id, sizes, Moment(at, at.date()))
    assert cli("limit", "set", "old", "peak", "80GiB").code == 0
    headers, line, *_ = cli("forecast", "old").out.splitlines()
    row = dict(zip(cells(headers), cells(line), strict=True))
    over_on = day(26 - DAYS - 19)
    assert (row["AS OF"], row["WAS OVER ON"]) == (day(-20), over_on)
    [found] = cli("forecast", "old", "--json").data["databases"]
    assert found["over_on"] == over_on
    assert found["message"].endswith(
        f"; it was at its ceiling or above on {over_on} (as of {day(-20)})"
    )


@pytest.mark.usefixtures("shop")
def test_a_dropped_database_is_told_from_one_never_seen(cli: Cli, store: Store, shop: int) -> None:
    sync(store, shop, {"orders": 5}, Moment(datetime.now(UTC), datetime.now(UTC).date()))
    said = cli("forecast", "shop", "stock")
    assert said.code == 1
    assert "'stock' was dropped, or is left out" in said.err
    assert said.err.endswith(f"the last day kept of it is {day(0)}\n")
    assert "'nobody'" in cli("forecast", "shop", "nobody").err
    assert cli("limit", "set", "shop", "stock", "1GiB").out == (
        "stock may become 1.0 GiB; it was dropped or is left out, so nothing is forecast\n"
    )


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (GIB, 2 * GIB, "+1.0 GiB to +2.0 GiB"),
        (GIB, GIB + 2**25, "+1.00 GiB to +1.03 GiB"),
        (GIB, GIB + 2**21, "+1.000 GiB to +1.002 GiB"),
        (-5, 5, "-5 B to +5 B"),
    ],
)
def test_the_ends_of_a_range_are_told_apart(low: int, high: int, said: str) -> None:
    assert range_of(low, high) == said


@pytest.mark.usefixtures("shop")
def test_one_database_is_asked_for(cli: Cli) -> None:
    [row] = cli("forecast", "shop", "orders", "--json").data["databases"]
    assert (row["database_name"], row["ceiling_source"], row["window_days"]) == (
        "orders", "engine", 30,
    )  # fmt: skip
    assert (row["full_on"], row["message"][:8]) == (day(DAYS + 10), "Full on ")
    for arguments in (["shop", "nobody"], ["nobody"], ["shop", "nobody", "--backtest"]):
        assert cli("forecast", *arguments).code == 1


@pytest.mark.usefixtures("store")
def test_an_instance_without_databases_says_so(cli: Cli, store: Store) -> None:
    add_instance(store, "empty")
    said = cli("forecast", "empty")
    assert (said.code, said.out) == (0, "No database of empty is known; run `capacity sync`\n")


@pytest.mark.usefixtures("shop")
def test_csv_has_exact_bytes(cli: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("forecast", "shop", "--csv").out)))
    assert [row["database_name"] for row in rows] == ["orders", "stock", "new"]
    [orders, _, new] = rows
    assert (orders["size_bytes"], orders["bytes_per_day"]) == (str(42 * GIB), str(GIB))
    assert (orders["status"], orders["full_on"]) == ("full_on", day(DAYS + 10))
    assert (new["status"], new["full_on"], new["bytes_per_day"]) == ("no_ceiling", "", "")
    [week, month] = csv.DictReader(
        io.StringIO(cli("forecast", "shop", "orders", "--backtest", "--csv").out)
    )
    assert (week["horizon_days"], week["median_error_percent"]) == ("7", "0.0")
    assert (month["predictions"], month["within_percent"]) == ("0", "")
    assert cli("forecast", "shop", "--csv", "--json").code == 2


@pytest.mark.usefixtures("shop")
def test_a_backtest_says_how_good_forecasts_were(cli: Cli) -> None:
    headers, week, month = cli("forecast", "shop", "--backtest").out.splitlines()
    assert cells(headers) == ["AHEAD", "PREDICTIONS", "MEDIAN ERROR", "WITHIN THE RANGE"]
    assert cells(week) == ["7 days", "38", "0.00%", "100%"]
    assert cells(month) == ["30 days", "0", "-", "-"]
    assert cli("forecast", "shop", "new", "--backtest").out == f"{NO_SCORE}\n"
    data = cli("forecast", "shop", "orders", "--backtest", "--json").data
    assert (data["database_name"], data["backtest"][0]["predictions"]) == ("orders", 19)


@pytest.mark.usefixtures("shop")
def test_limits_are_set_listed_and_removed(cli: Cli) -> None:
    assert cli("limit", "set", "shop", "1.5TB").out == "(whole instance) may become 1.4 TiB\n"
    assert cli("limit", "set", "shop", "orders", "1 GiB").out == "orders may become 1.0 GiB\n"
    headers, *lines = cli("limit", "list", "shop").out.splitlines()
    assert cells(headers) == ["DATABASE", "LIMIT", "BYTES"]
    assert list(map(cells, lines)) == [
        ["(whole instance)", "1.4 TiB", "1500000000000"],
        ["orders", "1.0 GiB", str(GIB)],
    ]
    assert "already over" in cli("forecast", "shop", "orders").out
    assert cli("limit", "remove", "shop", "orders").out == "orders has no limit any more\n"
    assert cli("limit", "remove", "shop", "--json").data["database_name"] is None
    assert cli("limit", "list", "shop", "--json").data["limits"] == []
    assert cli("limit", "list", "shop").out == (
        "No limit is set; `capacity limit set shop [DATABASE] 500GiB` sets one\n"
    )
    said = cli("limit", "remove", "shop")
    assert (said.code, said.err) == (1, "error: No such limit is set\n")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["shop"], 2),
        (["shop", "orders"], 2),
        (["shop", "orders", "stock", "1"], 2),
        (["shop", "0"], 1),
        (["shop", "8EiB"], 1),
        (["shop", "nobody", "1"], 1),
        (["nobody", "1"], 1),
    ],
)
def test_what_is_no_limit_is_refused(cli: Cli, arguments: list[str], code: int) -> None:
    assert cli("limit", "set", *arguments).code == code
    assert cli("limit", "set", *arguments, "--json").document["success"] is False
    assert cli("limit", "list", "shop", "--json").data["limits"] == []


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("0", 0),
        ("1000000", 1_000_000),
        ("7B", 7),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("0.3 KiB", 307),
        ("500GiB", 500 * GIB),
        ("1.5 tb", 1_500_000_000_000),
        ("2PB", 2 * 10**15),
        ("2PiB", 2 * 2**50),
        ("9007199254740993", 2**53 + 1),
        ("1.000000000001TB", 10**12 + 1),
        ("7.999999999999999999EiB", 2**63 - 2),
    ],
)
def test_sizes_are_read_exactly(said: str, size: int) -> None:
    assert parsed_size(said) == size


@pytest.mark.parametrize(
    "said", ["", "GiB", "-1", "1e9", "1,5GB", ".5GB", "1 XB", "1gi", "٣GB", "inf", "1" * 21]
)
def test_what_is_no_size_is_refused(said: str) -> None:
    with pytest.raises(click.BadParameter):
        parsed_size(said)
