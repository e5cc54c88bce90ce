"""`capacity demo`: three small databases, measured with nothing but this machine."""

import shutil
import sys
from collections.abc import Mapping
from contextlib import closing
from os.path import relpath
from pathlib import Path
from types import MappingProxyType

import click
from attrs import evolve

from capacity_adapters.cli.output import Report, progress
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.sync import report_of
from capacity_core.errors import CapacityError
from capacity_core.instances import InstanceFields
from capacity_core.messages import Text

FOLDER = Path("demo")
NAME = "demo"


# Each file's table and its rows, which are the same every time.
DATABASES: Mapping[str, str] = MappingProxyType(
    {
        "shop.db": """
            CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER);
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 20000)
            INSERT INTO orders SELECT n, 'customer ' || (n * 7919 % 500), n * 104729 % 100000
            FROM numbers;
        """,
        "library.db": """
            CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT NOT NULL, shelf TEXT NOT NULL);
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 3000)
            INSERT INTO books SELECT n, 'Book number ' || n, 'shelf ' || (n % 40) FROM numbers;
        """,
        "weather.db": """
            CREATE TABLE readings (station INTEGER, hour INTEGER, celsius REAL,
                                   PRIMARY KEY (station, hour));
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 60000)
            INSERT INTO readings SELECT n % 20, n / 20, (n * 7919 % 400) / 10.0 - 5 FROM numbers;
        """,
    }
)


@click.command("demo")
@with_session
def demo(session: Session) -> Report:
    """Make three small SQLite databases in ./demo, and measure them."""
    folder = FOLDER / "databases"
    make_databases(folder)
    store = session.store or f"sqlite:///{FOLDER / 'capacity.db'}"
    path = str(folder.absolute())
    with evolve(session, store=store).application() as application:
        fields = InstanceFields(name=NAME, db_type="sqlite", path=path)
        instance = application.get_or_add_instance(fields)
        with progress(f"Syncing {path} ...", json_wanted=session.json_wanted):
            result = application.sync(instance.id)
    report = report_of(result)
    if report.exit_code:
        return report
    return evolve(report, blocks=(*report.blocks, *_next_steps(instance.name, store)))


def make_databases(folder: Path) -> None:
    """Make the files anew, byte for byte the same each time. Raises CapacityError."""
    import sqlite3  # noqa: PLC0415 -- other commands may do without

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, script in DATABASES.items():
            (folder / name).unlink(missing_ok=True)
            with closing(sqlite3.connect(folder / name)) as connection:
                connection.executescript(f"BEGIN; {script} COMMIT;")
    except (OSError, sqlite3.Error) as error:
        said = f"The demo cannot write to {folder.absolute()}: {error}"
        raise CapacityError(Text(said)) from error


def _next_steps(name: str, store: str) -> tuple[str, ...]:
    program = "capacity" if shutil.which("capacity") else relpath(sys.argv[0])
    return (
        "",
        "Try next:",
        f"  {program} sizes {name} --store {store}",
        f"  {program} sizes {name} --history shop.db --store {store}",
        f"  {program} sync {name} --json --store {store}",
        "Then your own server:",
        f"  {program} sync postgresql://USER@HOST:5432/",
    )
