"""Runs: collections of many instances, started, watched and ended here."""

from typing import Any, Literal

from attrs import frozen
from litestar import HttpMethod, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Stream

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked, failure
from capacity_core.messages import text
from capacity_core.reads import Paging
from capacity_core.run_views import (
    RunFailureView,
    RunItemView,
    RunView,
    run_failure_views,
    run_item_view,
    run_view,
)
from capacity_core.runs import ItemStatus, Run, Selection
from capacity_http.asking import AnyRequest
from capacity_http.auth import KNOWN_QUERY, KNOWN_RUN, SCOPE
from capacity_http.dto import RunSelection, decode
from capacity_http.facade import HEADERS, Facade, done, respond
from capacity_http.openapi import EVENT_STREAM, answers, event_answers, operation_with
from capacity_http.routes.parameters import RunId
from capacity_http.views import PageData, page_data

PATH = "/capacity/runs"
ONE = "/capacity/runs/{run_id:str}"
TAGS = ("runs",)


@frozen
class RunData:
    run: RunView


@frozen
class RunDetailData:
    """`failures`: why items failed or were skipped, the most frequent reason first."""

    run: RunView
    failures: list[RunFailureView]


@frozen
class RunEvent:
    """`data` is the run, as JSON on one line."""

    event: Literal["progress", "end"]
    data: str


@post(
    PATH,
    operation_id="start_run",
    status_code=202,
    opt={SCOPE: Scope.UPDATE, KNOWN_QUERY: True},
    responses=answers(RunData, 409, 413, status=202),
    operation_class=operation_with(RunSelection, required=False),
    tags=TAGS,
)
async def start_run(request: AnyRequest, facade: NamedDependency[Facade]) -> Response[bytes]:
    """Collect the selected instances, or all; a run of the same selection that runs is joined."""
    body = await request.body()

    def work(asked: Asked) -> Answer:
        said = decode(body or b"{}", RunSelection)
        selection = Selection(said.db_types, said.tags, said.instance_ids)
        run, is_new = facade.application.fleet.start(selection, requested_by=request.auth.name)
        facade.wake()
        return _told("run.started" if is_new else "run.joined", run, asked, http_status=202)

    return await facade.write(request, work)


@get(
    PATH,
    operation_id="list_runs",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True},
    responses=answers(PageData[RunView]),
    tags=TAGS,
)
async def list_runs(
    request: AnyRequest, facade: NamedDependency[Facade], paging: NamedDependency[Paging]
) -> Response[bytes]:
    """List the runs, the newest first."""

    def work(asked: Asked) -> Answer:
        return done(page_data(facade.application.fleet.runs(paging), run_view), asked, text("done"))

    return await facade.read(request, work)


@get(
    ONE,
    operation_id="show_run",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True, KNOWN_RUN: True},
    responses=answers(RunDetailData, 404),
    tags=TAGS,
)
async def show_run(
    request: AnyRequest, facade: NamedDependency[Facade], run_id: RunId
) -> Response[bytes]:
    """Show one run, and why items of it failed."""

    def work(asked: Asked) -> Answer:
        fleet = facade.application.fleet
        run = fleet.run(run_id)
        failures = run_failure_views(fleet.reasons(run_id), asked.language)
        return done({"run": run_view(run), "failures": failures}, asked, text("done"))

    return await facade.read(request, work)


@get(
    f"{ONE}/items",
    operation_id="list_run_items",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True, KNOWN_RUN: True},
    responses=answers(PageData[RunItemView], 404),
    tags=TAGS,
)
async def list_run_items(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    run_id: RunId,
    paging: NamedDependency[Paging],
    status: FromQuery[ItemStatus | None] = None,
) -> Response[bytes]:
    """List the items of a run in its order: one an instance, of that status if it is named."""

    def work(asked: Asked) -> Answer:
        found = facade.application.fleet.items(run_id, paging, status)
        data = page_data(found, lambda item: run_item_view(item, asked.language))
        return done(data, asked, text("done"))

    return await facade.read(request, work)


@post(
    f"{ONE}/actions/cancel",
    operation_id="cancel_run",
    status_code=200,
    opt={SCOPE: Scope.UPDATE, KNOWN_QUERY: True, KNOWN_RUN: True},
    responses=answers(RunData, 404, 409),
    tags=TAGS,
)
async def cancel_run(
    request: AnyRequest, facade: NamedDependency[Facade], run_id: RunId
) -> Response[bytes]:
    """Cancel what is pending; what is running may finish, and then the run is cancelled."""

    def work(asked: Asked) -> Answer:
        run = facade.application.fleet.cancel(run_id)
        return _told("run.cancelling" if run.counts.open else "run.cancelled", run, asked)

    return await facade.write(request, work)


@post(
    f"{ONE}/actions/retry",
    operation_id="retry_run",
    status_code=202,
    opt={SCOPE: Scope.UPDATE, KNOWN_QUERY: True, KNOWN_RUN: True},
    responses=answers(RunData, 404, 409, status=202),
    tags=TAGS,
)
async def retry_run(
    request: AnyRequest, facade: NamedDependency[Facade], run_id: RunId
) -> Response[bytes]:
    """Do failed, cancelled and skipped items again; a run that is running goes on as it is."""

    def work(asked: Asked) -> Answer:
        run = facade.application.fleet.retry(run_id)
        facade.wake()
        return _told("run.retried", run, asked, http_status=202)

    return await facade.write(request, work)


@get(
    f"{ONE}/events",
    operation_id="watch_run",
    opt={SCOPE: Scope.VIEW, KNOWN_QUERY: True, KNOWN_RUN: True},
    responses=event_answers(RunEvent, 404, 503),
    tags=TAGS,
)
async def watch_run(
    request: AnyRequest, facade: NamedDependency[Facade], run_id: RunId
) -> Response[Any]:
    """Follow a run by server-sent events.

    Each `progress` has the run as JSON, whenever its counts have changed; the last is `end`, with
    the run as it ended. Comments keep the connection alive.
    """
    asked = facade.asked_by(request)
    if facade.streams.is_full:
        answer = Answer(503, failure("SERVICE_BUSY", text("error.too_many_streams"), asked))
        return respond(answer, asked, {"Retry-After": "10"})
    headers = {**HEADERS, "X-Request-Id": asked.request_id, "X-Accel-Buffering": "no"}
    if request.method == HttpMethod.HEAD:
        return Response(b"", media_type=EVENT_STREAM, headers=headers)
    return Stream(facade.streams.open(run_id), media_type=EVENT_STREAM, headers=headers)


def _told(key: str, run: Run, asked: Asked, *, http_status: int = 200) -> Answer:
    message = text(key, id=run.id, total=run.counts.total, running=run.counts.running)
    return done({"run": run_view(run)}, asked, message, http_status=http_status)
