"""What each command does, and how it says so."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from capacity_adapters.cli.output import human_size


def sizes_in(folder: Path, *names: str) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in names}


def test_a_folder_is_registered_under_its_name_and_synced(cli: Cli, folder: Path) -> None:
    said = cli("sync", "sqlite:///dbs")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].split() == ["DATABASE", "SIZE", "HOW"]
    assert [line.split()[0] for line in lines[1:4]] == ["shop.db", "stock.sqlite", "broken.db"]
    assert lines[3].split()[1:3] == ["-", "invalid"]
    assert lines[4].startswith("invalid: The database is damaged")
    assert lines[5].startswith("Total: ")
    assert lines[5].endswith("in 2 databases, and 1 without a size")
    assert said.err == f"Syncing dbs (sqlite at {folder}) ...\n"


def test_the_same_url_is_the_same_instance(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    for target in ("sqlite:///dbs", f"sqlite:///{folder}", "dbs", "1"):
        assert cli("sync", target, "--json").code == 0
    [only] = cli("instance", "list", "--json").data["instances"]
    assert (only["id"], only["name"], only["path"]) == (1, "dbs", str(folder))


def test_another_folder_of_the_same_name_gets_a_number(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    (cli.home / "more").mkdir()
    folder.rename(cli.home / "more" / "dbs")
    cli("sync", "sqlite:///more/dbs")
    names = [kept["name"] for kept in cli("instance", "list", "--json").data["instances"]]
    assert names == ["dbs", "dbs-2"]


def test_json_has_the_envelope_and_exact_bytes(cli: Cli, folder: Path) -> None:
    result = cli("sync", "sqlite:///dbs", "--json").data["result"]
    sizes = {entry["database_name"]: entry["size_bytes"] for entry in result["databases"]}
    assert sizes == sizes_in(folder, "shop.db", "stock.sqlite")
    assert result["total_size_bytes"] == sum(sizes.values())
    assert [entry["database_name"] for entry in result["unmeasured"]] == ["broken.db"]


def test_a_failed_sync_says_reason_and_hint(cli: Cli) -> None:
    said = cli("sync", "sqlite:///nowhere")
    assert (said.code, said.out) == (1, "")
    assert "error: Could not connect to instance nowhere\n" in said.err
    assert "path_missing: The path is missing or unreadable" in said.err


@pytest.mark.parametrize("target", ["nobody", "7", "9" * 30, "sqlite:///dbs/shop.db"])
@pytest.mark.parametrize("command", [["sync"], ["sizes"], ["instance", "show"]])
def test_an_unknown_target_is_told(cli: Cli, target: str, command: list[str]) -> None:
    if (command, target) == (["sync"], "sqlite:///dbs/shop.db"):
        return  # a URL is registered by sync
    said = cli(*command, target)
    assert (said.code, said.out) == (1, "")
    assert "No instance" in said.err
    assert len(said.err.splitlines()) <= 2


def test_kept_sizes_are_shown(cli: Cli, folder: Path) -> None:
    day = cli("sync", "sqlite:///dbs", "--json").data["result"]["databases"][0]["collected_date"]
    said = cli("sizes", "dbs")
    assert said.out.count(day) == 3
    assert "broken.db" in said.out
    assert "invalid" in said.out
    assert said.out.splitlines()[-1].endswith("in 2 databases, and 1 without a size")
    assert cli("sizes", "dbs", "--date", day).out.splitlines()[0] == f"dbs on {day}"
    data = cli("sizes", f"sqlite:///{folder}", "--date", day, "--json").data
    sizes = {row["database_name"]: row["size_bytes"] for row in data["databases"]}
    assert sizes == {**sizes_in(folder, "shop.db", "stock.sqlite"), "broken.db": None}
    assert data["total"]["measured_count"] == 2


def test_how_a_size_was_found_out_is_shown_with_it(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    (folder / "shop.db").write_bytes(b"damaged")
    cli("sync", "dbs")
    day = cli("sizes", "dbs", "--json").data["day"]["collected_date"]
    headers, *lines = cli("sizes", "dbs").out.splitlines()
    assert headers.split("  ")[-1] == "OUTCOME"
    assert "METHOD" in headers
    assert "USED" not in headers  # no file tells it
    assert lines[-2] == f"2 of 3 databases have a size of {day}"
    assert f"2 of 3 databases have a size of {day}" in cli("sizes", "dbs", "--date", day).out


def test_a_days_total_is_the_days_own(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    (folder / "shop.db").unlink()
    cli("sync", "dbs")
    day = cli("sizes", "dbs", "--json").data["day"]["collected_date"]
    lines = cli("sizes", "dbs", "--date", day).out.splitlines()
    assert [line.split()[0] for line in lines if "(gone)" in line] == ["shop.db", "(gone):"]
    left = human_size((folder / "stock.sqlite").stat().st_size)
    assert lines[-2:] == [f"1 of 2 databases have a size of {day}", f"Total: {left}"]
    [store] = (cli.home / "share").rglob("*.db")
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE instance_size_stats SET carried_size_bytes = 2048")
    total = cli("sizes", "dbs", "--date", day).out.splitlines()[-1]
    assert total.endswith(" KiB, 2.0 KiB of it carried from earlier days")


def test_a_later_failure_shows_beside_the_size_it_left_alone(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    (folder / "stock.sqlite").write_bytes(b"damaged")
    cli("sync", "dbs")
    [line] = [line for line in cli("sizes", "dbs").out.splitlines() if "stock" in line]
    assert re.search(r" sqlite\.file_size +live +\d+ ms +invalid$", line)


def test_a_day_that_does_not_compare_with_the_one_before_is_marked(cli: Cli, folder: Path) -> None:
    cli("instance", "add", "--url", f"sqlite:///{folder}")
    cli("sync", "dbs")
    [store] = (cli.home / "share").rglob("*.db")
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(
            "INSERT INTO database_size_stats (instance_id, database_name, collected_date,"
            " size_bytes, ceiling_bytes, method, collected_at, last_outcome, last_attempt_at)"
            " SELECT instance_id, database_name, '2020-01-02', 5, 2048, 'another', collected_at,"
            " last_outcome, last_attempt_at FROM database_size_stats"
            " WHERE database_name = 'shop.db'"
        )
    said = cli("sizes", "dbs").out
    assert [line.split()[0] for line in said.splitlines() if "(changed)" in line] == [
        "shop.db",
        "(changed):",
    ]
    history = cli("sizes", "dbs", "--history", "shop.db").out.splitlines()
    assert history[0].split() == [
        *("DATE", "SIZE", "CEILING", "METHOD", "FRESHNESS", "TOOK", "OUTCOME")
    ]
    assert "sqlite.file_size (changed)" in history[1]
    old = ["2020-01-02", "5", "B", "2.0", "KiB", "another", "-", "-", "measured"]
    assert history[2].split() == old
    assert "do not compare" in history[3]
    assert "(changed)" not in cli("sizes", "dbs", "--date", "2020-01-02").out


def test_what_no_longer_counts_is_in_no_list_of_the_present(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    (folder / "stock.sqlite").unlink()
    cli("instance", "edit", "dbs", "--exclude", "broken*")
    said = cli("sync", "dbs").out
    assert "Left out: 1 database (rule: exclude: broken*)" in said
    assert "stock" not in cli("sizes", "dbs").out
    assert "broken" not in cli("sizes", "dbs").out
    assert cli("instance", "edit", "dbs").code == 2


@pytest.mark.usefixtures("folder")
def test_no_sizes_are_no_failure(cli: Cli) -> None:
    cli("instance", "add", "--url", "sqlite:///dbs")
    said = cli("sizes", "dbs").out
    assert said == "No database of dbs is known; run `capacity sync dbs`\n"
    assert cli("sizes", "dbs", "--date", "2020-01-01").out == "No sizes of dbs on 2020-01-01\n"


def test_the_history_of_one_database(cli: Cli, folder: Path) -> None:
    cli("sync", "sqlite:///dbs")
    [row] = cli("sizes", "dbs", "--history", "shop.db", "--json").data["history"]
    assert row["size_bytes"] == (folder / "shop.db").stat().st_size
    assert "sqlite.file_size" in cli("sizes", "dbs", "--history", "shop.db").out
    said = cli("sizes", "dbs", "--history", "shp.db")
    assert (said.code, "'shp.db'" in said.err) == (1, True)
    assert cli("sizes", "dbs", "--history", "shop.db", "--date", "2020-01-01").code == 2


def test_an_instance_is_added_changed_and_removed(cli: Cli) -> None:
    added = cli(
        *("instance", "add", "--name", "shop", "--db-type", "pg", "--host", "10.0.0.1"),
        *("--username", "eve", "--exclude", "tmp_*", "--exclude", "old", "--ignore-case"),
        *("--tls", "verify-full", "--tls-ca", "/ca.pem", "--timezone", "Asia/Shanghai"),
        *("--tls-cert", "/us.pem", "--tls-key", "/us.key"),
        *("--password-ref", "env:CAPACITY_SECRET_SHOP", "--description", "the shop", "--json"),
    ).data["instance"]
    assert added == {
        **added,
        "name": "shop",
        "db_type": "postgresql",
        "host": "10.0.0.1",
        "port": 5432,
        "path": None,
        "username": "eve",
        "database_name": None,
        "password_ref": "env:CAPACITY_SECRET_SHOP",
        "has_password": False,
        "timezone": "Asia/Shanghai",
        "filters": {"exclude": ["tmp_*", "old"], "include": [], "ignore_case": True},
        "tls": {
            "mode": "verify-full",
            "ca": "/ca.pem",
            "cert": "/us.pem",
            "key": "/us.key",
            "state": "verified",
        },
        "description": "the shop",
        "is_active": True,
        "last_sync": None,
    }
    edited = cli(
        *("instance", "edit", "shop", "--exclude", "", "--timezone", "", "--tls-ca", ""),
        *("--tls-cert", "", "--tls-key", ""),
        *("--port", "5433", "--no-ignore-case", "--password-ref", "", "--json"),
    ).data["instance"]
    assert edited == {
        **added,
        "port": 5433,
        "timezone": None,
        "password_ref": None,
        "filters": {"exclude": [], "include": [], "ignore_case": False},
        "tls": {"mode": "verify-full", "ca": None, "cert": None, "key": None, "state": "verified"},
        "updated_at": edited["updated_at"],
    }
    assert cli("instance", "disable", "shop", "--json").data["instance"]["is_active"] is False
    assert cli("instance", "enable", "shop", "--json").data["instance"]["is_active"] is True
    assert "10.0.0.1:5433" in cli("instance", "list").out
    assert "verify-full" in cli("instance", "show", "shop").out
    assert cli("instance", "remove", "shop").out == "Instance shop removed (id 1)\n"
    assert cli("instance", "show", "shop").code == 1
    assert cli("instance", "list", "--json").data["instances"] == []


def test_a_relative_path_is_kept_from_the_root(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.chdir(folder.parent)
    files = ("--tls-ca", "ca.pem", "--tls-cert", "us.pem", "--tls-key", "us.key")
    server = cli("instance", "add", "--url", "pg://h/", *files, "--json").data["instance"]
    assert {server["tls"][name] for name in ("ca", "cert", "key")} == {
        str(folder.parent / name) for name in files[1::2]
    }
    place = ("--name", "files", "--db-type", "sqlite", "--path", folder.name)
    kept = cli("instance", "add", *place, "--json").data["instance"]
    assert kept["path"] == str(folder)


@pytest.mark.parametrize(
    "option",
    [
        ("--db-type", "mysql"),
        ("--host", "other"),
        ("--port", "5433"),
        ("--path", "/x"),
        ("--username", "adam"),
        ("--database-name", "stock"),
    ],
)
def test_what_the_url_says_is_not_said_twice(cli: Cli, option: tuple[str, str]) -> None:
    said = cli("instance", "add", "--url", "pg://eve@h/shop", *option)
    assert (said.code, option[0] in said.err) == (2, True)
    assert cli("instance", "list", "--json").data["instances"] == []


def test_what_the_url_leaves_open_is_given_beside_it(cli: Cli) -> None:
    beside = ("--username", "eve", "--database-name", "shop", "--json")
    added = cli("instance", "add", "--url", "pg://h/", *beside).data["instance"]
    assert (added["username"], added["database_name"]) == ("eve", "shop")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--name", "123", "--url", "mysql://host/"], "name"),
        (["--name", "x", "--db-type", "dbase", "--host", "h"], "db_type"),
        (["--name", "x", "--db-type", "mysql"], "host"),
        (["--name", "x", "--db-type", "mysql", "--host", "/run/sock"], "host"),
        (["--name", "x", "--db-type", "mysql", "--host", "h", "--port", "70000"], "port"),
        (["--name", "x", "--db-type", "mysql", "--path", "/x", "--host", "h"], "path"),
        (["--url", "mysql://h/", "--timezone", "Mars"], "timezone"),
        (["--url", "mysql://h/", "--include", "a\\"], "filters.include[0]"),
        (["--url", "mysql://h/", "--password-ref", "s3cret"], "password_ref"),
        (["--url", "mysql://h/?x=1"], "target"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_kept(
    cli: Cli, arguments: list[str], field: str
) -> None:
    said = cli("instance", "add", *arguments, "--json")
    assert (said.code, said.document["message_code"]) == (1, "VALIDATION_ERROR")
    assert said.document["extra"] == {"field": field}
    assert cli("instance", "list", "--json").data["instances"] == []


def test_a_taken_name_is_a_conflict(cli: Cli) -> None:
    cli("instance", "add", "--url", "mysql://h1/", "--name", "shop")
    said = cli("instance", "add", "--url", "mysql://h2/", "--name", "shop", "--json")
    assert (said.code, said.document["message_code"]) == (1, "CONSTRAINT_VIOLATION")


def test_another_user_of_the_same_server_is_refused_with_the_way_out(cli: Cli) -> None:
    cli("instance", "add", "--url", "postgresql://eve@127.0.0.1:1/", "--name", "shop")
    said = cli("sync", "postgresql://adam@127.0.0.1:1/")
    assert said.code == 1
    assert "capacity instance edit shop --username" in said.err
    assert len(cli("instance", "list", "--json").data["instances"]) == 1


def test_tokens_are_made_listed_and_revoked(cli: Cli) -> None:
    token = cli("token", "create", "ci", "--scope", "update", "--json").document["token"]
    assert cli("token", "create", "eve", "--scope", "view").out.startswith("cap_")
    assert cli("token", "create", "ci", "--scope", "view").code == 1
    listed = cli("token", "list", "--json")
    assert token not in listed.out
    assert [kept["name"] for kept in listed.data["tokens"]] == ["ci", "eve"]
    assert cli("token", "revoke", "ci").code == 0
    assert cli("token", "revoke", "ci").code == 1
    assert cli("token", "create", "x", "--scope", "root").code == 2
    for name in ("", " ", "x" * 256):
        assert cli("token", "create", name, "--scope", "view").code == 1


def kept_bytes(cli: Cli) -> bytes:
    return b"".join(path.read_bytes() for path in (cli.home / "share").rglob("capacity.db*"))


@pytest.mark.parametrize("way", ["--password-env", "--password-file", "url"])
def test_a_password_given_to_add_is_sealed_and_never_shown(
    cli: Cli, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2-s3cret")
    (cli.home / "pw").write_text("hunter2-s3cret\n")
    login = "eve:hunter2-s3cret" if way == "url" else "eve"
    options = {"--password-env": ["SHOP_PASSWORD"], "--password-file": ["pw"], "url": []}[way]
    given = [way, *options] if options else []
    said = cli("instance", "add", "--url", f"mysql://{login}@127.0.0.1:1/", *given)
    assert said.code == 0, said
    assert ("remember a password in a URL" in said.err) is (way == "url")
    failed = cli("sync", "127.0.0.1:1")
    assert "refused" in failed.err
    shown = cli("instance", "show", "1", "--json")
    assert shown.data["instance"]["has_password"] is True
    everything = said.out + said.err + failed.out + failed.err + shown.out
    assert "hunter2" not in everything
    assert b"hunter2" not in kept_bytes(cli)


def test_a_password_that_never_connected_is_not_kept(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2-s3cret")
    url = "postgresql://eve@127.0.0.1:1/"
    assert cli("sync", url, "--password-env", "SHOP_PASSWORD").code == 1
    [kept] = cli("instance", "list", "--json").data["instances"]
    assert kept["has_password"] is False


@pytest.mark.parametrize(
    "options",
    [
        ["--password-env", "NOT_SET"],
        ["--password-file", "nowhere"],
        ["--password-env", "HOME", "--password-file", "x"],
        ["--deadline", "0"],
        ["--deadline", "nan"],
        ["--deadline", "soon"],
        ["--tls", "maybe"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_is_told_and_exits_2(cli: Cli, options: list[str]) -> None:
    said = cli("sync", "postgresql://eve@127.0.0.1:1/", *options)
    assert (said.code, said.out) == (2, "")
    assert "Usage: capacity sync" in said.err
    assert not (cli.home / "share").exists() or kept_instances(cli) == []


def kept_instances(cli: Cli) -> list[object]:
    found: list[object] = cli("instance", "list", "--json").data["instances"]
    return found


def test_tls_options_are_kept_with_the_instance(cli: Cli) -> None:
    cli("sync", "postgresql://eve@127.0.0.1:1/", "--tls", "verify-ca", "--tls-ca", "/ca.pem")
    cli("sync", "postgresql://eve@127.0.0.1:1/")
    [kept] = cli("instance", "list", "--json").data["instances"]
    assert kept["tls"] == {
        "mode": "verify-ca",
        "ca": "/ca.pem",
        "cert": None,
        "key": None,
        "state": "verified",
    }


def test_the_store_says_its_state_and_is_made_on_demand(cli: Cli) -> None:
    before = cli("store", "status", "--json").data["store"]
    assert before["state"] in {"missing", "empty"}
    assert "up to date" in cli("store", "upgrade").out
    after = cli("store", "status", "--json").data["store"]
    assert (after["state"], after["version"]) == ("current", after["needed"])
    assert "current" in cli("store", "status").out


@pytest.mark.usefixtures("folder")
def test_another_store_is_chosen_by_option_or_variable(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{cli.home}/other.db"
    cli("sync", "sqlite:///dbs", "--store", url)
    assert kept_instances(cli) == []
    monkeypatch.setenv("CAPACITY_STORE_URL", url)
    assert len(kept_instances(cli)) == 1


def unusable(cli: Cli, kind: str) -> str:
    path = cli.home / "kept.db"
    if kind == "folder missing":
        return f"sqlite:///{cli.home}/nowhere/kept.db"
    if kind == "not a database":
        path.write_bytes(b"something else entirely" * 100)
    elif kind == "somebody else's":
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE theirs (x)")
    elif kind == "newer":
        cli("store", "upgrade", "--store", f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE capacity_store_version SET version_num = '9999'")
    return f"sqlite:///{path}"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", ["folder missing", "not a database", "somebody else's", "newer"])
@pytest.mark.parametrize("command", [["sync", "sqlite:///dbs"], ["instance", "list"]])
def test_a_store_that_cannot_be_used_is_one_line_that_names_it(
    cli: Cli, kind: str, command: list[str]
) -> None:
    url = unusable(cli, kind)
    said = cli(*command, "--store", url)
    assert (said.code, said.out) == (1, "")
    [line] = said.err.splitlines()
    assert line.startswith("error: ")
    assert "kept.db" in line


def test_a_locked_store_is_told(cli: Cli) -> None:
    path = cli.home / "kept.db"
    store = ("--store", f"sqlite:///{path}?timeout=0.2")
    cli("store", "upgrade", *store)
    with closing(sqlite3.connect(path)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        said = cli("instance", "add", "--url", "mysql://h/", *store)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert "kept.db" in said.err


@pytest.mark.parametrize("variable", ["CAPACITY_TIMEZONE", "CAPACITY_STORE_URL"])
def test_a_wrong_setting_is_told_before_anything_is_done(
    cli: Cli, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "Mars")
    said = cli("instance", "list")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: {variable}")
    assert not (cli.home / "share").exists()


def test_a_demo_that_cannot_be_written_says_where(cli: Cli) -> None:
    (cli.home / "demo").touch()
    said = cli("demo")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: The demo cannot write to {cli.home}/demo/databases: ")


def test_the_demo_shows_three_databases_and_what_works_next(cli: Cli) -> None:
    said = cli("demo")
    assert said.code == 0
    names = [line.split()[0] for line in said.out.splitlines()[1:4]]
    assert names == ["weather.db", "shop.db", "library.db"]
    first = sizes_in(cli.home / "demo" / "databases", *names)
    again = cli("demo", "--json").data["result"]
    assert {entry["database_name"]: entry["size_bytes"] for entry in again["databases"]} == first
    steps = [line.split()[1:] for line in said.out.splitlines() if "sqlite:///demo" in line]
    assert len(steps) == 3
    for step in steps:
        assert cli(*step).code == 0


@pytest.mark.parametrize("content", [b"a\0b", b"\xff", b"x" * 70_000])
def test_a_password_that_no_driver_could_send_is_wrong_usage(cli: Cli, content: bytes) -> None:
    (cli.home / "secret").write_bytes(content)
    said = cli("sync", "postgresql://eve@127.0.0.1:1/", "--password-file", "secret")
    assert (said.code, said.out) == (2, "")
    assert "--password-file" in said.err


@pytest.mark.parametrize("written", ["a%00b", "a%FFb"])
def test_nor_may_a_url_hold_one(cli: Cli, written: str) -> None:
    said = cli("sync", f"postgresql://eve:{written}@127.0.0.1:1/")
    assert (said.code, said.out) == (1, "")
    assert "its password is no text" in said.err


def test_a_password_may_come_through_a_pipe(cli: Cli) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"hunter2\n")
    os.close(theirs)
    said = cli("sync", "postgresql://eve@127.0.0.1:1/", "--password-file", f"/dev/fd/{ours}")
    os.close(ours)
    assert "unreachable" in said.err or "refused" in said.err, said


def test_a_kept_text_cannot_draw_on_the_terminal(cli: Cli) -> None:
    path = str(cli.home / "a\x1b[2J")
    cli("instance", "add", "--name", "y", "--db-type", "sqlite", "--path", path)
    for said in (cli("instance", "list"), cli("sync", "y"), cli("instance", "show", "y")):
        assert "\x1b" not in said.out + said.err
        assert r"\x1b[2J" in said.out + said.err


@pytest.mark.parametrize(
    "store",
    [
        "sqlite:///x.db?timeout=abc",
        "sqlite:///x.db?timeout=nan",
        "sqlite:///x.db?foo=bar",
        "sqlite://host/x.db",
        "sqlite:///%00",
        "postgresql://eve:a%00b@127.0.0.1:1/db",
    ],
)
@pytest.mark.parametrize("command", [["store", "status"], ["instance", "list"]])
def test_a_url_that_names_no_store_is_told(cli: Cli, command: list[str], store: str) -> None:
    said = cli(*command, "--store", store)
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: A store is sqlite:///file or postgresql://user@host/database\n"


def test_the_level_is_added_and_changed(cli: Cli) -> None:
    url = "oracle://reader@db.example/shop.example.com"
    added = cli("instance", "add", "--url", url, "--level", "tablespace", "--json").data["instance"]
    assert (added["level"], added["database_name"]) == ("tablespace", "shop.example.com")
    changed = cli("instance", "edit", "db.example:1521", "--level", "database", "--json")
    assert changed.data["instance"]["level"] == "database"
    refused = cli("instance", "add", "--url", "pg://me@db.example", "--level", "tablespace")
    assert (refused.code, "level does not apply" in refused.err) == (1, True)
