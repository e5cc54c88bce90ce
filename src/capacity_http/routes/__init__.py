"""Every route of the service."""

from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler

from capacity_http.routes.actions import sync_capacity
from capacity_http.routes.health import live, ready
from capacity_http.routes.instances import (
    add_instance,
    change_instance,
    list_instances,
    remove_instance,
    show_instance,
)
from capacity_http.routes.sizes import database_sizes, databases

_HEALTH = (live, ready)
_READS = (list_instances, show_instance, databases, database_sizes)
_WRITES = (add_instance, change_instance, remove_instance, sync_capacity)


def health_routes() -> Sequence[HTTPRouteHandler]:
    return [*_HEALTH, *map(_head_of, _HEALTH)]


def api_routes() -> Sequence[HTTPRouteHandler]:
    return [*_READS, *map(_head_of, _READS), *_WRITES]


def _head_of(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """Answer HEAD as GET without its body; Litestar does not by itself."""
    head = HTTPRouteHandler(
        sorted(handler.paths), http_method="HEAD", opt=handler.opt, include_in_schema=False
    )
    return head(handler.fn)
