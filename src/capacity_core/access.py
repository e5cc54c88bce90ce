"""Who may do what over HTTP: bearer tokens and their scopes."""

import hashlib
import secrets
from datetime import datetime
from enum import StrEnum

from attrs import frozen

TOKEN_PREFIX = "cap_"  # noqa: S105 -- lets secret scanners recognise a leaked token
TOKEN_BYTES = 32


class Scope(StrEnum):
    """view < update < admin: each may do what those before it may."""

    VIEW = "view"
    UPDATE = "update"
    ADMIN = "admin"

    def covers(self, needed: "Scope") -> bool:
        ranks = tuple(Scope)
        return ranks.index(self) >= ranks.index(needed)


@frozen
class ApiToken:
    """A token as it is kept: everything but the token itself. Times in UTC."""

    id: int
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None = None


def new_token() -> str:
    """Draw a token of 256 random bits; it is shown once and kept only as its hash."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """SHA-256 in hex: enough for a secret that is random already."""
    return hashlib.sha256(token.encode()).hexdigest()
