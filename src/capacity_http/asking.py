"""Who asks: the language and the id of a request."""

import re
from datetime import datetime
from typing import Any
from uuid import uuid4

from litestar.connection import ASGIConnection, Request

from capacity_core.answer import Asked
from capacity_core.messages import Language

Connection = ASGIConnection[Any, Any, Any, Any]
AnyRequest = Request[Any, Any, Any]

_LANGUAGES = {str(language): language for language in Language}
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_LANGUAGE_RANGE = re.compile(
    r"\s*(?P<tag>\*|[a-z]{1,8})(?:-[a-z0-9]{1,8})*\s*(?:;\s*q=(?P<q>[01](?:\.\d{0,3})?)\s*)?",
    re.ASCII | re.IGNORECASE,
)


def asked_by(connection: Connection, default: Language, now: datetime) -> Asked:
    """Take the caller's `X-Request-Id` if it is a plain one, else make one."""
    given = connection.headers.get("x-request-id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
    wanted = connection.headers.get("accept-language", "")
    return Asked(language_of(wanted, default), request_id, now)


def language_of(accept_language: str, default: Language) -> Language:
    """Choose the language of the highest weight; the first one named wins a tie."""
    best, weight = default, 0.0
    for part in accept_language.split(","):
        found = _LANGUAGE_RANGE.fullmatch(part)
        language = _language(found["tag"].lower(), default) if found else None
        q = float(found["q"] or 1) if found else 0.0
        if language is not None and q > weight:
            best, weight = language, q
    return best


def _language(tag: str, default: Language) -> Language | None:
    if tag == "*":
        return default
    return _LANGUAGES.get(tag)
