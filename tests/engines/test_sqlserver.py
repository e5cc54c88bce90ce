"""SQL Server through the real driver, against a stand-in that speaks TDS."""

import getpass
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve
from tests.catalogues import ENTER, LOG, ROWS, STREAM, Catalogue, database, denied, tls_of
from tests.certificates import Certificates, make_certificates
from tests.faults.matrix import holdings, left_behind
from tests.targets import ask, connected, coordinator_of, cures, outcomes, port_instance, refusal
from tests.tds import (
    NOT_SUPPORTED,
    OFF,
    ON,
    REQUIRED,
    Answer,
    Failed,
    HangUp,
    Login,
    Part,
    Rows,
    TdsServer,
    serving,
)

from capacity_adapters.engines.meanings import Meaning
from capacity_adapters.engines.sqlserver import ENGINE, queries
from capacity_adapters.engines.sqlserver.errors import CODES, STATES
from capacity_adapters.engines.sqlserver.queries import RIGHTS
from capacity_core.diagnosis import CheckState
from capacity_core.messages import Language, render
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Freshness,
    Instance,
    Outcome,
    Reason,
    Tls,
    TlsMode,
)

pytestmark = pytest.mark.unit

TEBI = 2**27  # pages


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tds"), getpass.getuser())


@pytest.fixture(scope="module")
def tls(made: Certificates) -> ssl.SSLContext:
    return tls_of(made)


@pytest.fixture
def serve(tls: ssl.SSLContext) -> Iterator[Callable[..., tuple[TdsServer, Instance]]]:
    """Start stand-ins, and give each with an instance that points at it."""
    open_ones = []

    def start(answer: Answer, **how: Any) -> tuple[TdsServer, Instance]:
        server = TdsServer(answer, **{"encryption": ON, "tls": tls, **how})
        lent = serving(server)
        open_ones.append(lent)
        return server, port_instance("sqlserver", lent.__enter__(), username="monitor")

    yield start
    for lent in open_ones:
        lent.__exit__(None, None, None)


Serve = Callable[..., tuple[TdsServer, Instance]]


def sizes_of(serve: Serve, **catalogue: Any) -> dict[str, DatabaseSize]:
    _, report = ask(serve(Catalogue(**catalogue).answer)[1])
    return {size.name: size for size in timed(report)}


def timed(report: CapacityReport) -> tuple[DatabaseSize, ...]:
    """Each size says how long it took; how long is nobody's business here."""
    assert all(size.duration_ms for size in report.sizes)
    return tuple(evolve(size, duration_ms=None) for size in report.sizes)


def test_data_and_log_are_told_apart_in_64_bits(serve: Serve) -> None:
    sizes = sizes_of(
        serve,
        databases=[database(5, "shop")],
        files=[
            (5, "shop", ROWS, 2048 * TEBI, 2048 * TEBI, 0),
            (5, "shop", LOG, 3, 268435456, 0),
        ],
        inside=[Rows([(5, ROWS, 1, 1, 0, TEBI), (5, LOG, 3, 3, 0, 1)])],
    )
    assert sizes["shop"] == DatabaseSize(
        "shop",
        2**51 + 3 * 8192,
        "ms.master_files",
        data_size_bytes=2**51,
        log_size_bytes=3 * 8192,
        used_size_bytes=2**40 + 8192,
        ceiling_bytes=2**51 + 2**41,
        identity="2010-01-01T00:01:40",
    )


def test_a_file_without_end_leaves_no_ceiling_and_an_unknown_use_none(serve: Serve) -> None:
    sizes = sizes_of(
        serve,
        databases=[database(5, "shop")],
        files=[(5, "shop", ROWS, 5, 0, 1), (5, "shop", LOG, 3, 9, 0)],
        inside=[Rows([(5, ROWS, 5, 0, 1, None), (5, LOG, 3, 9, 0, 1)])],
    )
    assert (sizes["shop"].ceiling_bytes, sizes["shop"].used_size_bytes) == (None, None)


@pytest.mark.parametrize(("state", "outcome"), [*STATES.items(), (99, Outcome.OFFLINE)])
def test_a_database_that_is_not_open_has_its_outcome_and_its_bytes(
    serve: Serve, state: int, outcome: Outcome
) -> None:
    files = [(5, "shop", ROWS, 5, 5, 0), (6, "open", ROWS, 1, 1, 0)]
    known = [database(5, "shop", state=state), database(6, "open")]
    sizes = sizes_of(serve, databases=known, files=files)
    assert (sizes["shop"].size_bytes, sizes["shop"].outcome) == (5 * 8192, outcome)
    assert sizes["open"].outcome is Outcome.MEASURED


def test_every_kind_of_database_has_its_fate_in_one_conversation(serve: Serve) -> None:
    server, instance = serve(
        Catalogue(
            databases=[
                database(5, "plain"),
                database(6, "failing"),
                database(7, "streams"),
                database(8, "shut streams", enter=0),
                database(9, "asleep streams", state=6),
                database(10, "slow streams"),
                database(11, "snapshot", source=5),
                database(12, "dropped since"),
            ],
            files=[
                (5, "plain", ROWS, 5, 5, 0),
                (6, "failing", ROWS, 6, 6, 0),
                (7, "streams", ROWS, 7, 7, 0),
                (7, "streams", STREAM, 0, 0, 1),
                (8, "shut streams", STREAM, 0, 0, 1),
                (9, "asleep streams", STREAM, 0, 0, 1),
                (10, "slow streams", STREAM, 0, 0, 1),
                (11, "snapshot", ROWS, 5, 5, 0),
                (12, "somebody else", ROWS, 5, 5, 0),
            ],
            inside=[
                Rows([(5, ROWS, 5, 5, 0, 2)]),
                Rows([(6, 976)]),
                Rows([(7, ROWS, 7, 7, 0, 3), (7, STREAM, 70, 70, 1, 70)]),
                Rows([(10, 1222)]),
            ],
            sparse=Rows([(11, 8192)]),
            rights=denied("CONNECT ANY DATABASE"),
        ).answer
    )
    inventory, report = ask(instance)
    assert inventory.complete
    measured = {each.name: (each.size_bytes // 8192, each.method) for each in report.sizes}
    assert measured == {
        "plain": (5, "ms.master_files"),
        "failing": (6, "ms.master_files"),
        "streams": (77, "ms.database_files"),
        "snapshot": (1, "ms.snapshot_files"),
    }
    assert outcomes(report) == {
        "shut streams": "denied",
        "asleep streams": "offline",
        "slow streams": "timed_out",
        "dropped since": "vanished",
    }
    assert cures(report)["shut streams"] == (
        "USE master; GRANT CONNECT ANY DATABASE TO [mon]]itor]"
    )
    batch = next(query for query in server.queries if "@there" in query)
    assert "database_id IN (5, 6, 7, 10, 12)" in batch


def test_tempdb_is_sized_as_it_is_not_as_it_started(serve: Serve) -> None:
    catalogue = Catalogue(
        databases=[database(2, "tempdb")],
        files=[(2, "tempdb", ROWS, 1, 1, 0)],
        inside=[Rows([(2, ROWS, 900, 1000, 0, 5)])],
    )
    with connected(coordinator_of(serve(catalogue.answer)[1])) as coordinator:
        assert coordinator.fetch_inventory().databases[0].is_system
        (size,) = coordinator.collect_capacity(frozenset({"tempdb"})).sizes
    assert (size.size_bytes, size.method) == (900 * 8192, "ms.database_files")
    assert size.identity is None


def test_files_that_a_login_may_not_see_are_denied_unless_it_may_enter(serve: Serve) -> None:
    catalogue = Catalogue(
        databases=[
            database(5, "shut", enter=0),
            database(6, "mine"),
            database(7, "asleep", state=6),
        ],
        files=[(number, name, None, None, None, None) for number, name in ((5, "shut"),)]
        + [(6, "mine", None, None, None, None), (7, "asleep", None, None, None, None)],
        inside=[Rows([(6, ROWS, 6, 6, 0, 6)])],
        rights=denied("VIEW ANY DEFINITION", "ALTER ANY DATABASE"),
    )
    _, report = ask(serve(catalogue.answer)[1])
    assert [(each.name, each.method) for each in report.sizes] == [("mine", "ms.database_files")]
    assert outcomes(report) == {"shut": "denied", "asleep": "denied"}
    assert cures(report)["shut"] == "USE master; GRANT VIEW ANY DEFINITION TO [mon]]itor]"


@pytest.mark.parametrize(
    ("rights", "complete"),
    [
        (denied(), True),
        (denied("VIEW ANY DATABASE"), True),  # ALTER ANY DATABASE shows them, too
        (denied("VIEW ANY DATABASE", "ALTER ANY DATABASE"), False),
        (dict.fromkeys(RIGHTS), False),
    ],
)
def test_the_list_is_complete_only_for_who_may_see_every_database(
    serve: Serve, rights: Mapping[str, int | None], *, complete: bool
) -> None:
    inventory, _ = ask(serve(Catalogue(rights=rights).answer)[1])
    assert inventory.complete is complete
    said = render(inventory.cure, Language.EN)
    assert ("GRANT VIEW ANY DATABASE TO [mon]]itor]" in said) is not complete


def test_a_snapshot_that_may_not_be_sized_says_which_right_is_missing(serve: Serve) -> None:
    catalogue = Catalogue(
        databases=[database(5, "shop"), database(6, "snap", source=5)],
        files=[(5, "shop", ROWS, 5, 5, 0), (6, "snap", ROWS, 5, 5, 0)],
        sparse=Failed(300),
    )
    _, report = ask(serve(catalogue.answer)[1])
    assert [each.name for each in report.sizes] == ["shop"]
    assert cures(report) == {"snap": "USE master; GRANT VIEW SERVER STATE TO [mon]]itor]"}


def test_sizes_survive_that_looking_into_databases_breaks_off(serve: Serve) -> None:
    catalogue = Catalogue(
        databases=[database(5, "one"), database(6, "two"), database(7, "snap", source=5)],
        files=[(n, name, ROWS, n, n, 0) for n, name in ((5, "one"), (6, "two"), (7, "snap"))],
        inside=[Rows([(5, ROWS, 5, 5, 0, 4)])],
        breaks_off=True,
    )
    _, report = ask(serve(catalogue.answer)[1])
    used = {each.name: each.used_size_bytes for each in report.sizes}
    assert used == {"one": 4 * 8192, "two": None}
    assert outcomes(report) == {"snap": "error"}


def test_half_of_what_a_database_tells_is_not_its_size(serve: Serve) -> None:
    catalogue = Catalogue(
        databases=[database(5, "shop"), database(6, "streams"), database(7, "own")],
        files=[
            (5, "shop", ROWS, 5, 5, 0),
            (5, "shop", LOG, 3, 3, 0),
            (6, "streams", ROWS, 6, 6, 0),
            (6, "streams", STREAM, 0, 0, 1),
            (7, "own", None, None, None, None),
        ],
    )

    def breaks_off_after(number: int) -> Callable[[str], Sequence[Part]]:
        def answer(query: str) -> Sequence[Part]:
            if "@there" in query:
                raise HangUp(Rows([(number, ROWS, 5, 5, 0, 4)]))
            return catalogue.answer(query)

        return answer

    for number in (5, 6, 7):
        _, report = ask(serve(breaks_off_after(number))[1])
        told = [(each.name, each.size_bytes, each.used_size_bytes) for each in report.sizes]
        assert told == [("shop", 8 * 8192, None)]
        assert outcomes(report) == {"streams": "error", "own": "error"}


def test_names_come_as_they_are(serve: Serve) -> None:
    names = ["Shop", "shop", " a ] b ", "数据库 'x'", "名" * 128]
    known = [database(5 + at, name) for at, name in enumerate(names)]
    files = [(5 + at, name, ROWS, 1, 1, 0) for at, name in enumerate(names)]
    assert set(sizes_of(serve, databases=known, files=files)) == set(names)


def test_thousands_of_databases_take_a_batch_a_thousand(serve: Serve) -> None:
    many = range(5, 2505)
    catalogue = Catalogue(
        databases=[database(n, f"d{n}") for n in many],
        files=[(n, f"d{n}", ROWS, n, n, 0) for n in many],
    )
    server, instance = serve(catalogue.answer)
    assert len(ask(instance)[1].sizes) == len(many)
    assert len(server.queries) == 4 + 3


def test_azure_publishes_sizes_in_master(serve: Serve) -> None:
    catalogue = Catalogue(
        edition=5,
        databases=[database(5, "shop"), database(6, "young"), database(7, "reborn")],
        published=Rows([("shop", 2**40, 2**30, 200), ("reborn", 7, 7, 99)]),
    )
    inventory, report = ask(serve(catalogue.answer)[1])
    assert inventory.complete
    assert timed(report) == (
        DatabaseSize(
            "shop",
            2**40,
            "ms.resource_stats",
            used_size_bytes=2**30,
            freshness=Freshness.CACHED,
        ),
    )
    assert {each.name: each.hint.key for each in report.unmeasured} == {
        "young": "cure.mssql_no_stats",
        "reborn": "cure.mssql_no_stats",  # the row is of a database of that name before it
    }


def test_a_database_of_azure_knows_itself_only(serve: Serve) -> None:
    catalogue = Catalogue(
        edition=5,
        here="shop",
        databases=[database(1, "master"), database(5, "shop")],
        inside=[Rows([(ROWS, 5, 50, 0, 3), (LOG, 2, 20, 0, 1)])],
    )
    server, instance = serve(catalogue.answer)
    inventory, report = ask(evolve(instance, database_name="shop"))
    assert ([each.name for each in inventory.databases], inventory.complete) == (["shop"], False)
    (size,) = report.sizes
    assert (size.size_bytes, size.log_size_bytes) == (7 * 8192, 2 * 8192)
    assert (size.used_size_bytes, size.method) == (4 * 8192, "ms.database_files")
    assert size.identity is None
    assert server.logins[0].database == "shop"


def test_a_login_says_who_we_are_and_that_we_read(serve: Serve) -> None:
    server, instance = serve(Catalogue().answer)
    ask(instance, "Pässwörd{}';")
    assert server.logins == [
        Login("monitor", "Pässwörd{}';", "master", "capacity-sync", read_only=True, encrypted=True)
    ]


def test_a_wrong_password_is_tried_once(serve: Serve) -> None:
    server, instance = serve(Catalogue().answer, refusal=[Failed(18456)])
    assert refusal(instance) == Reason.AUTH_FAILED
    assert len(server.logins) == 1


@pytest.mark.parametrize(
    ("number", "meaning"), [pytest.param(*row, id=f"stub-{row[0]}") for row in CODES.items()]
)
def test_an_error_number_has_its_reason_at_login_and_later(
    serve: Serve, number: int, meaning: Meaning
) -> None:
    _, refusing = serve(Catalogue().answer, refusal=[Failed(number)])
    coordinator = coordinator_of(refusing)
    assert not coordinator.connect()
    assert coordinator.failure == meaning.failure(login="[monitor]", database="[master]")
    assert "{" not in render(coordinator.failure.hint, Language.EN)
    _, failing = serve(Catalogue(files=Failed(number)).answer)
    with connected(coordinator_of(failing)) as coordinator:
        coordinator.fetch_inventory()
        with pytest.raises(CollectFailed) as caught:
            coordinator.collect_capacity(frozenset({"master"}))
    assert caught.value.failure.reason is meaning.reason


def test_of_two_errors_of_a_login_the_cause_counts(serve: Serve) -> None:
    """A server says that a database is missing, and then that therefore the login failed."""
    _, instance = serve(Catalogue().answer, refusal=[Failed(4060), Failed(18456)])
    assert refusal(instance) == Reason.DATABASE_MISSING


def test_a_number_that_nobody_knows_is_other(serve: Serve) -> None:
    assert refusal(serve(Catalogue().answer, refusal=[Failed(4711)])[1]) == Reason.OTHER


def test_before_2012_is_too_old(serve: Serve) -> None:
    _, old = serve(Catalogue().answer, version=(10, 50, 6000))
    assert refusal(old) == Reason.UNSUPPORTED_VERSION
    ask(serve(Catalogue().answer, version=(11, 0, 2100))[1])


def test_nobody_is_followed_to_another_host(serve: Serve) -> None:
    _, instance = serve(Catalogue().answer, routed_to="elsewhere.example")
    assert refusal(instance) == Reason.ADDRESS_REFUSED


@pytest.mark.parametrize("mode", TlsMode)
@pytest.mark.parametrize("said", [OFF, NOT_SUPPORTED])
def test_no_password_goes_to_a_server_that_does_not_encrypt(
    serve: Serve, mode: TlsMode, said: int
) -> None:
    server, instance = serve(Catalogue().answer, encryption=said, tls=None)
    assert refusal(evolve(instance, tls=Tls(mode))) == Reason.TLS
    assert server.logins == []


@pytest.mark.parametrize("said", [ON, REQUIRED])
@pytest.mark.parametrize(
    ("mode", "host", "ca", "reason"),
    [
        ("verify-full", "localhost", "ca", None),
        ("verify-full", "127.0.0.1", "ca", "tls"),
        ("verify-full", "localhost", "other_ca", "tls"),
        ("verify-full", "localhost", None, "tls"),
        ("verify-ca", "127.0.0.1", "ca", None),
        ("verify-ca", "127.0.0.1", "other_ca", "tls"),
        ("require", "127.0.0.1", "other_ca", None),
        ("prefer", "127.0.0.1", None, None),
        ("insecure", "127.0.0.1", None, None),
        ("verify-full", "localhost", "missing", "tls"),
    ],
)
def test_a_mode_asks_of_the_certificate_what_its_name_says(
    serve: Serve,
    made: Certificates,
    mode: str,
    host: str,
    ca: str | None,
    reason: str | None,
    said: int,
) -> None:
    server, instance = serve(Catalogue().answer, encryption=said)
    path = None if ca is None else str(getattr(made, ca, "/missing"))
    port = instance.address.port  # type: ignore[union-attr]  # it is a network address
    there = port_instance(
        "sqlserver", port, host=host, username="monitor", tls=Tls(TlsMode(mode), path)
    )
    if reason is None:
        ask(there)
        assert server.logins[0].encrypted
    else:
        assert refusal(there) == reason
        assert server.logins == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_only_who_does_without_security_takes_tls_of_old(serve: Serve, made: Certificates) -> None:
    old = tls_of(made)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    _, instance = serve(Catalogue().answer, tls=old)
    ask(evolve(instance, tls=Tls(TlsMode.INSECURE)))
    assert refusal(evolve(instance, tls=Tls(TlsMode.PREFER))) == Reason.TLS


@pytest.mark.parametrize("field", ["username", "database_name", "password"])
@pytest.mark.parametrize("value", ["x" * 129, "😀", "nul\0"])
def test_what_a_login_cannot_carry_is_refused_before_anything_is_sent(
    serve: Serve, field: str, value: str
) -> None:
    server, instance = serve(Catalogue().answer)
    if field == "password":
        assert refusal(instance, value) == Reason.CREDENTIAL_UNAVAILABLE
    else:
        changed: dict[str, Any] = {field: value}
        assert refusal(evolve(instance, **changed)) == Reason.OTHER
    assert server.logins == []


@pytest.mark.parametrize(
    "row",
    [("x", "y", "z"), (None,), (1, None, 0, None, 1, 0), (5, "shop", 0, None, 1, 0, 0)],
)
def test_rows_of_another_shape_are_no_inventory(serve: Serve, row: tuple[object, ...]) -> None:
    with connected(coordinator_of(serve(Catalogue(databases=[row]).answer)[1])) as coordinator:
        with pytest.raises(CollectFailed) as caught:
            coordinator.fetch_inventory()
        assert caught.value.failure.reason is Reason.PROTOCOL


def test_the_doctor_names_each_right_and_what_it_costs(serve: Serve) -> None:
    catalogue = Catalogue(
        databases=[
            database(5, "shop", enter=0),
            database(6, "snap", source=5),
            database(7, "ok", enter=0),
        ],
        files=[
            (5, "shop", STREAM, 0, 0, 1),
            (6, "snap", ROWS, 1, 1, 0),
            (7, "ok", ROWS, 1, 1, 0),
        ],
        sparse=Failed(300),
        rights={**denied("VIEW SERVER STATE", "VIEW SERVER PERFORMANCE STATE"), ENTER: None},
    )
    with connected(coordinator_of(serve(catalogue.answer)[1])) as coordinator:
        checks = {check.name: check for check in coordinator.examine()}
    assert {name: (check.state, check.costs) for name, check in checks.items()} == {
        "see_databases": (CheckState.OK, ()),
        "see_files": (CheckState.OK, ()),
        "enter_databases": (CheckState.MISSING, ("shop",)),
        "see_snapshots": (CheckState.MISSING, ("snap",)),
    }
    assert "USE [shop]; CREATE USER" in render(checks["enter_databases"].cure, Language.EN)


def test_the_doctor_is_content_with_rights_that_nothing_needs(serve: Serve) -> None:
    rights = denied(ENTER, "VIEW SERVER STATE", "VIEW SERVER PERFORMANCE STATE")
    catalogue = Catalogue(
        databases=[database(5, "shop")], files=[(5, "shop", ROWS, 1, 1, 0)], rights=rights
    )
    with connected(coordinator_of(serve(catalogue.answer)[1])) as coordinator:
        assert {check.state for check in coordinator.examine()} == {CheckState.OK}


def test_scripts_grant_by_quoted_name_and_no_table() -> None:
    scripts = ENGINE.grants("mon]itor")
    said = " ".join(map(str, scripts))
    assert "GRANT CONNECT ANY DATABASE TO [mon]]itor];" in str(scripts[0])
    assert "SELECT" not in said
    assert len({script.applies_to for script in scripts}) == len(scripts)


def test_a_server_that_stops_in_the_middle_ends_in_time(serve: Serve) -> None:
    def answer(query: str) -> Sequence[Part]:
        if query == queries.FILES:
            raise HangUp
        return Catalogue().answer(query)

    with connected(coordinator_of(serve(answer)[1])) as coordinator:
        coordinator.fetch_inventory()
        with pytest.raises(CollectFailed) as caught:
            coordinator.collect_capacity(frozenset({"master"}))
    assert caught.value.failure.reason is Reason.CONNECTION_LOST


@pytest.mark.parametrize(
    ("host", "ca", "cause"),
    [
        ("127.0.0.1", "ca", "name"),
        ("localhost", "other_ca", "authority"),
        ("localhost", None, "authority"),
    ],
)
def test_why_a_certificate_was_refused_is_told(
    serve: Serve, made: Certificates, host: str, ca: str | None, cause: str
) -> None:
    _, instance = serve(Catalogue().answer)
    port = instance.address.port  # type: ignore[union-attr]  # it is a network address
    tls = Tls(TlsMode.VERIFY_FULL, str(getattr(made, ca)) if ca else None)
    coordinator = coordinator_of(port_instance("sqlserver", port, host=host, tls=tls))
    assert not coordinator.connect()
    assert coordinator.failure is not None
    assert coordinator.failure.hint.key == f"hint.tls.{cause}"


def test_conversations_leave_no_thread_and_no_descriptor(serve: Serve) -> None:
    _, instance = serve(Catalogue().answer)
    ask(instance)
    before = holdings()
    for _ in range(20):
        ask(instance)
        assert refusal(evolve(instance, tls=Tls(TlsMode.VERIFY_FULL))) == Reason.TLS
    until = time.monotonic() + 10
    while (left := left_behind(before)) and time.monotonic() < until:
        time.sleep(0.02)  # the stand-in's own side ends a little later
    assert not left
