"""Every route of the service, with the HEAD and OPTIONS that HTTP expects beside it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from capacity_http.auth import PUBLIC, SCOPE
from capacity_http.routes.actions import sync_capacity
from capacity_http.routes.capacity import (
    database_growth,
    database_summary,
    instance_growth,
    instance_summary,
    recompute_aggregations,
)
from capacity_http.routes.doctor import examine_instance
from capacity_http.routes.forecasts import forecast_instance
from capacity_http.routes.health import live, ready
from capacity_http.routes.importing import import_instances
from capacity_http.routes.instances import (
    add_instance,
    change_instance,
    list_instances,
    remove_instance,
    show_instance,
)
from capacity_http.routes.runs import (
    cancel_run,
    list_run_items,
    list_runs,
    retry_run,
    show_run,
    start_run,
    watch_run,
)
from capacity_http.routes.sizes import database_sizes, databases, instance_days

_HEALTH = (live, ready)
_READS = (
    list_instances,
    show_instance,
    databases,
    database_sizes,
    instance_days,
    forecast_instance,
    examine_instance,
    database_growth,
    database_summary,
    instance_growth,
    instance_summary,
    list_runs,
    show_run,
    list_run_items,
    watch_run,
)
_WRITES = (
    add_instance,
    import_instances,
    change_instance,
    remove_instance,
    sync_capacity,
    recompute_aggregations,
    start_run,
    cancel_run,
    retry_run,
)


def health_routes() -> list[HTTPRouteHandler]:
    return list(_completed([*_HEALTH, *map(_head_of, _HEALTH)]))


def api_routes() -> list[HTTPRouteHandler]:
    return list(_completed([*_READS, *map(_head_of, _READS), *_WRITES]))


def _head_of(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """Answer HEAD as GET without its body; Litestar does not by itself."""
    head = HTTPRouteHandler(
        sorted(handler.paths), http_method="HEAD", opt=handler.opt, include_in_schema=False
    )
    return head(handler.fn)


def _completed(handlers: Iterable[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """Put OPTIONS before a path's handlers; Litestar's own knows only the first of them."""
    by_path: dict[str, list[HTTPRouteHandler]] = defaultdict(list)
    for handler in handlers:
        for path in handler.paths:
            by_path[path].append(handler)
    for path, here in by_path.items():
        yield _options_of(path, {method for handler in here for method in handler.http_methods})
        yield from here


def _options_of(path: str, methods: Iterable[str]) -> HTTPRouteHandler:
    allow = ", ".join(sorted({*methods, "OPTIONS"}))
    options = HTTPRouteHandler(
        path,
        http_method="OPTIONS",
        status_code=204,
        opt={SCOPE: PUBLIC},
        include_in_schema=False,
        sync_to_thread=False,
    )

    def answer() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allow})

    return options(answer)
