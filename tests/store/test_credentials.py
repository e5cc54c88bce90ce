"""Sealed passwords: unreadable, bound to their instance, its address and their key."""

from hashlib import sha256
from pathlib import Path

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.fleet.crews import Targets, an_application
from tests.stores import KEY, add_instance, execute, instance_in, rows

from capacity_adapters.store import Store, open_store
from capacity_core.errors import StoreError
from capacity_core.model import CollectFailed, NetworkAddress, Reason, Secret

PASSWORD = "correct horse"


def sealed(store: Store, name: str = "shop", password: str = PASSWORD) -> int:
    instance_id = add_instance(store, name)
    with store.begin() as work:
        work.credentials.seal(work.instances.get(instance_id), Secret(password))
        work.commit()
    return instance_id


def refused(store: Store, instance_id: int) -> bool:
    with pytest.raises(CollectFailed) as unavailable:
        store.secret_of(instance_in(store, instance_id))
    return unavailable.value.failure.reason is Reason.CREDENTIAL_UNAVAILABLE


def test_the_password_is_nowhere_in_its_row(real_store: Store) -> None:
    sealed(real_store)
    row = rows(real_store, "credentials")[0]
    assert PASSWORD not in repr(row)
    assert KEY.hex() not in repr(row)


def test_the_same_password_is_sealed_differently_each_time(real_store: Store) -> None:
    for name in ("a", "b"):
        sealed(real_store, name)
    one, other = rows(real_store, "credentials")
    assert one[2:] != other[2:]


def test_a_sync_reads_the_password_with_its_instance(real_store: Store) -> None:
    instance_id = sealed(real_store)
    with real_store.begin() as work:
        instance, _ = work.repository.get_instance_and_databases(instance_id)
    execute(real_store, "DELETE FROM credentials")
    secret = real_store.secret_of(instance)
    assert secret is not None
    assert secret.reveal() == PASSWORD
    assert instance.sealed_password is not None
    assert str(instance.sealed_password.sealed) not in repr((instance, instance.sealed_password))
    with pytest.raises(CollectFailed):
        real_store.secret_of(evolve(instance, address=NetworkAddress("rogue.example.org", 1)))


def test_what_a_sync_returns_has_no_password_any_more(real_store: Store) -> None:
    instance_id = sealed(real_store)
    result = an_application(real_store, Targets()).sync(instance_id)
    assert result.success
    assert result.instance.sealed_password is None


def test_another_key_does_not_open_it(store_url: str) -> None:
    first = open_store(store_url, secret_key=lambda: KEY)
    instance_id = sealed(first)
    first.close()
    other = open_store(store_url, secret_key=lambda: bytes(32))
    assert refused(other, instance_id)
    other.close()


def test_a_row_of_another_instance_does_not_open(real_store: Store) -> None:
    mine, other = sealed(real_store, "mine"), sealed(real_store, "other", "their password")
    execute(real_store, "DELETE FROM credentials WHERE instance_id = :mine", mine=mine)
    execute(real_store, "UPDATE credentials SET instance_id = :mine", mine=mine)
    assert other != mine
    assert refused(real_store, mine)


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE credentials SET key_id = 'x'",
        "UPDATE credentials SET sealed = nonce",
        "UPDATE credentials SET nonce = sealed",
    ],
)
def test_a_tampered_row_does_not_open(real_store: Store, tamper: str) -> None:
    instance_id = sealed(real_store)
    execute(real_store, tamper)
    assert refused(real_store, instance_id)


def test_without_a_key_nothing_is_sealed(store_url: str) -> None:
    store = open_store(store_url)
    with pytest.raises(StoreError):
        sealed(store)
    assert rows(store, "credentials") == []
    store.close()


@pytest.mark.parametrize(
    "elsewhere",
    ["host = 'rogue.example.org'", "port = 1", "db_type = 'mysql'", "path = '/rogue', host = NULL"],
)
def test_a_row_does_not_open_at_an_address_that_was_changed_behind_our_back(
    real_store: Store, elsewhere: str
) -> None:
    instance_id = sealed(real_store)
    execute(real_store, f"UPDATE instances SET {elsewhere}")  # noqa: S608 -- from the list above
    assert refused(real_store, instance_id)


def seal_as_before(store: Store, instance_id: int) -> None:
    """Leave a row as it was when rows knew their instance and key only."""
    key_id = sha256(b"capacity-sync key id\0" + KEY).hexdigest()[:16]
    bound = f"capacity-sync credential {instance_id} {key_id}".encode()
    execute(
        store,
        "UPDATE credentials SET nonce = :nonce, sealed = :sealed",
        nonce=bytes(12),
        sealed=AESGCM(KEY).encrypt(bytes(12), PASSWORD.encode(), bound),
    )


def test_a_row_of_before_opens_once_and_is_bound_to_its_address_then(real_store: Store) -> None:
    instance_id = sealed(real_store)
    seal_as_before(real_store, instance_id)
    for _ in range(2):
        secret = real_store.secret_of(instance_in(real_store, instance_id))
        assert secret is not None
        assert secret.reveal() == PASSWORD
    assert bytes(12) not in rows(real_store, "credentials")[0]
    execute(real_store, "UPDATE instances SET host = 'rogue.example.org'")
    assert refused(real_store, instance_id)


def test_a_row_of_before_opens_even_where_it_cannot_be_bound_yet(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", secret_key=lambda: KEY)
    instance_id = sealed(store)
    seal_as_before(store, instance_id)
    stuck = "BEGIN SELECT RAISE(ABORT, 'stuck'); END"
    execute(store, f"CREATE TRIGGER stuck BEFORE UPDATE ON credentials {stuck}")
    secret = store.secret_of(instance_in(store, instance_id))
    assert secret is not None
    assert secret.reveal() == PASSWORD
    store.close()
