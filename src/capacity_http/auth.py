"""Who may: bearer tokens, and a guard that denies every route that does not say its scope."""

import re

from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from capacity_core.access import ApiToken, Scope
from capacity_core.errors import NotFoundError, PermissionRequiredError
from capacity_core.messages import text
from capacity_core.model import MAX_BYTES as MAX_ID
from capacity_http.asking import Connection
from capacity_http.facade import Facade

SCOPE = "capacity_scope"
PUBLIC = "public"
KNOWN_INSTANCE = "capacity_known_instance"
KNOWN_RUN = "capacity_known_run"
KNOWN_QUERY = "capacity_known_query"  # the route refuses query parameters that it does not take

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_ID = re.compile(r"[1-9][0-9]{0,18}")


def guard_of(facade: Facade) -> Guard:
    """Check in the contract's order: 401, 403, 404. Bodies and queries are read afterwards."""

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        if handler.opt.get(SCOPE) == PUBLIC:
            return
        needed: Scope | None = handler.opt.get(SCOPE)
        token = bearer_token(connection)
        raw_id = connection.path_params.get("instance_id")
        raw_run = connection.path_params.get("run_id")

        def admit() -> ApiToken:
            known = facade.application.authorize(token, needed or Scope.ADMIN)
            if needed is None:
                raise PermissionRequiredError(text("error.forbidden", scope="-"))
            instance_id = parse_id(raw_id) if raw_id is not None else None
            if instance_id is not None and handler.opt.get(KNOWN_INSTANCE):
                facade.application.get_instance(instance_id)
            run_id = parse_id(raw_run, "error.run_missing") if raw_run is not None else None
            if run_id is not None and handler.opt.get(KNOWN_RUN):
                facade.application.fleet.run(run_id)
            return known

        connection.scope["auth"] = await facade.in_readers(admit)

    return guard


def bearer_token(connection: Connection) -> str | None:
    found = _BEARER.fullmatch(connection.headers.get("authorization", ""))
    return found[1] if found else None


def parse_id(raw: str, missing: str = "error.instance_missing") -> int:
    """Raises NotFoundError, which says what is `missing`: a malformed id names nothing."""
    if not _ID.fullmatch(raw) or int(raw) > MAX_ID:
        raise NotFoundError(text(missing))
    return int(raw)
