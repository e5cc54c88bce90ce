"""The command as a process: exit codes, pipes, terminals, signals, imports."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.conftest import PROGRAM, Cli, on_a_terminal

HEAVY = {
    "alembic",
    "cronsim",
    "cryptography",
    "litestar",
    "msgspec",
    "oracledb",
    "procrastinate",
    "psycopg",
    "pymysql",
    "rich",
    "sqlalchemy",
    "structlog",
    "uvicorn",
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sync", "sqlite:///dbs"], 0),
        (["sync", "sqlite:///nowhere"], 1),
        (["sync", "nobody"], 1),
        (["sync", "dbs", "--store", "sqlite:////nowhere/x.db"], 1),
        (["sync"], 2),
        (["--help"], 0),
        (["sync", "--help"], 0),
    ],
)
def test_the_exit_code_says_how_it_ended(cli: Cli, arguments: list[str], code: int) -> None:
    said = cli.process(*arguments)
    assert said.code == code, said
    assert "Traceback" not in said.err


@contextmanager
def silent_peer() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(20)
        yield listener


def test_ctrl_c_ends_a_sync_cleanly_and_frees_its_lease(cli: Cli) -> None:
    with silent_peer() as listener:
        url = f"postgresql://eve@127.0.0.1:{listener.getsockname()[1]}/"
        process = cli.popen("sync", url, "--json")
        with closing(listener.accept()[0]):
            time.sleep(0.3)  # let it wait for the answer that never comes
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert process.returncode == 130, err
        assert '"Interrupted"' in out
        assert "Traceback" not in err
        again = cli.process("sync", url, "--deadline", "0.3", "--json")
    assert again.document["message_code"] == "DATABASE_CONNECTION_ERROR"


def test_a_second_sync_of_the_same_instance_is_told_since_when(cli: Cli) -> None:
    with silent_peer() as listener:
        url = f"postgresql://eve@127.0.0.1:{listener.getsockname()[1]}/"
        first = cli.popen("sync", url, "--deadline", "3")
        with closing(listener.accept()[0]):
            second = cli("sync", url)
            assert second.code == 1
            assert "is already running" in second.err
            assert re.search(r"It began at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", second.err)
            first.communicate(timeout=20)


@pytest.mark.usefixtures("folder")
def test_a_reader_that_stops_early_is_no_error(cli: Cli) -> None:
    cli("sync", "sqlite:///dbs")
    with cli.popen("sizes", "dbs", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        code = process.wait(timeout=20)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_the_output_is_told(cli: Cli, options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [PROGRAM, "instance", "list", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=cli.home,
        )
    assert ran.returncode == 1
    assert ran.stderr == "error: cannot write the output: No space left on device\n"


@pytest.mark.usefixtures("folder")
def test_a_terminal_gets_a_table_and_the_names_as_they_are(cli: Cli) -> None:
    (cli.home / "dbs" / "[red]x[.db").touch()
    code, drawn = on_a_terminal(cli, "sync", "sqlite:///dbs")
    assert code == 0
    assert "shop.db" in drawn
    assert "[red]x[.db" in drawn
    assert "\x1b[1m" in drawn


def test_a_terminal_is_asked_for_the_password_without_showing_it(cli: Cli) -> None:
    url = "postgresql://eve@127.0.0.1:1/"
    code, drawn = on_a_terminal(cli, "sync", url, typed="hunter2\n")
    assert code == 1
    assert "Password of eve on 127.0.0.1:1" in drawn
    assert "hunter2" not in drawn


# What a sync does without, of our own: the other commands, and the store's history and fleet.
SPARED = {
    "capacity_adapters.cli.aggregate",
    "capacity_adapters.cli.forecast",
    "capacity_adapters.cli.growth",
    "capacity_adapters.cli.instances",
    "capacity_adapters.cli.serve",
    "capacity_adapters.store.growth",
    "capacity_adapters.store.reads",
    "capacity_adapters.store.retention",
    "capacity_adapters.store.runs",
    "capacity_adapters.store.running",
    "capacity_adapters.store.series",
    "capacity_adapters.store.tokens",
    "capacity_core.doctor",
    "capacity_core.fleet",
    "capacity_core.growth",
    "capacity_core.growth_reads",
    "capacity_core.rollup",
    "capacity_core.runs",
    "capacity_core.views",
}


def modules_of(cli: Cli, *arguments: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, *arguments],
        cwd=cli.home,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}


def packages_of(cli: Cli, *arguments: str) -> set[str]:
    return {name.partition(".")[0] for name in modules_of(cli, *arguments)}


@pytest.mark.usefixtures("folder")
def test_nothing_is_imported_before_it_is_needed(cli: Cli) -> None:
    assert HEAVY & packages_of(cli, "--help") == set()
    cli("sync", "sqlite:///dbs")
    assert HEAVY & packages_of(cli, "sizes", "dbs") == {"sqlalchemy"}
    brought = modules_of(cli, "sync", "dbs")
    assert HEAVY & {name.partition(".")[0] for name in brought} == {"sqlalchemy"}
    assert SPARED & brought == set()


def test_every_name_that_is_spared_is_a_module() -> None:
    assert all(find_spec(name) for name in SPARED)


def test_names_survive_a_pipe_in_any_locale(cli: Cli, folder: Path) -> None:
    (folder / "订单.db").touch()
    cli("sync", "sqlite:///dbs")
    for locale in ("C", "POSIX"):
        plain = cli.process("sizes", "dbs", LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert plain.code == 0, plain
        assert r"\u8ba2\u5355.db" in plain.out
    assert "订单.db" in cli.process("sizes", "dbs", PYTHONUTF8="1").out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("options", ["", "--json"])
@pytest.mark.parametrize("target", ["sqlite:///dbs", "mysql://eve:pw@127.0.0.1:1/"])
def test_a_closed_stream_is_as_good_as_the_null_device(
    cli: Cli, closed: str, options: str, target: str
) -> None:
    ran = subprocess.run(  # noqa: S602 -- only a shell closes streams
        f"'{PROGRAM}' sync {target} {options} {closed}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=cli.home,
        timeout=60,
    )
    assert ran.returncode == (0 if target.startswith("sqlite") else 1)
    assert "Traceback" not in ran.stderr
    assert "INTERNAL_ERROR" not in ran.stdout
    if options and closed in {"<&-", "2>&-"}:
        json.loads(ran.stdout)  # what belongs on stderr has not moved to stdout


WHEN_IMPORTED = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from capacity_adapters.cli import main
sys.argv = ["capacity", "sync", "sqlite:///dbs"]
sys.exit(main())
"""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "name",
    ["capacity_adapters.cli.program", "capacity_adapters.cli.sync", "click", "attrs", "sqlalchemy"],
)
def test_ctrl_c_amid_an_import_ends_it_with_130(cli: Cli, name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WHEN_IMPORTED.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cli.home,
        timeout=60,
    )
    assert ran.returncode == 130, ran
    assert "Traceback" not in ran.stderr


WHEN_CLOSING = """
import logging
from capacity_adapters.cli.program import run
run(["store", "status"])
try:
    raise KeyboardInterrupt
except KeyboardInterrupt:
    logging.getLogger("sqlalchemy.pool").error("Exception closing", exc_info=True)
"""


def test_ctrl_c_is_no_news_for_the_log(cli: Cli) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WHEN_CLOSING],
        capture_output=True,
        text=True,
        check=True,
        cwd=cli.home,
        timeout=60,
    )
    assert ran.stderr == ""
