"""API tokens, kept as hashes."""

from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from capacity_adapters.names import refuse_unstorable
from capacity_adapters.store.statements import can_be_known
from capacity_adapters.store.tables import api_tokens
from capacity_adapters.store.work import Work
from capacity_core.access import ApiToken, Scope
from capacity_core.errors import ConflictError, NotFoundError, StoreError
from capacity_core.messages import text

_TOKENS = select(
    api_tokens.c.id,
    api_tokens.c.name,
    api_tokens.c.scope,
    api_tokens.c.created_at,
    api_tokens.c.revoked_at,
)
_WORKING = _TOKENS.where(
    api_tokens.c.token_hash == bindparam("token_hash"), api_tokens.c.revoked_at.is_(None)
)


@frozen
class StoreTokens:
    _work: Work

    def add(self, name: str, scope: Scope, token_hash: str, now: datetime) -> ApiToken:
        refuse_unstorable([name])
        row = {"name": name, "scope": scope, "token_hash": token_hash, "created_at": now}
        kept = insert(api_tokens).values(row).returning(api_tokens.c.id)
        try:
            with self._work.savepoint() as connection:
                new_id = connection.execute(kept).scalar_one()
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise ConflictError(text("error.name_taken", name=name)) from error
            raise
        return ApiToken(new_id, name, scope, now)

    def find(self, token_hash: str) -> ApiToken | None:
        with self._work.read() as connection:
            row = connection.execute(_WORKING, {"token_hash": token_hash}).one_or_none()
        return None if row is None else _token(row)

    def all(self) -> list[ApiToken]:
        with self._work.read() as connection:
            return [_token(row) for row in connection.execute(_TOKENS.order_by(api_tokens.c.id))]

    def revoke(self, name: str, now: datetime) -> None:
        gone = (
            update(api_tokens)
            .where(api_tokens.c.name == name, api_tokens.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        found = 0
        if can_be_known(name):
            with self._work.write() as connection:
                found = connection.execute(gone).rowcount
        if not found:
            raise NotFoundError(text("error.token_missing"))


def _token(row: Row[*tuple[Any, ...]]) -> ApiToken:
    return ApiToken(row.id, row.name, Scope(row.scope), row.created_at, row.revoked_at)
