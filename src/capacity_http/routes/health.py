"""Is the service alive, and can it work? Both are public and tell nothing else."""

import asyncio

from litestar import Response, get
from litestar.di import NamedDependency

from capacity_core.answer import Answer, failure
from capacity_core.errors import CapacityError
from capacity_core.messages import text
from capacity_http.asking import AnyRequest
from capacity_http.auth import PUBLIC, SCOPE
from capacity_http.errors import log_failure
from capacity_http.facade import Facade, done, respond
from capacity_http.openapi import health_answers

READY_SECONDS = 2.0


@get(
    "/health/live",
    operation_id="live",
    opt={SCOPE: PUBLIC},
    responses=health_answers(200),
    tags=["health"],
)
async def live(request: AnyRequest, facade: NamedDependency[Facade]) -> Response[bytes]:
    """Answer at once, without any work."""
    asked = facade.asked_by(request)
    return respond(done({"status": "live"}, asked, text("done")), asked)


@get(
    "/health/ready",
    operation_id="ready",
    opt={SCOPE: PUBLIC},
    responses=health_answers(200, 503),
    tags=["health"],
)
async def ready(request: AnyRequest, facade: NamedDependency[Facade]) -> Response[bytes]:
    """Say whether the store can be used; 503 if not, or not within two seconds."""
    asked = facade.asked_by(request)
    try:
        async with asyncio.timeout(READY_SECONDS):
            await facade.in_readers(facade.application.check_store)
    except (CapacityError, TimeoutError) as error:
        answer = Answer(503, failure("INTERNAL_ERROR", text("error.internal"), asked))
        log_failure(answer, error, asked)
        return respond(answer, asked)
    return respond(done({"status": "ready"}, asked, text("done")), asked)
