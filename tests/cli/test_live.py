"""The command against real servers, and with a PostgreSQL store."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
import pytest
from tests.cli.conftest import Cli
from tests.servers import HOST, Server
from tests.targets import mariadb_admin

pytestmark = pytest.mark.live


@contextmanager
def a_login(server: Server, password: str) -> Iterator[str]:
    """Lend a PostgreSQL login that may read all sizes."""
    name = f"reader_{uuid4().hex[:8]}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'".encode())
        connection.execute(f"GRANT pg_read_all_stats TO {name}".encode())
        try:
            yield name
        finally:
            connection.execute(f"DROP ROLE {name}".encode())


def sizes_of(server: Server) -> dict[str, int]:
    with psycopg.connect(server.url("postgres")) as connection:
        rows = connection.execute(
            "SELECT datname, pg_database_size(oid) FROM pg_database WHERE NOT datistemplate"
        ).fetchall()
    return dict(rows)


def test_a_password_is_kept_once_it_connected(
    cli: Cli, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_login(postgres, "right-s3cret") as login:
        url = f"postgresql://{login}@{postgres.host}:{postgres.port}/"
        monkeypatch.setenv("WRONG", "wrong-s3cret")
        monkeypatch.setenv("RIGHT", "right-s3cret")
        wrong = cli("sync", url, "--password-env", "WRONG")
        assert (wrong.code, "auth_failed" in wrong.err) == (1, True)
        right = cli("sync", url, "--password-env", "RIGHT", "--json")
        assert right.code == 0, right
        measured = right.data["result"]["databases"]
        again = cli("sync", url)  # without a password: the kept one is used
        assert again.code == 0, again
        broken = cli("sync", url, "--password-env", "WRONG", "--json")
        assert broken.document["extra"]["reason"] == "auth_failed"
        assert cli("sync", url, "--json").code == 0
    sizes = {entry["database_name"]: entry["size_bytes"] for entry in measured}
    assert sizes.keys() == sizes_of(postgres).keys()
    said = "".join(part for run in (wrong, right, again, broken) for part in (run.out, run.err))
    assert "s3cret" not in said
    kept = b"".join(path.read_bytes() for path in (cli.home / "share").rglob("capacity.db*"))
    assert b"s3cret" not in kept


def test_a_password_in_the_url_works_and_is_warned_about(cli: Cli, postgres: Server) -> None:
    with a_login(postgres, "p@ss/word") as login:
        url = f"postgresql://{login}:p%40ss%2Fword@{postgres.host}:{postgres.port}/postgres"
        said = cli("sync", url)
    assert said.code == 0, said
    assert "remember a password in a URL" in said.err
    assert "p@ss" not in said.out + said.err
    assert cli("instance", "show", "1", "--json").data["instance"]["database_name"] == "postgres"


def test_mariadb_is_synced_by_either_scheme(cli: Cli, mariadb: Server) -> None:
    place = f"{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/"
    for scheme in ("mysql", "mariadb"):
        said = cli("sync", f"{scheme}://{place}", "--json")
        assert said.code == 0, said
    assert len(cli("instance", "list", "--json").data["instances"]) == 1


def test_a_postgresql_store_is_made_and_used(cli: Cli, postgres: Server) -> None:
    name = f"store_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            store = ("--store", postgres.url(name))
            assert cli("demo", *store).code == 0
            assert "shop.db" in cli("sizes", "demo", *store).out
            status = cli("store", "status", *store)
            assert "current" in status.out
            if postgres.password:
                assert f":{postgres.password}@" not in status.out
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_right_granted_later_makes_sizes_exact_and_breaks_the_series(
    cli: Cli, mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READER", "secret")
    with mariadb_admin(mariadb) as admin:
        admin.execute("CREATE DATABASE ledger")
        admin.execute("CREATE TABLE ledger.t (x INT) ENGINE=InnoDB")
        admin.execute(f"CREATE USER growing@'{HOST}' IDENTIFIED BY 'secret'")
        admin.execute(f"GRANT SHOW DATABASES, SHOW VIEW ON *.* TO growing@'{HOST}'")
        try:
            url = f"mysql://growing@{mariadb.host}:{mariadb.port}/"
            guessed = cli("sync", url, "--password-env", "READER").out
            name = cli("instance", "list", "--json").data["instances"][0]["name"]
            estimated = cli("sizes", name).out
            a_day_passes(cli)
            admin.execute(f"GRANT PROCESS ON *.* TO growing@'{HOST}'")
            cli("sync", name)
            exact = cli("sizes", name, "--history", "ledger").out.splitlines()
        finally:
            admin.execute(f"DROP USER growing@'{HOST}'")
            admin.execute("DROP DATABASE ledger")
    assert "my.tables, estimate" in guessed
    assert "estimate" in next(line for line in estimated.splitlines() if "ledger" in line)
    assert "my.innodb_files (changed)  live" in exact[1]
    assert "estimate" in exact[2]
    with closing(sqlite3.connect(store_of(cli))) as connection:
        [aggregate] = connection.execute(
            "SELECT is_break, size_change_bytes, growth_rate, baseline_date"
            " FROM database_size_aggregations WHERE database_name = 'ledger'"
            " AND period_start > '2026-01-02'"
        )
    assert aggregate == (1, None, None, "2026-01-02")


def store_of(cli: Cli) -> str:
    [path] = (cli.home / "share").rglob("capacity.db")
    return str(path)


def a_day_passes(cli: Cli) -> None:
    """Make what was measured today a thing of the past."""
    with closing(sqlite3.connect(store_of(cli))) as connection, connection:
        connection.execute("UPDATE database_size_stats SET collected_date = '2026-01-02'")
        connection.execute("DELETE FROM database_size_aggregations")
