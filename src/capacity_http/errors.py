"""How what was raised becomes the contract's error envelope."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus

from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from capacity_core.answer import Answer, Asked, ErrorEnvelope, error_answer, failure
from capacity_core.errors import AuthenticationRequiredError, CapacityError
from capacity_core.messages import Text, text
from capacity_http.asking import AnyRequest
from capacity_http.dto import type_error
from capacity_http.facade import Facade, respond

log = logging.getLogger(__name__)

# What Litestar itself refuses, by status: code, text and field.
_REFUSALS: Mapping[int, tuple[str, Text, str | None]] = {
    400: ("VALIDATION_ERROR", text("error.malformed", why="HTTP"), "request"),
    404: ("RESOURCE_NOT_FOUND", text("error.not_found"), None),
    405: ("INVALID_REQUEST", text("error.method"), None),
    413: ("VALIDATION_ERROR", text("error.too_large"), "body"),
}
# What a host's guard or limiter refuses, likewise.
_FOREIGN_CODES: Mapping[int, str] = {401: "AUTHENTICATION_REQUIRED", 403: "PERMISSION_REQUIRED"}


def error_handlers_of(facade: Facade) -> ExceptionHandlersMap:
    """Handle what our routes raise; said one by one, since a host's more special ones would win."""
    handler = error_handler_of(facade)
    return dict.fromkeys([Exception, CapacityError, HTTPException, *_REFUSALS], handler)


def error_handler_of(facade: Facade) -> Callable[[AnyRequest, Exception], Response[bytes]]:
    """Answer any exception; what nobody foresaw is logged, and never told to the caller."""

    def handle(request: AnyRequest, error: Exception) -> Response[bytes]:
        asked = facade.asked_by(request)
        answer = answer_to(error, asked)
        if answer.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log_failure(answer, error, asked)
        return respond(answer, asked, _headers(error))

    return handle


def answer_to(error: Exception, asked: Asked) -> Answer:
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        return error_answer(type_error(error.extra[0]["key"]), asked)
    if isinstance(error, HTTPException) and error.status_code in _REFUSALS:
        code, message, field = _REFUSALS[error.status_code]
        extra = {"field": field} if field else None
        return Answer(error.status_code, failure(code, message, asked, extra))
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        code = _FOREIGN_CODES.get(error.status_code, "INVALID_REQUEST")
        return Answer(error.status_code, failure(code, text("error.refused"), asked))
    return error_answer(error, asked)


def log_failure(answer: Answer, error: Exception, asked: Asked) -> None:
    """Log what the caller is not told, under the `error_id` that the answer shows."""
    if isinstance(answer.envelope, ErrorEnvelope):
        error_id, request_id = answer.envelope.error_id, asked.request_id
        log.error("error %s of request %s", error_id, request_id, exc_info=error)


def _headers(error: Exception) -> Mapping[str, str]:
    if isinstance(error, AuthenticationRequiredError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, HTTPException) and error.headers:
        return error.headers
    return {}
