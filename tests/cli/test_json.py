"""With --json every command prints exactly one document, also when it fails."""

import json

import pytest
from tests.cli.conftest import Cli


def ids(words: list[str]) -> str:
    return ascii(" ".join(words))


COMMANDS = [
    ["sync", "sqlite:///dbs"],
    ["sync", "sqlite:///nowhere"],
    ["sync", "nobody"],
    ["sync", "oracle://x"],
    ["sync", "postgresql://eve:hunter2@127.0.0.1:1/"],
    ["sync"],
    ["sync", "dbs", "--deadline", "x"],
    ["sync", "--all"],
    ["sync", "--all", "--engine", "sqlite", "--tag", "prod"],
    ["sync", "--all", "--engine", "clay"],
    ["sync", "--all", "dbs"],
    ["sync", "--all", "--concurrency", "0"],
    ["run", "list"],
    ["run", "show", "1"],
    ["run", "show", "x"],
    ["run", "cancel", "1"],
    ["run", "retry", "9" * 30],
    ["run"],
    ["sizes", "dbs"],
    ["sizes", "dbs", "--date", "2020-01-01"],
    ["sizes", "dbs", "--history", "shop.db"],
    ["sizes", "dbs", "--history", "nothing"],
    ["sizes", "dbs", "--date", "yesterday"],
    ["sizes", "nobody"],
    ["growth", "dbs"],
    ["growth", "dbs", "shop.db", "--period", "weekly"],
    ["growth", "dbs", "nothing"],
    ["growth", "dbs", "--csv"],
    ["growth", "nobody"],
    ["top", "--by", "growth"],
    ["top", "--period", "yearly"],
    ["forecast", "dbs"],
    ["forecast", "dbs", "shop.db"],
    ["forecast", "dbs", "nothing"],
    ["forecast", "dbs", "--backtest"],
    ["forecast", "dbs", "--csv"],
    ["forecast", "nobody"],
    ["limit", "set", "dbs", "1GiB"],
    ["limit", "set", "dbs", "shop.db", "1.5 TB"],
    ["limit", "set", "dbs", "nothing", "1"],
    ["limit", "set", "dbs", "much"],
    ["limit", "set", "dbs", "0"],
    ["limit", "list", "dbs"],
    ["limit", "remove", "dbs"],
    ["limit"],
    ["aggregate"],
    ["aggregate", "nobody"],
    ["aggregate", "--from", "2020-01-02", "--to", "2020-01-01"],
    ["store", "prune", "--older-than", "24mo"],
    ["store", "prune", "--older-than", "x", "--dry-run"],
    ["instance", "add", "--url", "mysql://eve:hunter2@host/"],
    ["instance", "add", "--url", "mysql://eve:hunter2@host:x/"],
    ["instance", "add"],
    ["instance", "list"],
    ["instance", "list", "--tag", "prod"],
    ["instance", "show", "dbs"],
    ["instance", "show", "nobody"],
    ["instance", "edit", "dbs", "--description", "x"],
    ["instance", "edit", "dbs", "--name", "7"],
    ["instance", "disable", "dbs"],
    ["instance", "enable", "dbs"],
    ["instance", "remove", "dbs"],
    ["instance", "remove", "nobody"],
    ["instance"],
    ["engines"],
    ["store", "status"],
    ["store", "upgrade"],
    ["token", "create", "ci", "--scope", "view"],
    ["token", "create", "ci"],
    ["token", "list"],
    ["token", "revoke", "ci"],
    ["serve", "--port", "0"],
    ["demo"],
    ["no-such-command"],
    [],
]
UNSPEAKABLE = "\udcff"  # what a byte that is no UTF-8 becomes
COMMANDS += [
    ["sync", UNSPEAKABLE],
    ["sync", f"sqlite:///{UNSPEAKABLE}"],
    ["sync", f"mysql://eve@{UNSPEAKABLE}/"],
    ["sync", "--all", "--tag", UNSPEAKABLE],
    ["sizes", "dbs", "--history", UNSPEAKABLE],
    ["growth", "dbs", UNSPEAKABLE],
    ["top", "--type", UNSPEAKABLE],
    ["forecast", "dbs", UNSPEAKABLE],
    ["limit", "set", "dbs", UNSPEAKABLE, "1"],
    ["limit", "set", "dbs", UNSPEAKABLE],
    ["limit", "remove", "dbs", UNSPEAKABLE],
    ["store", "prune", "--older-than", UNSPEAKABLE],
    ["instance", "edit", "dbs", "--description", UNSPEAKABLE],
    ["token", "create", UNSPEAKABLE, "--scope", "view"],
    ["token", "revoke", UNSPEAKABLE],
]
EXTRA_STORES = ["sqlite:////nowhere/at/all.db", "postgresql://eve:hunter2@127.0.0.1:1/db", "x://y"]


def check_document(cli: Cli, arguments: list[str]) -> None:
    said = cli(*arguments, "--json")
    document = json.loads(said.out)
    if said.code == 0 and arguments[:2] == ["token", "create"]:
        assert set(document) == {"token", "name", "scope"}  # what a script reads, and no more
        return
    assert document["success"] is (said.code == 0)
    assert document["error"] is (said.code != 0)
    assert ("data" if said.code == 0 else "error_id") in document
    assert document["message"]
    assert "Internal error" not in document["message"]
    assert said.code in {0, 1, 2}
    assert "Traceback" not in said.err
    assert "hunter2" not in said.out + said.err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("arguments", COMMANDS, ids=ids)
def test_one_document_and_nothing_else(cli: Cli, arguments: list[str]) -> None:
    cli("sync", "sqlite:///dbs")
    check_document(cli, arguments)


@pytest.mark.parametrize("store", EXTRA_STORES)
@pytest.mark.parametrize(
    "arguments", [c for c in COMMANDS if c and c[0] in {"sizes", "token"}], ids=ids
)
def test_one_document_without_a_store_too(cli: Cli, arguments: list[str], store: str) -> None:
    said = cli(*arguments, "--json", "--store", store)
    assert said.code in {1, 2}
    check_document(cli, [*arguments, "--store", store])
