"""`capacity doctor` and `capacity grants`, as an operator meets them."""

import os
import pwd
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.conftest import Cli
from tests.engines.distributions import GOOD, install
from tests.servers import Server
from tests.targets import mariadb_admin, postgres_admin

from capacity_adapters.engines import BUILT_IN

unit = pytest.mark.unit
live = pytest.mark.live


@unit
def test_a_folder_that_may_be_read_lacks_nothing(cli: Cli, folder: Path) -> None:
    said = cli("doctor", f"sqlite:///{folder}")
    assert (said.code, said.err.splitlines()[0]) == (0, f"Examining dbs (sqlite at {folder}) ...")
    assert [line.split()[:2] for line in said.out.splitlines()[:3]] == [
        ["CHECK", "STATE"],
        ["list_folder", "ok"],
        ["read_each_file", "ok"],
    ]
    assert said.out.endswith("No right is missing to size the databases of dbs\n")


@unit
def test_a_url_is_examined_without_being_registered(cli: Cli, folder: Path) -> None:
    data = cli("doctor", f"sqlite:///{folder}", "--json").data["diagnosis"]
    assert (data["instance_id"], data["ready"], data["complete"]) == (0, True, True)
    assert cli("instance", "list", "--json").data["instances"] == []


@unit
def test_a_registered_instance_is_named_and_kept_as_it_is(cli: Cli, folder: Path) -> None:
    cli("sync", f"sqlite:///{folder}")
    before = cli("instance", "show", "dbs", "--json").data
    for target in ("dbs", "1", f"sqlite:///{folder}"):
        data = cli("doctor", target, "--tls", "require", "--json").data["diagnosis"]
        assert data["instance_id"] == 1
    assert cli("instance", "show", "dbs", "--json").data == before


@unit
def test_a_target_that_cannot_be_asked_says_why_and_exits_1(cli: Cli, folder: Path) -> None:
    said = cli("doctor", f"sqlite:///{folder}/missing")
    assert said.code == 1
    assert "error: " in said.err
    assert "path_missing: " in said.err
    document = cli("doctor", "pg://somebody@127.0.0.1:1/", "--json").document
    assert document["message_code"] == "DATABASE_CONNECTION_ERROR"
    assert document["extra"]["reason"] == "refused"


@unit
def test_an_unknown_name_is_told(cli: Cli) -> None:
    said = cli("doctor", "nowhere")
    assert (said.code, "'nowhere'" in said.err) == (1, True)


@unit
@pytest.mark.parametrize("db_type", [*BUILT_IN])
def test_every_engine_has_a_script_that_says_where_it_applies(cli: Cli, db_type: str) -> None:
    facts = BUILT_IN[db_type].facts
    said = {cli("grants", name).out for name in (db_type, *facts.aliases, db_type.upper())}
    assert len(said) == 1
    (script,) = said
    comment, *statements = script.splitlines()
    assert comment.startswith(("-- ", "# "))
    assert any("capacity" in statement.lower() for statement in statements)
    scripts = cli("grants", db_type, "--json").data["scripts"]
    assert all(each["applies_to"] and each["statements"] for each in scripts)


@unit
def test_only_the_first_script_runs_as_it_is_printed(cli: Cli) -> None:
    first, *others = cli("grants", "postgresql").out.split("\n\n")
    assert first.count("\n") == 2
    assert others
    assert all(line.startswith("-- ") for other in others for line in other.splitlines())


@unit
@pytest.mark.parametrize("user", ["", " ", "ends ", "nul\0", "x" * 256, "\udcff"])
def test_a_name_that_no_login_can_have_is_refused(cli: Cli, user: str) -> None:
    said = cli("grants", "mysql", "--user", user)
    assert said.code in {1, 2}
    assert "GRANT" not in said.out


@unit
@pytest.mark.parametrize("db_type", [*BUILT_IN])
@pytest.mark.parametrize("char", ["\n", "\r", "\x1b", "\x85", "\u2028", "\u2029", "\u202e", "\x7f"])
def test_a_control_character_is_wrong_usage_for_every_engine(
    cli: Cli, db_type: str, char: str
) -> None:
    said = cli("grants", db_type, "--user", f"a{char}DROP USER b")
    assert (said.code, said.out, "DROP" in said.err) == (2, "", False)


@unit
@pytest.mark.parametrize(
    ("db_type", "user"), [("oracle", "a&b"), ("oracle", "&&b"), ("sqlserver", "a$(b)")]
)
def test_what_a_line_client_replaces_is_wrong_usage(cli: Cli, db_type: str, user: str) -> None:
    said = cli("grants", db_type, "--user", user)
    assert (said.code, said.out, "replaces" in said.err) == (2, "", True)
    assert cli("grants", "postgresql", "--user", user).code == 0


@unit
@pytest.mark.parametrize(
    ("grants", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("exit(3)", "SystemExit: 3"),
        ("None", "grants() gives NoneType, no GrantScript"),
        ("('GRANT',)", "grants() gives str, no GrantScript"),
        ("(GrantScript('x', 'GRANT'),)", "grants() gives a GrantScript that is not of texts"),
        ("(GrantScript('x', (7,)),)", "grants() gives a GrantScript that is not of texts"),
    ],
)
def test_an_engine_of_others_whose_scripts_are_none_is_named(
    cli: Cli, grants: str, told: str
) -> None:
    module = dedent(GOOD).replace("    errors=", f"    grants=lambda user: {grants},\n    errors=")
    module = "from capacity_core.diagnosis import GrantScript\n" + module
    install(cli.home, "tiny_engine", "tiny = tiny_engine:PLUGIN", module)
    said = cli.process("grants", "tiny", PYTHONPATH=str(cli.home))
    assert (said.code, said.out) == (1, "")
    assert said.err == f"error: The engine tiny is broken: {told}\n"


@unit
def test_an_engine_that_nobody_knows_is_told(cli: Cli) -> None:
    said = cli("grants", "dbase")
    assert (said.code, "postgresql" in said.err) == (1, True)


@unit
def test_a_driver_that_is_not_installed_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise ImportError("no driver")

    broken = dict(BUILT_IN)
    broken["mysql"] = type(BUILT_IN["mysql"])(BUILT_IN["mysql"].facts, no_driver, "pymysql[rsa]")  # type: ignore[arg-type]  # it never returns
    monkeypatch.setattr("capacity_adapters.engines.BUILT_IN", broken)
    said = cli("grants", "mysql")
    assert (said.code, "pymysql[rsa]" in said.err) == (1, True)


@unit
@pytest.mark.skipif(os.geteuid() != 0, reason="steps down from root")
def test_a_closed_file_is_missed_with_the_command_that_opens_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, account.pw_uid, account.pw_gid)
        file = Path(name, "shop.db")
        file.touch(mode=0)
        monkeypatch.setenv("CAPACITY_STORE_URL", f"sqlite:///{name}/store.db")
        os.seteuid(account.pw_uid)
        try:
            said = cli("doctor", f"sqlite:///{name}")
        finally:
            os.seteuid(0)
    assert said.code == 1
    assert "read_each_file  missing  The size of every file" in said.err
    assert f"As an administrator, run: setfacl -m u:nobody:r {file}\n" in said.err


@live
def test_the_printed_script_runs_as_it_stands_in_postgresql(
    cli: Cli, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = 'the "reader"'
    script = cli("grants", "postgresql", "--user", user).out
    monkeypatch.setenv("P", "change me")
    url = f"postgresql://the%20%22reader%22@{postgres.host}:{postgres.port}/"
    with postgres_admin(postgres) as admin:
        admin.execute("CREATE DATABASE closed")
        admin.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        admin.execute(script.encode())
        try:
            green = cli("doctor", url, "--password-env", "P")
            admin.execute('REVOKE pg_read_all_stats FROM "the ""reader"""')
            lacking = cli("doctor", url, "--password-env", "P")
        finally:
            admin.execute('DROP ROLE "the ""reader"""')
            admin.execute("DROP DATABASE closed")
    assert green.code == 0, green
    assert lacking.code == 1
    assert 'As an administrator, run: GRANT pg_read_all_stats TO "the ""reader"""' in lacking.err
    assert "closed" in lacking.err


@live
def test_the_printed_script_runs_as_it_stands_in_mariadb(
    cli: Cli, mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = cli("grants", "mariadb", "--user", "the reader").out
    monkeypatch.setenv("P", "change me")
    url = f"mysql://the%20reader@{mariadb.host}:{mariadb.port}/"
    with mariadb_admin(mariadb) as admin:
        for statement in filter(str.strip, script.split(";")):
            admin.execute(statement)
        try:
            green = cli("doctor", url, "--password-env", "P")
            admin.execute("REVOKE SHOW VIEW ON *.* FROM `the reader`@`%`")
            lacking = cli("doctor", url, "--password-env", "P")
        finally:
            admin.execute("DROP USER `the reader`@`%`")
    assert green.code == 0, green
    assert lacking.code == 1
    assert "run: GRANT SHOW VIEW ON *.* TO `the reader`@`%`" in lacking.err
