"""Passwords, sealed with AES-256-GCM and bound to their instance: rows cannot be swapped."""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from attrs import frozen
from sqlalchemy import Delete, delete, insert, select

from capacity_adapters.store.database import Database
from capacity_adapters.store.statements import sought
from capacity_adapters.store.tables import credentials
from capacity_adapters.store.work import Work
from capacity_core.instances import SEALED
from capacity_core.model import CollectFailed, Failure, Reason, Secret

NONCE_BYTES: Final = 12


@frozen
class StoreCredentials:
    _work: Work
    _secret_key: Callable[[], bytes]

    def seal(self, instance_id: int, secret: Secret) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 -- slow to import
            AESGCM,
        )

        key = self._secret_key()
        nonce = secrets.token_bytes(NONCE_BYTES)
        key_id = _key_id(key)
        sealed = AESGCM(key).encrypt(nonce, secret.reveal().encode(), _bound(instance_id, key_id))
        row = {"instance_id": instance_id, "key_id": key_id, "nonce": nonce, "sealed": sealed}
        with self._work.write() as connection:
            connection.execute(_without(instance_id))
            connection.execute(insert(credentials).values(row))

    def forget(self, instance_id: int) -> None:
        with self._work.write() as connection:
            connection.execute(_without(instance_id))


def secret_of(
    database: Database, secret_key: Callable[[], bytes], instance_id: int
) -> Secret | None:
    """Open the instance's kept password, if there is one.

    Raises CollectFailed if this key cannot: it is another one, or the row was tampered with.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 -- likewise
        AESGCM,
    )

    columns = credentials.c.key_id, credentials.c.nonce, credentials.c.sealed
    asked = select(*columns).where(credentials.c.instance_id == sought(instance_id))
    with database.reading() as connection:
        row = connection.execute(asked).one_or_none()
    if row is None:
        return None
    bound = _bound(instance_id, row.key_id)
    try:
        opened = AESGCM(secret_key()).decrypt(row.nonce, row.sealed, bound)
    except InvalidTag:
        failure = Failure.of(Reason.CREDENTIAL_UNAVAILABLE, ref=SEALED)
        raise CollectFailed(failure.reason, failure.hint) from None
    return Secret(opened.decode())


def _key_id(key: bytes) -> str:
    """Tell keys apart without telling anything of them."""
    return sha256(b"capacity-sync key id\0" + key).hexdigest()[:16]


def _bound(instance_id: int, key_id: str) -> bytes:
    return f"capacity-sync credential {instance_id} {key_id}".encode()


def _without(instance_id: int) -> Delete:
    return delete(credentials).where(credentials.c.instance_id == instance_id)
