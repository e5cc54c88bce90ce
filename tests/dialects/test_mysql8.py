"""Our MySQL engine before a MySQL 8: its session, its views, its numbers and its errors."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from attrs import evolve
from tests.dialects.mysql8 import LOGIN, PASSWORD, Mysql8, serving
from tests.targets import ask, connected, coordinator_of, outcomes, port_instance, refusal, sizes

from capacity_adapters.engines.mysql import FILES, TABLES
from capacity_adapters.engines.mysql.errors import CODES
from capacity_core.model import CollectFailed, Freshness, Instance, Reason, Tls, TlsMode

ALL = "GRANT ALL PRIVILEGES ON *.* TO `reader`@`%` WITH GRANT OPTION"
SIGHT = "GRANT SHOW VIEW ON *.* TO `reader`@`%`"
NAMES = ("Shop", "shop", "订单", "Жук", "a b", "mysql")
FIRST_OF_CLIENT, LAST_OF_CLIENT = 2000, 2999  # numbers that no server sends
MOST = 2**64 - 1


@pytest.fixture
def mysql8() -> Mysql8:
    return Mysql8(
        {
            "SHOW GRANTS": [(ALL,)],
            "information_schema.schemata": [(name, name.encode()) for name in NAMES],
            "innodb_tablespaces": [(name.encode(), Decimal(114_688)) for name in NAMES],
        }
    )


@pytest.fixture
def instance(mysql8: Mysql8) -> Iterator[Instance]:
    with serving(mysql8) as port:
        yield port_instance("mysql", port, username=LOGIN)


def test_every_schema_has_the_size_of_its_files(mysql8: Mysql8, instance: Instance) -> None:
    inventory, report = ask(instance, PASSWORD)
    assert inventory.complete
    assert {each.name for each in inventory.databases if each.is_system} == {"mysql"}
    assert sizes(report) == dict.fromkeys(set(NAMES) - {"mysql"}, 114_688)
    assert {(size.method, size.freshness) for size in report.sizes} == {(FILES, Freshness.LIVE)}
    assert not [question for question in mysql8.heard if "innodb_sys_tablespaces" in question]
    assert not [question for question in mysql8.heard if "USING filename" in question]


def test_the_session_is_bounded_and_its_tables_fresh(mysql8: Mysql8, instance: Instance) -> None:
    with connected(coordinator_of(instance, PASSWORD)):
        bounds = mysql8.variables
        assert bounds.get("lock_wait_timeout") == 2
        assert 15_000 < bounds.get("max_execution_time") <= 20_000
        assert bounds.get("information_schema_stats_expiry") == 0
        assert bounds.get("autocommit") is True
        assert bounds.get("character_set_client") == "utf8mb4"


def test_a_fork_without_fresh_tables_is_believed_less(mysql8: Mysql8, instance: Instance) -> None:
    mysql8.lacks = frozenset({"information_schema_stats_expiry"})
    mysql8.answers["SHOW GRANTS"] = [(SIGHT,)]
    mysql8.answers["information_schema.tables"] = [
        (b"shop", Decimal(16_384), Decimal(0), Decimal(0), Decimal(0))
    ]
    _, report = ask(instance, PASSWORD)
    (shop,) = (size for size in report.sizes if size.name == "shop")
    assert (shop.size_bytes, shop.freshness) == (16_384, Freshness.CACHED)
    assert 15_000 < mysql8.variables.get("max_execution_time") <= 20_000


def test_the_largest_number_comes_out_whole(mysql8: Mysql8, instance: Instance) -> None:
    mysql8.answers["innodb_tablespaces"] = [(b"shop", Decimal(MOST))]
    _, report = ask(instance, PASSWORD)
    assert sizes(report)["shop"] == MOST  # too large to be kept: the core refuses it


def test_a_sum_that_is_null_is_no_zero(mysql8: Mysql8, instance: Instance) -> None:
    mysql8.answers["innodb_tablespaces"] = [(b"shop", None)]
    with pytest.raises(CollectFailed) as caught:
        ask(instance, PASSWORD)
    assert caught.value.failure.reason is Reason.PROTOCOL


def test_tables_in_a_general_tablespace_are_estimated(mysql8: Mysql8, instance: Instance) -> None:
    mysql8.answers["innodb_page_size"] = [(7, b"shop", 16_384), (8, b"a b", 8192)]
    mysql8.answers["tablestats"] = [(7, "Initialized", 3), (8, "Uninitialized", 0)]
    _, report = ask(instance, PASSWORD)
    (shop,) = (size for size in report.sizes if size.name == "shop")
    assert (shop.size_bytes, shop.freshness) == (114_688 + 3 * 16_384, Freshness.ESTIMATE)
    assert outcomes(report) == {"a b": "error"}


@pytest.mark.parametrize("code", [1227, 1109, 1146, 1054])
def test_without_the_view_the_tables_count(mysql8: Mysql8, instance: Instance, code: int) -> None:
    for view in ("innodb_tablespaces", "innodb_sys_tablespaces"):
        mysql8.answers[view] = code
    mysql8.answers["information_schema.tables"] = [
        ("订单".encode(), Decimal(49_152), Decimal(0), Decimal(0), Decimal(1)),
        (b"shop", Decimal(0), Decimal(2), Decimal(0), Decimal(0)),
    ]
    _, report = ask(instance, PASSWORD)
    assert sizes(report)["订单"] == 49_152
    assert outcomes(report) == {"shop": "error"}
    assert {size.method for size in report.sizes} == {TABLES}
    (orders,) = (size for size in report.sizes if size.name == "订单")
    assert orders.freshness is Freshness.ESTIMATE


def test_a_login_that_sees_one_schema_is_told_so(mysql8: Mysql8, instance: Instance) -> None:
    mysql8.answers["SHOW GRANTS"] = [
        ("GRANT USAGE ON *.* TO `reader`@`%`",),
        ("GRANT SHOW VIEW ON `shop`.* TO `reader`@`%`",),
        ("GRANT `role`@`%` TO `reader`@`%`",),
    ]
    inventory, report = ask(instance, PASSWORD)
    assert not inventory.complete
    assert sizes(report).keys() == {"shop"}
    assert set(outcomes(report).values()) == {"denied"}
    sql = inventory.cure.params["sql"]
    assert sql == "GRANT PROCESS, SHOW VIEW ON *.* TO `reader`@`%`"


def test_wrong_passwords_and_full_servers_are_told(mysql8: Mysql8, instance: Instance) -> None:
    assert refusal(instance, "wrong") == Reason.AUTH_FAILED
    assert refusal(instance, "") == Reason.AUTH_FAILED
    mysql8.is_full = True
    assert refusal(instance, PASSWORD) == Reason.TOO_MANY_CONNECTIONS


def test_a_server_without_tls_is_refused_where_tls_is_a_must(instance: Instance) -> None:
    for mode in (TlsMode.REQUIRE, TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL):
        assert refusal(evolve(instance, tls=Tls(mode)), PASSWORD) == Reason.TLS


@pytest.mark.parametrize(
    "code", [code for code in CODES if not FIRST_OF_CLIENT <= code <= LAST_OF_CLIENT]
)
@pytest.mark.parametrize("question", ["SHOW GRANTS", "information_schema.tables"])
def test_an_error_of_the_server_has_its_reason(
    mysql8: Mysql8, instance: Instance, question: str, code: int
) -> None:
    mysql8.answers[question] = code
    with pytest.raises(CollectFailed) as caught:
        ask(instance, PASSWORD)
    assert caught.value.failure.reason is CODES[code].reason


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("8.4.3", None),
        ("9.1.0-commercial", None),
        ("8.0.36-28 Percona", None),
        ("5.6.51-log", Reason.UNSUPPORTED_VERSION),
        ("nonsense", Reason.PROTOCOL),
    ],
)
def test_versions_are_understood(version: str, reason: Reason | None) -> None:
    with serving(Mysql8(version=version)) as port:
        target = port_instance("mysql", port, username=LOGIN)
        coordinator = coordinator_of(target, PASSWORD)
        assert coordinator.connect() is (reason is None)
        assert (coordinator.failure.reason if coordinator.failure else None) is reason
        coordinator.disconnect()


@pytest.mark.parametrize("version", ["5.7.44-log"])
def test_a_mysql_before_8_is_asked_in_its_own_words(version: str) -> None:
    told = Mysql8(version=version, lacks=frozenset({"information_schema_stats_expiry"}))
    told.answers = {
        "SHOW GRANTS": [(ALL,)],
        "information_schema.schemata": [("Жук", b"@v@U@V")],
        "innodb_sys_tablespaces": [(b"@v@U@V", Decimal(98_304))],
    }
    with serving(told) as port:
        _, report = ask(port_instance("mysql", port, username=LOGIN), PASSWORD)
    assert sizes(report) == {"Жук": 98_304}
    assert {size.freshness for size in report.sizes} == {Freshness.LIVE}
    assert [question for question in told.heard if "USING filename" in question]
