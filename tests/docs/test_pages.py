"""What the pages say is so: the reference is current, and every example runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import psycopg
import pytest
from docs.generate import REFERENCE, reference
from tests.servers import Server
from tests.targets import mariadb_admin

from capacity_adapters.cli.sizes import COLUMNS
from capacity_adapters.engines import BUILT_IN
from capacity_core.diagnosis import GrantScript
from capacity_core.model import Freshness
from capacity_http.views import DayView

ROOT = Path(REFERENCE).parents[1]
BIN = Path(sys.executable).parent


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced examples of a page in one language."""
    said = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", said, re.DOTALL)


def run(script: str, folder: Path, *command: str) -> str:
    kept = {name: value for name, value in os.environ.items() if "CAPACITY" not in name}
    environment = {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "XDG_DATA_HOME": str(folder / "data"),
    }
    done = subprocess.run(
        [*command, script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.unit
def test_the_reference_is_what_the_code_says() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "run python -m docs.generate"


@pytest.mark.unit
def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.unit
def test_the_ledgers_page_names_what_is_shown() -> None:
    said = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    columns, freshness, _ = re.findall(r"\| --- \|.*\n((?:\|.*\n)+)", said)
    shown = [line.split("|")[1:3] for line in columns.splitlines()]
    headers = {name for cell, _ in shown for name in re.findall(r"[A-Z]{4,}", cell)}
    fields = {name for _, cell in shown for name in re.findall(r"`(\w+)`", cell)}
    assert headers == {*COLUMNS, "OUTCOME"} - {"MEASURED ON"}
    assert fields <= {field.name for field in attrs.fields(DayView)}
    assert [line.split("|")[1].strip() for line in freshness.splitlines()] == list(Freshness)


@pytest.mark.unit
def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.unit
def test_the_readmes_library_example_measures_the_demo(tmp_path: Path) -> None:
    run("capacity demo", tmp_path, "sh", "-ec")
    (example,) = blocks("README.md", "python")
    printed = run(example, tmp_path, sys.executable, "-c")
    assert {line.split()[0] for line in printed.splitlines()} == {
        "shop.db",
        "library.db",
        "weather.db",
    }


@pytest.mark.unit
def test_the_grants_on_the_page_are_those_that_the_command_prints() -> None:
    scripts = {name: plugin.load().grants("capacity") for name, plugin in BUILT_IN.items()}
    printed = [_statements(script) for each in scripts.values() for script in each]
    on_page = blocks("docs/grants.md", "sql")
    assert on_page
    assert [block for block in on_page if block not in printed] == []
    missing = {name for name, each in scripts.items() if _statements(each[0]) not in on_page}
    assert missing == {"sqlite"}, "its commands have the folder's name"


def _statements(script: GrantScript) -> str:
    _, _, statements = str(script).partition("\n")
    return statements + "\n"


@pytest.mark.live
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path, postgres: Server) -> None:
    (create, *_) = blocks("docs/grants.md", "sql")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(create.encode())
    try:
        script = "\n".join(blocks("docs/tutorial.md", "sh"))
        script = script.replace("db.example.org:5432", f"{postgres.host}:{postgres.port}")
        script = script.replace(". .venv/bin/activate", "")
        printed = run(script, tmp_path, "sh", "-ec")
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("DROP ROLE capacity")
    for expected in ("shop.db", "postgres", "cap_"):
        assert expected in printed


@pytest.mark.live
def test_the_grants_for_mariadb_let_everything_be_measured(tmp_path: Path, mariadb: Server) -> None:
    create = blocks("docs/grants.md", "sql")[1]
    with mariadb_admin(mariadb) as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS granted")
        cursor.execute("CREATE TABLE IF NOT EXISTS granted.t (id INT) ENGINE=MyISAM")
        for statement in filter(str.strip, create.split(";")):
            cursor.execute(statement)
        try:
            script = (
                f"P='change me' capacity sync mysql://capacity@{mariadb.host}:{mariadb.port}/"
                " --password-env P --json"
            )
            printed = run(script, tmp_path, "sh", "-ec")
        finally:
            cursor.execute("DROP USER capacity")
            cursor.execute("DROP DATABASE granted")
    assert '"granted"' in printed
    assert re.search(r'"unmeasured":\s*\[\]', printed)
    assert re.search(r'"complete":\s*true', printed)
