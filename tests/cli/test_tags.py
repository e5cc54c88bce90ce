"""Tags and zones of instances, as options of commands."""

import pytest
from tests.cli.conftest import Cli


@pytest.fixture
def shop(cli: Cli) -> None:
    said = cli("instance", "add", "--url", "mysql://host/", "--name", "shop", "--tag", "prod")
    assert said.code == 0, said


def labels(cli: Cli, target: str) -> tuple[list[str], str]:
    kept = cli("instance", "show", target, "--json").data["instance"]
    return kept["tags"], kept["zone"]


@pytest.mark.usefixtures("shop")
def test_tags_and_the_zone_are_kept_changed_and_taken_away(cli: Cli) -> None:
    assert labels(cli, "shop") == (["prod"], "default")
    assert cli("instance", "edit", "shop", "--tag", "b", "--tag", "a", "--zone", "dmz").code == 0
    assert labels(cli, "shop") == (["a", "b"], "dmz")
    assert cli("instance", "edit", "shop", "--description", "x").code == 0
    assert labels(cli, "shop") == (["a", "b"], "dmz")
    assert cli("instance", "edit", "shop", "--tag", "", "--zone", "").code == 0
    assert labels(cli, "shop") == ([], "default")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("given", [("--tag", "a b"), ("--zone", "-x"), ("--tag", "x" * 64)])
def test_a_label_is_a_short_word(cli: Cli, given: tuple[str, str]) -> None:
    said = cli("instance", "edit", "shop", *given)
    assert (said.code, "1 to 63 letters" in said.err) == (1, True)


@pytest.mark.usefixtures("shop")
def test_the_list_shows_labels_where_there_are_any_and_may_be_of_some_tags(cli: Cli) -> None:
    cli("instance", "add", "--url", "mysql://other/", "--zone", "dmz")
    cli("instance", "add", "--url", "mysql://third/", "--tag", "test", "--tag", "z")
    headers, *lines = cli("instance", "list").out.splitlines()
    assert headers.split()[:6] == ["ID", "NAME", "TYPE", "PLACE", "TAGS", "ZONE"]
    assert [line.split()[4] for line in lines] == ["-", "prod", "test,"]
    some = cli("instance", "list", "--tag", "prod", "--tag", "z", "--json").data["instances"]
    assert [kept["name"] for kept in some] == ["shop", "third:3306"]
    assert "ZONE" not in cli("instance", "list", "--tag", "prod").out
    assert cli("instance", "list", "--tag", "none").out.split() == (
        ["ID", "NAME", "TYPE", "PLACE", "ENABLED", "LAST", "SYNC"]
    )
