"""Sealed passwords: unreadable, bound to their instance and their key."""

import pytest
from tests.stores import KEY, add_instance, execute, rows

from capacity_adapters.store import Store, open_store
from capacity_core.errors import StoreError
from capacity_core.model import CollectFailed, Reason, Secret

PASSWORD = "correct horse"


def sealed(store: Store, name: str = "shop", password: str = PASSWORD) -> int:
    instance_id = add_instance(store, name)
    with store.begin() as work:
        work.credentials.seal(instance_id, Secret(password))
        work.commit()
    return instance_id


def refused(store: Store, instance_id: int) -> bool:
    with pytest.raises(CollectFailed) as unavailable:
        store.secret_of(instance_id)
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
