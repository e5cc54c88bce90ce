"""SHOW GRANTS of many servers: read right, and never read as more than it says."""

from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity_adapters.engines.mysql.examination import checks
from capacity_adapters.engines.mysql.grants import (
    LONGEST_ROW,
    MOST_ROWS,
    SHOW_TABLES,
    Grants,
    is_like,
    like_parts,
    parse_grants,
)
from capacity_core.diagnosis import CheckState

pytestmark = pytest.mark.unit

TO = "TO `reader`@`%`"


@pytest.mark.parametrize(
    ("rows", "processes", "schemas"),
    [
        ([f"GRANT ALL PRIVILEGES ON *.* {TO} WITH GRANT OPTION"], True, True),
        ([f"GRANT USAGE ON *.* {TO} IDENTIFIED BY PASSWORD '*61A ON *.* TO'"], False, False),
        ([f"GRANT PROCESS ON *.* {TO}"], True, False),
        ([f"GRANT SELECT, PROCESS, SHOW DATABASES ON *.* {TO}"], True, True),
        ([f"GRANT EXECUTE ON *.* {TO}", f"GRANT PROCESS ON *.* {TO}"], True, True),
        (["GRANT SELECT, PROCESS ON *.* TO 'reader'@'10.0.0.%'"], True, True),  # 5.7
        ([f"GRANT RELOAD, FILE, SUPER ON *.* {TO}"], False, False),
        ([f"GRANT ROLE_ADMIN,XA_RECOVER_ADMIN ON *.* {TO}"], False, False),
        (["GRANT `watcher`@`%` TO `reader`@`%`"], False, False),
        (["SET DEFAULT ROLE `watcher` FOR `reader`@`%`"], False, False),
        (["GRANT PROXY ON ''@'' TO 'root'@'localhost' WITH GRANT OPTION"], False, False),
        ([f"GRANT SELECT ON *.* {TO}", "REVOKE SELECT ON `pay`.* FROM `reader`@`%`"], False, False),
        ([f"GRANT EXECUTE ON PROCEDURE `a`.`p` {TO}"], False, False),
        ([f"GRANT SELECT ON `*`.* {TO}"], False, False),
        ([], False, False),
        (["", "nonsense", "GRANT", "GRANT ON TO", "(", "GRANT ( ON *.* TO"], False, False),
    ],
)
def test_global_rights_are_read(rows: list[str], processes: bool, schemas: bool) -> None:
    grants = parse_grants(rows)
    assert (grants.sees_processes, grants.sees_every_schema) == (processes, schemas)


@pytest.mark.parametrize(
    ("login", "host"),
    [
        ("``@`localhost`", "localhost"),
        ("''@'10.0.0.%'", "10.0.0.%"),  # 5.7
        ("``@`%`", "%"),
        ("``@``", ""),
        ("`reader`@`localhost`", None),
        ("reader@localhost", None),
        ("````@`%`", None),
    ],
)
def test_the_anonymous_account_is_known_and_never_granted_anything(
    login: str, host: str | None
) -> None:
    grants = parse_grants(["GRANT `watcher` TO `watched`", f"GRANT USAGE ON *.* TO {login}"])
    assert grants.anonymous_host == host
    cures = {check.cure.key for check in checks(grants, ["shop"], CheckState.MISSING)}
    assert cures == ({"cure.sql"} if host is None else {""})


@pytest.mark.parametrize(
    ("rows", "shown", "hidden"),
    [
        ([f"GRANT SELECT ON `shop`.* {TO}"], {"shop"}, {"Shop", "shopping", "ashop"}),
        ([f"GRANT SELECT ON `sh_p`.* {TO}"], {"shop", "sh_p"}, {"shp"}),
        ([f"GRANT SELECT ON `sh\\_p`.* {TO}"], {"sh_p"}, {"shop"}),
        ([f"GRANT SELECT ON `sh%`.* {TO}"], {"sh", "shop", "sh\nop"}, {"Sh"}),
        ([f"GRANT SELECT ON `100\\%`.* {TO}"], {"100%"}, {"1000"}),
        ([f"GRANT SELECT ON `a``b TO c`.* {TO}"], {"a`b TO c"}, {"a", "a``b TO c"}),
        ([f"GRANT EXECUTE ON `shop`.* {TO}"], set(), {"shop"}),
        ([f"GRANT SELECT (`a`, `b ON c`) ON `shop`.`t` {TO}"], set(), {"shop"}),
        ([f"GRANT SELECT ON `shop`.`t` {TO}"], set(), {"shop"}),
        ([f"GRANT SHOW VIEW ON *.* {TO}"], {"anything", ""}, set()),
        ([f"GRANT SHOW DATABASES ON *.* {TO}"], set(), {"anything"}),
        (
            [f"GRANT SELECT ON *.* {TO}", "REVOKE SELECT ON `pay`.* FROM `reader`@`%`"],
            {"shop"},
            {"pay"},
        ),
        # The server follows the closest pattern only, and that one shows no table.
        (
            [f"GRANT SELECT ON `shop%`.* {TO}", f"GRANT EXECUTE ON `shop\\_a`.* {TO}"],
            {"shop_b"},
            {"shop_a"},
        ),
    ],
)
def test_rights_on_schemas_are_read(rows: list[str], shown: set[str], hidden: set[str]) -> None:
    grants = parse_grants(rows)
    assert {name for name in shown | hidden if grants.sees_tables_of(name)} == shown


@pytest.mark.parametrize(
    ("row", "login"),
    [
        ("GRANT USAGE ON *.* TO `re``ader`@`10.%`", "`re``ader`@`10.%`"),
        ("GRANT USAGE ON *.* TO 're\\'ader'@'%' IDENTIFIED BY PASSWORD 'x'", "'re\\'ader'@'%'"),
        ("GRANT PROCESS ON *.* TO `a role`", "CURRENT_USER"),
    ],
)
def test_the_login_is_spelled_as_the_server_does(row: str, login: str) -> None:
    assert parse_grants([row]).login == login


QUOTED = st.text(st.sampled_from("a`\\%_'\" ."), min_size=1, max_size=6)


def as_pattern(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("`", "``")


@given(schema=QUOTED, other=QUOTED, privilege=st.sampled_from(sorted(SHOW_TABLES)))
def test_a_grant_on_one_schema_shows_that_one_alone(
    schema: str, other: str, privilege: str
) -> None:
    grants = parse_grants([f"GRANT {privilege} ON `{as_pattern(schema)}`.* {TO}"])
    assert grants.sees_tables_of(schema)
    assert grants.sees_tables_of(other) == (other == schema)


@given(
    rows=st.lists(
        st.lists(
            st.sampled_from(["GRANT", "REVOKE", "ON", "TO", "(", ")", ",", "`", "'", "*", ".", "a"])
        ).map(" ".join)
        | st.text()
    )
)
def test_no_row_breaks_the_reader(rows: list[str]) -> None:
    parse_grants(rows).sees_tables_of("shop")


REVOKED = "REVOKE SELECT, SHOW VIEW ON `pay`.* FROM `reader`@`%`"


@pytest.mark.parametrize(
    ("rows", "states", "cures"),
    [
        ([f"GRANT PROCESS, SHOW VIEW ON *.* {TO}"], ("ok", "ok", "ok"), 0),
        ([f"GRANT PROCESS ON *.* {TO}"], ("missing", "missing", "ok"), 2),
        ([f"GRANT SELECT ON `pay`.* {TO}"], ("missing", "ok", "ok"), 1),
        # What was revoked on one schema is not got back by granting it on all of them.
        ([f"GRANT PROCESS, SHOW VIEW ON *.* {TO}", REVOKED], ("unknown", "unknown", "ok"), 0),
        ([f"GRANT ALL PRIVILEGES ON *.* {TO}", REVOKED], ("unknown", "unknown", "ok"), 0),
        ([f"GRANT SELECT ON *.* {TO}", REVOKED], ("missing", "missing", "ok"), 2),
    ],
)
def test_a_cure_is_told_only_where_it_cures(
    rows: list[str], states: tuple[str, ...], cures: int
) -> None:
    found = checks(parse_grants(rows), ["pay"], CheckState.OK)
    assert tuple(check.state for check in found) == states
    told = [check.cure.params["sql"] for check in found if check.cure.params]
    assert told == ["GRANT SHOW VIEW ON *.* TO `reader`@`%`"] * cures
    assert found[1].costs == (() if states[1] == "ok" else ("pay",))


def likes(name: str, pattern: str) -> bool:
    """Match one character after the other, trying all that a `%` may stand for."""
    if not pattern:
        return not name
    if pattern[0] == "%":
        return any(likes(name[skipped:], pattern[1:]) for skipped in range(len(name) + 1))
    wild = pattern[0] == "_"
    if pattern[0] == "\\" and len(pattern) > 1:
        pattern = pattern[1:]
    return name != "" and (wild or name[0] == pattern[0]) and likes(name[1:], pattern[1:])


@given(
    name=st.text(st.sampled_from("ab%_\\"), max_size=6),
    pattern=st.text(st.sampled_from("ab%%_\\"), max_size=6),
)
def test_patterns_fit_as_those_of_like_do(name: str, pattern: str) -> None:
    grants = parse_grants([f"GRANT SELECT ON `{pattern}`.* {TO}"])
    assert grants.sees_tables_of(name) == likes(name, pattern)
    assert is_like(name, like_parts(pattern)) == likes(name, pattern)


def test_a_hostile_pattern_ends() -> None:
    # A matcher that tries all that each `%` may stand for would not end in our time.
    grants = parse_grants([f"GRANT SELECT ON `{'%a' * 60}z`.* {TO}"])
    assert not grants.sees_tables_of("a" * 100)
    assert grants.sees_tables_of("a" * 100 + "z")
    assert not grants.sees_tables_of("a" * 1000 + "z")  # no server has such a name


@pytest.mark.parametrize("quote", ["'\\", "`a", '"', "'a\\"])
def test_a_row_with_an_open_quote_gives_no_right(quote: str) -> None:
    assert parse_grants([f"GRANT SELECT ON *.* TO {quote}"]) == Grants()
    parse_grants(["GRANT " + quote * 40_001] * 1000)
    parse_grants([("GRANT " + quote * 4001)[:LONGEST_ROW]] * 100)


def test_a_row_longer_than_any_server_s_gives_no_right() -> None:
    row = f"GRANT SELECT ON *.* {TO}"
    assert parse_grants([row.ljust(LONGEST_ROW)]).sees_every_schema
    assert parse_grants([row.ljust(LONGEST_ROW + 1)]) == Grants()


def test_of_endless_rows_none_is_believed_for_a_revoke_may_follow() -> None:
    row = f"GRANT SELECT ON *.* {TO}"
    assert parse_grants([row] * MOST_ROWS).sees_every_schema
    assert parse_grants(repeat(row)) == Grants()


def test_all_grants_on_a_schema_have_to_show_it() -> None:
    rows = [f"GRANT {right} ON `shop`.* {TO}" for right in ("EXECUTE", "SELECT")]
    assert not parse_grants(rows).sees_tables_of("shop")
    assert not parse_grants(rows[::-1]).sees_tables_of("shop")
