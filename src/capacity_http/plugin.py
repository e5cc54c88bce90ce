"""The facade as a Litestar plugin, for a host application of another purpose too."""

from collections.abc import Callable

from attrs import frozen
from litestar import Router
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import InitPlugin

from capacity_core import CapacityApplication
from capacity_core.messages import Language
from capacity_http.auth import guard_of
from capacity_http.errors import error_handlers_of
from capacity_http.events import USUAL_LIMITS, StreamLimits
from capacity_http.facade import Facade, nothing
from capacity_http.openapi import BEARER, SECURITY
from capacity_http.routes import api_routes, health_routes
from capacity_http.routes.parameters import DEPENDENCIES, refuse_unknown

MAX_BODY_BYTES = 1024 * 1024


@frozen(kw_only=True)
class CapacityConfig:
    """`workers` syncs run at once, others wait; `path` is where all routes hang.

    The application stays its maker's: the plugin does not close it. Runs are collected by whoever
    the maker lets do that: `wake` is called, from a thread, when there is something to collect.
    A server that waits for its open connections ends streams by `CapacityPlugin.end_streams`.
    """

    application: CapacityApplication
    language: Language = Language.ZH
    workers: int = 8
    path: str = "/"
    wake: Callable[[], None] = nothing
    stream_limits: StreamLimits = USUAL_LIMITS


class CapacityPlugin(InitPlugin):
    """Adds our routes with their own guard and errors; a host's other routes stay as they are.

    A path or method that no route has is the host's to refuse, below our path as well.
    """

    def __init__(self, config: CapacityConfig) -> None:
        self.facade = Facade(
            application=config.application,
            language=config.language,
            workers=config.workers,
            wake=config.wake,
            stream_limits=config.stream_limits,
        )
        self.path = config.path

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Hang in the routes, the pools' lifespan and the schema's security scheme."""
        app_config.route_handlers.append(self._router())
        app_config.lifespan.append(self.facade.lifespan)
        if app_config.openapi_config is not None:
            there = app_config.openapi_config.components
            every = there if isinstance(there, list) else [there]
            app_config.openapi_config.components = [*every, SECURITY]
        return app_config

    def end_streams(self) -> None:
        """End the events that somebody follows; from any thread, or a signal's handler."""
        self.facade.streams.end()

    def _router(self) -> Router:
        return Router(
            self.path,
            route_handlers=[
                *health_routes(),
                Router("/api/v1", route_handlers=api_routes(), security=[{BEARER: []}]),
            ],
            guards=[guard_of(self.facade), refuse_unknown],
            dependencies={
                "facade": Provide(lambda: self.facade, sync_to_thread=False),
                **{
                    name: Provide(made, sync_to_thread=False) for name, made in DEPENDENCIES.items()
                },
            },
            exception_handlers=error_handlers_of(self.facade),
            request_max_body_size=MAX_BODY_BYTES,
        )
