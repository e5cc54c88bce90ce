"""The doctor: what the login of an instance lacks."""

from attrs import evolve
from litestar import Response, get
from litestar.di import NamedDependency

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked
from capacity_core.diagnosis_answer import diagnosis_answer
from capacity_http.asking import AnyRequest
from capacity_http.auth import SCOPE
from capacity_http.facade import Facade
from capacity_http.openapi import answers
from capacity_http.routes.parameters import InstanceId
from capacity_http.views import DiagnosisData


@get(
    "/instances/{instance_id:str}/doctor",
    operation_id="examine_instance",
    opt={SCOPE: Scope.UPDATE},
    responses=answers(DiagnosisData, 404, 409),
    tags=["actions"],
)
async def examine_instance(
    request: AnyRequest, facade: NamedDependency[Facade], instance_id: InstanceId
) -> Response[bytes]:
    """Connect, and tell which rights and settings sizing lacks; nothing is changed or kept."""

    def work(asked: Asked) -> Answer:
        application = facade.application
        diagnosis = application.doctor(instance_id)
        told = evolve(asked, now=application.now())
        return diagnosis_answer(diagnosis, told, application.decisions)

    return await facade.sync(request, work)
