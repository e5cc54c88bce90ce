"""Errors of drivers and what they mean: a row of a table each, and nothing breaks the reader."""

import errno
import re
import socket
import ssl
import struct
from decimal import InvalidOperation

import psycopg
import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity_adapters.engines import mysql, postgresql, sqlite
from capacity_adapters.engines.engine import classify
from capacity_adapters.engines.mysql.errors import CODES
from capacity_adapters.engines.postgresql.errors import PHRASES, SQLSTATES
from capacity_core.messages import CATALOGUE
from capacity_core.model import CollectFailed, Reason

pytestmark = pytest.mark.unit

ENGINES = {"postgresql": postgresql.ENGINE, "mysql": mysql.ENGINE, "sqlite": sqlite.ENGINE}
PG = ENGINES["postgresql"]
MY = ENGINES["mysql"]


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


# Words as servers and libpq were heard to say them, or as their sources have them.
RECORDED = [
    ('FATAL:  password authentication failed for user "x"', "auth_failed"),
    ('FATAL:  role "x" does not exist', "auth_failed"),
    ('FATAL:  database "x" does not exist', "database_missing"),
    ("fe_sendauth: no password supplied", "auth_failed"),
    ('FATAL:  LDAP authentication failed for user "x"', "auth_failed"),
    ('FATAL:  role "x" is not permitted to log in', "account_locked"),
    ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "x"', "permission_denied"),
    ("FATAL:  sorry, too many clients already", "too_many_connections"),
    ("FATAL:  remaining connection slots are reserved for roles", "too_many_connections"),
    ('FATAL:  too many connections for role "x"', "too_many_connections"),
    ("FATAL:  no more connections allowed (max_client_conn)", "too_many_connections"),
    ("FATAL:  the database system is starting up", "connection_lost"),
    ("FATAL:  terminating connection due to administrator command", "other"),
    ("SSL error: certificate verify failed", "tls"),
    ('server certificate for "a" does not match host name "b"', "tls"),
    ("server does not support SSL, but SSL was required", "tls"),
    (
        (
            'authentication method requirement "!sspi,!password" failed:'
            " server requested a cleartext password"
        ),
        "tls",
    ),
    ("received invalid response to SSL negotiation: H", "protocol"),
    ("expected authentication request from server, but received H", "protocol"),
    ("Connection refused\n\tIs the server running on that host", "refused"),
    ("No route to host", "unreachable"),
    ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "other"),
]


@pytest.mark.parametrize(("said", "reason"), RECORDED)
def test_a_failed_postgres_connect_is_read_by_its_words(said: str, reason: str) -> None:
    error = psycopg.OperationalError(f'connection to server at "127.0.0.1" failed: {said}')
    assert classify(error, PG).reason == reason


@pytest.mark.parametrize(("phrase", "reason"), PHRASES.items())
def test_no_phrase_is_hidden_by_one_before_it(phrase: str, reason: Reason) -> None:
    assert classify(psycopg.OperationalError(phrase), PG).reason is reason


@pytest.mark.parametrize(("sqlstate", "reason"), SQLSTATES.items())
def test_a_postgres_code_has_its_reason(sqlstate: str, reason: Reason) -> None:
    full = sqlstate.ljust(5, "0")
    error = type("AnError", (psycopg.Error,), {"sqlstate": full})("whatever it says")
    assert classify(error, PG).reason is reason


@pytest.mark.parametrize(("code", "reason"), CODES.items())
def test_a_mysql_code_has_its_reason(code: int, reason: Reason) -> None:
    assert classify(pymysql.OperationalError(code, "whatever it says"), MY).reason is reason


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


KINDS = [
    psycopg.OperationalError,
    psycopg.errors.InsufficientPrivilege,
    pymysql.OperationalError,
    pymysql.InternalError,
    OSError,
    ConnectionError,
    RuntimeError,
    ValueError,
    AssertionError,
    IndexError,
    KeyError,
    struct.error,
]
ARGUMENTS = st.lists(st.text() | st.integers() | st.none() | st.binary(), max_size=3)


@given(
    engine=st.sampled_from(sorted(ENGINES)),
    chain=st.lists(st.tuples(st.sampled_from(KINDS), ARGUMENTS), min_size=1, max_size=4),
    loop=st.booleans(),
)
def test_every_error_has_exactly_one_reason_and_a_hint(
    engine: str, chain: list[tuple[type[Exception], list[object]]], *, loop: bool
) -> None:
    errors = [kind(*arguments) for kind, arguments in chain]
    for error, cause in zip(errors, errors[1:] + errors[: loop and 1], strict=False):
        error.__cause__ = cause
    failure = classify(errors[0], ENGINES[engine])
    assert failure.reason in Reason
    assert failure.hint.key in CATALOGUE


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
