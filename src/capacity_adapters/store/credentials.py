"""Passwords, sealed with AES-256-GCM and bound to their instance and address.

A row opens neither for another instance nor for the same one at another address, whoever changed
which row.
"""

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from attrs import frozen
from sqlalchemy import Delete, bindparam, delete, insert, select, update

from capacity_adapters.store.database import Database
from capacity_adapters.store.statements import sought
from capacity_adapters.store.tables import credentials
from capacity_adapters.store.work import Work
from capacity_core.errors import StoreError
from capacity_core.instances import SEALED
from capacity_core.model import (
    CollectFailed,
    Failure,
    FileAddress,
    Instance,
    Reason,
    SealedPassword,
    Secret,
)

log = logging.getLogger(__name__)

NONCE_BYTES: Final = 12

_KEPT: Final = select(credentials.c.key_id, credentials.c.nonce, credentials.c.sealed).where(
    credentials.c.instance_id == bindparam("instance_id")
)


@frozen
class StoreCredentials:
    _work: Work
    _secret_key: Callable[[], bytes]

    def seal(self, instance: Instance, secret: Secret) -> None:
        row = _sealed(instance, secret, self._secret_key())
        with self._work.write() as connection:
            connection.execute(_without(instance.id))
            connection.execute(insert(credentials).values(instance_id=instance.id, **row))

    def forget(self, instance_id: int) -> None:
        with self._work.write() as connection:
            connection.execute(_without(instance_id))


def secret_of(
    database: Database, secret_key: Callable[[], bytes], instance: Instance
) -> Secret | None:
    """Open the instance's kept password, if there is one.

    Raises CollectFailed if this key cannot: it is another one, the row was tampered with, or the
    password was kept for another address.
    """
    kept = instance.sealed_password or _kept(database, instance.id)
    if kept is None:
        return None
    key = secret_key()
    secret = _opened(key, kept, _bound(instance, kept.key_id))
    if secret is None:
        secret = _opened(key, kept, _bound_before(instance.id, kept.key_id))
        if secret is None:
            failure = Failure.of(Reason.CREDENTIAL_UNAVAILABLE, ref=SEALED)
            raise CollectFailed(failure.reason, failure.hint)
        _reseal(database, instance, kept, _sealed(instance, secret, key))
    return secret


def _kept(database: Database, instance_id: int) -> SealedPassword | None:
    with database.reading(patient=True) as connection:
        row = connection.execute(_KEPT, {"instance_id": sought(instance_id)}).one_or_none()
    return None if row is None else SealedPassword(*row)


def _sealed(instance: Instance, secret: Secret, key: bytes) -> dict[str, object]:
    from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 -- slow to import
        AESGCM,
    )

    nonce = secrets.token_bytes(NONCE_BYTES)
    key_id = _key_id(key)
    sealed = AESGCM(key).encrypt(nonce, secret.reveal().encode(), _bound(instance, key_id))
    return {"key_id": key_id, "nonce": nonce, "sealed": sealed}


def _opened(key: bytes, kept: SealedPassword, bound: bytes) -> Secret | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 -- likewise
        AESGCM,
    )

    try:
        return Secret(AESGCM(key).decrypt(kept.nonce, kept.sealed, bound).decode())
    except InvalidTag:
        return None


def _reseal(
    database: Database, instance: Instance, old: SealedPassword, values: Mapping[str, object]
) -> None:
    """Bind a row of an older version to where its instance is now; if it cannot, the next will."""
    unchanged = credentials.c.instance_id == instance.id, credentials.c.sealed == old.sealed
    try:
        with database.seam(), database.begin() as connection:
            connection.execute(update(credentials).where(*unchanged).values(values))
            connection.commit()
    except StoreError:
        log.warning("the password of instance %s is not yet bound to its address", instance.id)


def _key_id(key: bytes) -> str:
    """Tell keys apart without telling anything of them."""
    return sha256(b"capacity-sync key id\0" + key).hexdigest()[:16]


def _bound(instance: Instance, key_id: str) -> bytes:
    """Say for whom and where a password is: what is sealed with this opens with nothing else."""
    address = instance.address
    there = [address.path] if isinstance(address, FileAddress) else [address.host, address.port]
    bound = ["capacity-sync credential 2", instance.id, key_id, instance.db_type, *there]
    return json.dumps(bound).encode()


def _bound_before(instance_id: int, key_id: str) -> bytes:
    """What rows were bound to before they knew their address."""
    return f"capacity-sync credential {instance_id} {key_id}".encode()


def _without(instance_id: int) -> Delete:
    return delete(credentials).where(credentials.c.instance_id == instance_id)
