"""Whoever poses as a database is never told the password itself, unless TLS says who it is."""

import getpass
from pathlib import Path

import pytest
from tests.certificates import make_certificates
from tests.faults.listeners import listening
from tests.rogues import CLEAR, GSS, MD5, SASL, SSPI, Rogue, forms_of
from tests.targets import coordinator_of, port_instance

from capacity_adapters.engines.postgresql.connect import methods
from capacity_core.model import CollectFailed, Failure, NetworkAddress, Reason, Tls, TlsMode

PASSWORD = "correct-horse-battery"
MODES = list(TlsMode)
CLEAR_TEXT_PLUGINS = ("mysql_clear_password", "dialog", "mysql_old_password")
SHA_PLUGINS = ("sha256_password", "caching_sha2_password")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    made = make_certificates(tmp_path_factory.mktemp("rogue"), getpass.getuser())
    return made.certificate, made.key


@pytest.fixture(params=["plain", "with TLS"])
def rogue(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Rogue:
    return Rogue(certificate if request.param == "with TLS" else None)


def failure(db_type: str, port: int, mode: TlsMode) -> Failure:
    instance = port_instance(db_type, port, host="localhost", username="app", tls=Tls(mode))
    assert isinstance(instance.address, NetworkAddress)
    coordinator = coordinator_of(instance, PASSWORD)
    assert not coordinator.connect()
    coordinator.disconnect()
    assert coordinator.failure is not None
    return coordinator.failure


def assert_ignorant(rogue: Rogue) -> None:
    learned = rogue.learned()
    assert not [form for form in forms_of(PASSWORD) if form in learned]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pooler", [False, True], ids=["", "pooler"])
@pytest.mark.parametrize("asks", [(CLEAR,), (SASL, CLEAR), (MD5, CLEAR), (GSS,), (SSPI,)], ids=str)
def test_a_rogue_postgresql_is_never_told_the_password(
    rogue: Rogue, mode: TlsMode, asks: tuple[int, ...], pooler: bool
) -> None:
    with listening(rogue.postgres(asks, pooler=pooler)) as port:
        found = failure("postgresql", port, mode)
    assert_ignorant(rogue)
    spoke = mode in {TlsMode.PREFER, TlsMode.INSECURE} or (
        mode is TlsMode.REQUIRE and rogue.certificate is not None
    )
    assert (b"user\0app\0" in rogue.heard) is spoke  # else this test would prove nothing
    if asks == (CLEAR,):
        assert found.reason is Reason.TLS
        assert (found.hint.key == "hint.tls.password_asked") is spoke


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("plugin", CLEAR_TEXT_PLUGINS)
@pytest.mark.parametrize("greeted", [True, False], ids=["greeted", "switched"])
def test_a_rogue_mysql_is_never_told_the_password_itself(
    rogue: Rogue, mode: TlsMode, plugin: str, greeted: bool
) -> None:
    names = (plugin, plugin) if greeted else ("mysql_native_password", plugin)
    with listening(rogue.mysql(*names)) as port:
        assert failure("mysql", port, mode).reason is Reason.TLS
    assert_ignorant(rogue)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode is not TlsMode.INSECURE])
@pytest.mark.parametrize("plugin", SHA_PLUGINS)
@pytest.mark.parametrize("greeted", [True, False], ids=["greeted", "switched"])
def test_a_rogue_mysql_s_own_key_seals_no_password(
    rogue: Rogue, mode: TlsMode, plugin: str, greeted: bool
) -> None:
    greeting = plugin if greeted else "mysql_native_password"
    with listening(rogue.mysql(greeting, plugin)) as port:
        assert failure("mysql", port, mode).reason is Reason.TLS
    assert_ignorant(rogue)


@pytest.mark.parametrize("greeted", ["caching_sha2_password", "mysql_native_password"])
def test_a_mysql_that_a_hash_is_enough_for_lets_us_in(rogue: Rogue, greeted: str) -> None:
    with listening(rogue.mysql(greeted, "caching_sha2_password", content=True)) as port:
        failure("mysql", port, TlsMode.PREFER)
    assert b"SET NAMES" in rogue.heard
    assert_ignorant(rogue)


@pytest.mark.parametrize("plugin", SHA_PLUGINS)
def test_with_insecure_a_mysql_s_own_key_is_the_operator_s_word(plugin: str) -> None:
    rogue = Rogue()
    with listening(rogue.mysql("mysql_native_password", plugin)) as port:
        failure("mysql", port, TlsMode.INSECURE)
    assert PASSWORD.encode() in rogue.learned()
    assert PASSWORD.encode() not in rogue.heard


@pytest.mark.parametrize("mode", MODES)
def test_a_libpq_that_cannot_be_told_to_refuse_is_not_used(mode: TlsMode) -> None:
    if mode in {TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA}:
        assert methods(mode, ()) == {}
        return
    with pytest.raises(CollectFailed) as refused:
        methods(mode, ())
    assert refused.value.failure.reason is Reason.DRIVER_MISSING
