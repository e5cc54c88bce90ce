"""The service: the facade alone in an application of its own."""

from collections.abc import Callable
from importlib.metadata import version

from litestar import Litestar

from capacity_core import CapacityApplication
from capacity_core.messages import Language
from capacity_http.errors import error_handlers_of
from capacity_http.events import USUAL_LIMITS, StreamLimits
from capacity_http.facade import nothing
from capacity_http.openapi import schema_config
from capacity_http.plugin import CapacityConfig, CapacityPlugin


def create_app(
    application: CapacityApplication,
    *,
    language: Language = Language.ZH,
    workers: int = 8,
    wake: Callable[[], None] = nothing,
    stream_limits: StreamLimits = USUAL_LIMITS,
) -> Litestar:
    """Serve the application over HTTP; what may be said is what CapacityConfig says."""
    plugin = CapacityPlugin(
        CapacityConfig(
            application=application,
            language=language,
            workers=workers,
            wake=wake,
            stream_limits=stream_limits,
        )
    )
    return Litestar(
        plugins=[plugin],
        exception_handlers=error_handlers_of(plugin.facade),
        openapi_config=schema_config(version("capacity-sync")),
        logging_config=None,
    )
