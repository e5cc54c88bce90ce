"""Servers to measure: PostgreSQL with N databases, MariaDB with N schemas of five tables."""

import psycopg
from tests.servers import Server
from tests.targets import mariadb_admin

FILLED_EVERY = 10  # one database in so many holds rows


def fill_postgres(server: Server, count: int) -> None:
    """Create `count` databases; every tenth has three tables, 3 to 60 MB in all."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        for number in range(count):
            admin.execute(f"CREATE DATABASE bench_{number:04d} TEMPLATE template0")
            if number % FILLED_EVERY == 3:
                _fill_postgres_database(server, f"bench_{number:04d}", number // FILLED_EVERY)
        admin.execute("CHECKPOINT")


def _fill_postgres_database(server: Server, name: str, step: int) -> None:
    rows = 12_000 * (step % 7 + 1)
    with psycopg.connect(server.url(name), autocommit=True) as database:
        for table in ("t0", "t1", "t2"):
            database.execute(
                f"CREATE TABLE {table} AS SELECT g AS id, repeat('x', 60) AS pad"
                f" FROM generate_series(1, {rows}) g"
            )
            database.execute(f"CREATE INDEX ON {table} (id)")


def fill_mariadb(server: Server, count: int) -> None:
    """Create `count` schemas of five InnoDB tables; every tenth holds 1 to 5 MB of rows."""
    with mariadb_admin(server) as cursor:
        for number in range(count):
            schema = f"bench_{number:04d}"
            cursor.execute(f"CREATE DATABASE {schema}")
            for table in range(5):
                cursor.execute(
                    f"CREATE TABLE {schema}.t{table} (id BIGINT PRIMARY KEY AUTO_INCREMENT,"
                    " k INT, pad VARCHAR(200), KEY (k)) ENGINE=InnoDB"
                )
            if number % FILLED_EVERY == 3:
                rows = 4_000 * (number // FILLED_EVERY % 5 + 1)
                cursor.execute(
                    f"INSERT INTO {schema}.t0 (k, pad)"
                    f" SELECT seq, repeat('x', 200) FROM {schema}.seq_1_to_{rows}"
                )
