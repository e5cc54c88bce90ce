"""Commands on one instance."""

from attrs import evolve
from litestar import Response, post
from litestar.di import NamedDependency

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked, sync_answer
from capacity_http.asking import AnyRequest
from capacity_http.auth import SCOPE
from capacity_http.facade import Facade
from capacity_http.openapi import answers
from capacity_http.routes.parameters import InstanceId
from capacity_http.views import SyncData


@post(
    "/instances/{instance_id:str}/actions/sync-capacity",
    operation_id="sync_capacity",
    status_code=200,
    opt={SCOPE: Scope.UPDATE},
    responses=answers(SyncData, 404, 409),
    tags=["actions"],
)
async def sync_capacity(
    request: AnyRequest, facade: NamedDependency[Facade], instance_id: InstanceId
) -> Response[bytes]:
    """Measure every database of the instance now, and keep the sizes. No body is needed."""

    def work(asked: Asked) -> Answer:
        result = facade.application.sync(instance_id)
        return sync_answer(result, evolve(asked, now=facade.application.now()))

    return await facade.sync(request, work)
