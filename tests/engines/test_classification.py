"""Errors of drivers and what they mean: a row of a table each, and nothing breaks the reader."""

import errno
import re
import socket
import ssl
import struct
from collections.abc import Mapping
from decimal import InvalidOperation
from typing import Any

import psycopg
import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.listeners import listening, saying
from tests.targets import coordinator_of, port_instance

from capacity_adapters.engines import mysql, oracle, postgresql, sqlite, sqlserver
from capacity_adapters.engines.engine import CERTIFICATE_CAUSES, Engine, classify
from capacity_adapters.engines.meanings import Meaning
from capacity_adapters.engines.mysql.errors import CODES
from capacity_adapters.engines.mysql.errors import PHRASES as MY_PHRASES
from capacity_adapters.engines.postgresql.errors import PHRASES as PG_PHRASES
from capacity_adapters.engines.postgresql.errors import ROUTINES, SQLSTATES
from capacity_core.messages import CATALOGUE, Language, render
from capacity_core.model import CollectFailed, Instance, Reason, Tls, TlsMode

pytestmark = pytest.mark.unit

ENGINES = {
    "postgresql": postgresql.ENGINE,
    "mysql": mysql.ENGINE,
    "sqlite": sqlite.ENGINE,
    "sqlserver": sqlserver.ENGINE,
    "oracle": oracle.ENGINE,
}
PG = ENGINES["postgresql"]
MY = ENGINES["mysql"]


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def told(error: Exception, engine: Engine) -> str:
    """Give the whole of what an operator would be told: the reason, and the cause if any."""
    failure = classify(error, engine)
    assert failure.hint.key.startswith(f"hint.{failure.reason}")
    assert failure.hint.key in CATALOGUE
    return failure.hint.key.removeprefix("hint.")


def expected(meaning: Meaning) -> str:
    return f"{meaning.reason}.{meaning.cause}" if meaning.cause else str(meaning.reason)


def tiered(tier: str, rows: Mapping[Any, Meaning]) -> list[Any]:
    """Name each row by how it is known; what real servers said is in test_reasons_live."""
    return [pytest.param(key, rows[key], id=f"{tier}-{key}") for key in rows]


# Words as servers and libpq were heard to say them, or as their sources have them.
RECORDED = [
    ('FATAL:  password authentication failed for user "x"', "auth_failed.or_expired"),
    ('FATAL:  role "x" does not exist', "auth_failed.user"),
    ('FATAL:  database "x" does not exist', "database_missing"),
    ("fe_sendauth: no password supplied", "auth_failed.no_password"),
    ('FATAL:  LDAP authentication failed for user "x"', "auth_failed"),
    ('FATAL:  role "x" is not permitted to log in', "account_locked.no_login"),
    ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "x"', "permission_denied.hba"),
    ("FATAL:  sorry, too many clients already", "too_many_connections"),
    ("FATAL:  remaining connection slots are reserved for roles", "too_many_connections"),
    ('FATAL:  too many connections for role "x"', "too_many_connections.login"),
    ('FATAL:  too many connections for database "x"', "too_many_connections.database"),
    ("FATAL:  no more connections allowed (max_client_conn)", "too_many_connections"),
    ("FATAL:  the database system is starting up", "connection_lost.starting"),
    ("FATAL:  terminating connection due to administrator command", "other"),
    ("SSL error: certificate verify failed", "tls.authority"),
    ("SSL error: certificate verify failed: certificate has expired", "tls.expired"),
    ("SSL error: tlsv13 alert certificate required", "tls.client"),
    ('server certificate for "a" does not match host name "b"', "tls.name"),
    ("server does not support SSL, but SSL was required", "tls.none"),
    (
        (
            'authentication method requirement "!sspi,!password" failed:'
            " server requested a cleartext password"
        ),
        "tls.password_asked",
    ),
    ("received invalid response to SSL negotiation: H", "protocol"),
    ("expected authentication request from server, but received H", "protocol"),
    ("Connection refused\n\tIs the server running on that host", "refused"),
    ("received invalid authentication request", "protocol"),
    ("Connection reset by peer\n\tIs the server running on that host", "connection_lost"),
    ("could not send startup packet: Broken pipe", "connection_lost"),
    ("No route to host", "unreachable"),
    ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "other"),
    # With codes: what the words are does not matter.
    ('致命错误:  28P01: 用户 "x" Password 认证失败', "auth_failed.or_expired"),
    (
        "致命错误:  53300: 太多了\nLOCATION:  InitializeSessionUserId, a.c:7",
        "too_many_connections.login",
    ),
    ("致命错误:  53300: 太多了\n位置:  CheckMyDatabase, a.c:7", "too_many_connections.database"),
    ("致命错误:  53300: 太多了\nLOCATION:  InitProcess, proc.c:7", "too_many_connections"),
    ('致命错误:  99999: "too many connections" 不是', "too_many_connections"),
    ("致命错误:  99999: 谁也不知道", "other"),
    # A pooler has one code for all that it says.
    ("FATAL:  08P01: no more connections allowed (max_client_conn)", "too_many_connections"),
    ("FATAL:  08P01: no such database: x", "database_missing"),
    ("FATAL:  08P01: server login has been failing", "connection_lost"),
]
HBA = "FATAL:  28000: 没有用于主机的 pg_hba.conf 记录\nLOCATION:  ClientAuthentication, auth.c:519"
WRONG = "FATAL:  28P01: 认证失败\nLOCATION:  auth_failed, auth.c:331"
AGAIN = '\nconnection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(("said", "hint"), RECORDED)
def test_a_failed_postgres_connect_is_read_by_code_or_words(said: str, hint: str) -> None:
    error = psycopg.OperationalError(f'connection to server at "127.0.0.1" failed: {said}')
    assert told(error, PG) == hint


@pytest.mark.parametrize("said", [HBA + AGAIN + WRONG, WRONG + AGAIN + HBA])
def test_a_connect_that_was_tried_twice_tells_what_matters_more(said: str) -> None:
    assert told(psycopg.OperationalError(said), PG) == "auth_failed.or_expired"
    assert told(psycopg.OperationalError(HBA + AGAIN + HBA), PG) == "permission_denied.hba"


@pytest.mark.parametrize(("phrase", "meaning"), tiered("documented", PG_PHRASES))
def test_no_phrase_is_hidden_by_one_before_it(phrase: str, meaning: Meaning) -> None:
    assert told(psycopg.OperationalError(phrase), PG) == expected(meaning)


@pytest.mark.parametrize(("sqlstate", "meaning"), tiered("documented", SQLSTATES))
def test_a_statement_s_code_has_its_reason(sqlstate: str, meaning: Meaning) -> None:
    full = sqlstate.ljust(5, "0")
    error = type("AnError", (psycopg.Error,), {"sqlstate": full})("whatever it says")
    assert told(error, PG) == expected(meaning)


def refusing(code: str, routine: str, words: str = "不行") -> bytes:
    """Say no as a PostgreSQL does that speaks Chinese."""
    fields = f"S致命错误\0VFATAL\0C{code}\0M{words}\0Fx.c\0L7\0R{routine}\0\0".encode()
    return b"E" + struct.pack("!I", len(fields) + 4) + fields


AT_THE_DOOR = {(code.ljust(5, "0"), "AnyFunction"): SQLSTATES[code] for code in SQLSTATES}


@pytest.mark.parametrize(("key", "meaning"), tiered("stub", {**AT_THE_DOOR, **ROUTINES}))
def test_a_server_s_code_is_read_whatever_its_language(
    key: tuple[str, str], meaning: Meaning
) -> None:
    with listening(saying(refusing(*key))) as port:
        instance = port_instance("postgresql", port, tls=Tls(TlsMode.INSECURE))
        assert refused_by(instance) == expected(meaning)


@pytest.mark.parametrize(
    ("words", "hint"),
    [('too many connections for role "x"', "too_many_connections.login"), ("不行", "other")],
)
def test_where_libpq_cannot_be_told_to_give_codes_words_have_to_do(
    monkeypatch: pytest.MonkeyPatch, words: str, hint: str
) -> None:
    monkeypatch.setattr("capacity_adapters.engines.postgresql.verbosity._switch", lambda: None)
    with listening(saying(refusing("53300", "InitializeSessionUserId", words))) as port:
        instance = port_instance("postgresql", port, tls=Tls(TlsMode.INSECURE))
        assert refused_by(instance) == hint


FROM_SERVERS = {code: CODES[code] for code in CODES if not 2000 <= code < 3000}
FROM_PYMYSQL = {code: CODES[code] for code in CODES if 2000 <= code < 3000}


@pytest.mark.parametrize(("code", "meaning"), tiered("stub", FROM_SERVERS))
def test_a_server_s_number_has_its_reason(code: int, meaning: Meaning) -> None:
    packet = b"\xff" + struct.pack("<H", code) + b"#HY000" + "不行".encode()
    with listening(saying(struct.pack("<I", len(packet)) + packet)) as port:
        instance = port_instance("mysql", port, tls=Tls(TlsMode.INSECURE))
        assert refused_by(instance) == expected(meaning)


@pytest.mark.parametrize(("code", "meaning"), tiered("documented", FROM_PYMYSQL))
def test_a_client_s_number_has_its_reason(code: int, meaning: Meaning) -> None:
    assert told(pymysql.OperationalError(code, "whatever it says"), MY) == expected(meaning)


@pytest.mark.parametrize(("phrase", "meaning"), tiered("documented", MY_PHRASES))
def test_what_pymysql_says_without_a_number_has_its_reason(phrase: str, meaning: Meaning) -> None:
    assert told(pymysql.OperationalError(f"{phrase} - got 45"), MY) == expected(meaning)


def refused_by(instance: Instance) -> str:
    coordinator = coordinator_of(instance, "secret")
    try:
        assert not coordinator.connect()
        assert coordinator.failure is not None
        cure = coordinator.failure.hint.params.get("cure", "")
        assert "{" not in repr(getattr(cure, "params", {}).get("sql", ""))
        return coordinator.failure.hint.key.removeprefix("hint.")
    finally:
        coordinator.disconnect()


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        pytest.param(code, f"tls.{cause}", id=f"documented-{code}")
        for code, cause in CERTIFICATE_CAUSES.items()
    ]
    + [pytest.param(23, "tls", id="documented-revoked"), pytest.param(None, "tls", id="none")],
)
def test_why_a_certificate_was_refused_is_told(code: int | None, hint: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    if code is not None:
        error.verify_code = code
    assert told(caused(pymysql.OperationalError(2003, "x"), error), MY) == hint


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (caused(pymysql.OperationalError(2003, "x"), ConnectionRefusedError()), "refused"),
        (caused(pymysql.OperationalError(2003, "x"), socket.gaierror()), "name_resolution"),
        (caused(pymysql.OperationalError(2003, "x"), ssl.SSLCertVerificationError()), "tls"),
        (caused(pymysql.OperationalError(2003, "x"), TimeoutError()), "timeout"),
        (pymysql.OperationalError(2003, "x"), "other"),
        (pymysql.InternalError("Packet sequence number wrong - got 45 expected 0"), "protocol"),
        (RuntimeError("'cryptography' package is required for sha256_password"), "driver_missing"),
        (RuntimeError("**WARN**: Received LOAD_LOCAL packet"), "other"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "protocol"),
        (struct.error(), "protocol"),
        (IndexError(), "protocol"),
        (KeyError(), "protocol"),
        (AttributeError(), "protocol"),
        (TypeError(), "protocol"),
        (ValueError(), "protocol"),
        (InvalidOperation(), "protocol"),
        (pymysql.OperationalError(), "other"),
        (pymysql.OperationalError("text"), "other"),
    ],
)
def test_what_pymysql_raises_has_a_reason(error: Exception, reason: str) -> None:
    assert classify(error, MY).reason == reason


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EHOSTUNREACH, "x"), "unreachable"),
        (OSError(errno.ENETUNREACH, "x"), "unreachable"),
        (OSError(errno.ENOTCONN, "x"), "connection_lost"),
        (OSError(errno.EMFILE, "x"), "other"),
        (ConnectionResetError(), "connection_lost"),
        (TimeoutError(), "timeout"),
        (CollectFailed(Reason.EMPTY), "empty"),
    ],
)
def test_errors_of_the_system_mean_the_same_everywhere(
    engine: str, error: Exception, reason: str
) -> None:
    assert classify(error, ENGINES[engine]).reason == reason


def kinds_of(*roots: type[BaseException]) -> list[type[BaseException]]:
    """List the classes and all that are made from them."""
    found = list(roots)
    for kind in found:
        found += [each for each in type.__subclasses__(kind) if each not in found]
    return found


# Every class of error there is: the drivers', Python's own, and whatever else is loaded.
KINDS = [each for each in kinds_of(BaseException) if each is not CollectFailed]  # ours is whole
# A certain share of what drivers raise has numbers and words that mean something to us.
WORDS = st.sampled_from([*PG_PHRASES, *MY_PHRASES, *(said for said, _ in RECORDED), HBA, WRONG])
ARGUMENTS = st.lists(
    st.text() | st.integers() | st.sampled_from(sorted(CODES)) | WORDS | st.none() | st.binary(),
    max_size=3,
)


def made(kind: type[BaseException], arguments: list[object]) -> BaseException:
    """Make one; a class that wants other arguments gets these behind its back."""
    try:
        return kind(*arguments)
    except Exception:  # noqa: BLE001 -- anybody's class
        error = kind.__new__(kind)
        error.args = tuple(arguments)
        return error


def is_makeable(kind: type[BaseException]) -> bool:
    try:
        made(kind, [])
    except Exception:  # noqa: BLE001 -- anybody's class
        return False
    return True


@given(
    engine=st.sampled_from(sorted(ENGINES)),
    chain=st.lists(
        st.tuples(st.sampled_from([each for each in KINDS if is_makeable(each)]), ARGUMENTS),
        min_size=1,
        max_size=4,
    ),
    cause=st.booleans(),
    loop=st.booleans(),
)
def test_every_error_has_exactly_one_reason_and_a_hint(
    engine: str, chain: list[tuple[type[BaseException], list[object]]], *, cause: bool, loop: bool
) -> None:
    errors = [made(*each) for each in chain]
    for error, other in zip(errors, errors[1:] + errors[: loop and 1], strict=False):
        setattr(error, "__cause__" if cause else "__context__", other)
    failure = classify(errors[0], ENGINES[engine])
    assert failure.reason in Reason
    assert failure.hint.key in CATALOGUE
    for language in Language:
        assert "{" not in render(failure.hint, language)


@given(st.sampled_from([psycopg.OperationalError, pymysql.OperationalError]), st.text())
def test_odd_words_are_read_as_nothing_or_as_what_they_are(
    kind: type[Exception], said: str
) -> None:
    engine = PG if kind is psycopg.OperationalError else MY
    assert told(kind(said), engine) in {"other", *map(expected, PG_PHRASES.values())}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unknown_error_is_no_guess(engine: str) -> None:
    for error in (Exception("who knows"), psycopg.Error("x"), pymysql.Error(9999, "x")):
        assert told(error, ENGINES[engine]) == "other"


@pytest.mark.parametrize(
    "error", [AttributeError, TypeError, KeyError, IndexError, InvalidOperation, struct.error]
)
def test_whatever_pymysql_stumbles_over_is_one_of_the_engines_errors(
    error: type[Exception],
) -> None:
    assert issubclass(error, MY.errors)


def test_a_hint_never_repeats_what_a_peer_said() -> None:
    secret = "hunter2"
    error = psycopg.OperationalError(f'FATAL:  password authentication failed for "{secret}"')
    assert not re.search(secret, repr(classify(error, PG)))
