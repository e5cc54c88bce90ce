"""The register of instances."""

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked
from capacity_core.instances import InstanceFields
from capacity_core.messages import text
from capacity_core.model import Instance
from capacity_core.reads import Paging
from capacity_core.views import InstanceView, instance_view
from capacity_http.asking import AnyRequest
from capacity_http.auth import KNOWN_INSTANCE, SCOPE
from capacity_http.dto import InstanceChanges, NewInstance, core_fields, decode
from capacity_http.facade import Facade, done
from capacity_http.openapi import answers, operation_with
from capacity_http.routes.parameters import InstanceId
from capacity_http.views import InstanceData, PageData, page_data

PATH = "/instances"
ONE = "/instances/{instance_id:str}"
TAGS = ("instances",)


@get(
    PATH,
    operation_id="list_instances",
    opt={SCOPE: Scope.VIEW},
    responses=answers(PageData[InstanceView]),
    tags=TAGS,
)
async def list_instances(
    request: AnyRequest, facade: NamedDependency[Facade], paging: NamedDependency[Paging]
) -> Response[bytes]:
    """List the instances that were not removed, by name."""

    def work(asked: Asked) -> Answer:
        found = facade.application.instances(paging)
        return done(page_data(found, instance_view), asked, text("done"))

    return await facade.read(request, work)


@post(
    PATH,
    operation_id="add_instance",
    opt={SCOPE: Scope.ADMIN},
    responses=answers(InstanceData, 409, 413, status=201),
    operation_class=operation_with(NewInstance),
    tags=TAGS,
)
async def add_instance(request: AnyRequest, facade: NamedDependency[Facade]) -> Response[bytes]:
    """Register an instance. Its password is kept sealed and never shown."""
    body = await request.body()

    def work(asked: Asked) -> Answer:
        named, password = core_fields(decode(body, NewInstance))
        fields = InstanceFields(**named)
        added = facade.application.add_instance(fields, password=password, from_afar=True)
        return _told("instance.created", added, asked, http_status=201)

    return await facade.write(request, work)


@get(
    ONE,
    operation_id="show_instance",
    opt={SCOPE: Scope.VIEW},
    responses=answers(InstanceData, 404),
    tags=TAGS,
)
async def show_instance(
    request: AnyRequest, facade: NamedDependency[Facade], instance_id: InstanceId
) -> Response[bytes]:
    """Show one instance."""

    def work(asked: Asked) -> Answer:
        return _told("done", facade.application.get_instance(instance_id), asked)

    return await facade.read(request, work)


@patch(
    ONE,
    operation_id="change_instance",
    opt={SCOPE: Scope.ADMIN, KNOWN_INSTANCE: True},
    responses=answers(InstanceData, 404, 409, 413),
    operation_class=operation_with(InstanceChanges),
    tags=TAGS,
)
async def change_instance(
    request: AnyRequest, facade: NamedDependency[Facade], instance_id: InstanceId
) -> Response[bytes]:
    """Change what the body names; null clears, `tls` and `filters` are replaced whole."""
    body = await request.body()

    def work(asked: Asked) -> Answer:
        named, password = core_fields(decode(body, InstanceChanges))
        changed = facade.application.edit_instance(
            instance_id, named, password=password, from_afar=True
        )
        return _told("instance.changed", changed, asked)

    return await facade.write(request, work)


@delete(
    ONE,
    operation_id="remove_instance",
    status_code=200,
    opt={SCOPE: Scope.ADMIN},
    responses=answers(InstanceData, 404),
    tags=TAGS,
)
async def remove_instance(
    request: AnyRequest, facade: NamedDependency[Facade], instance_id: InstanceId
) -> Response[bytes]:
    """Retire an instance: its history stays, its name is free, its password is forgotten."""

    def work(asked: Asked) -> Answer:
        gone = facade.application.remove_instance(instance_id)
        return _told("instance.removed", gone, asked)

    return await facade.write(request, work)


def _told(key: str, instance: Instance, asked: Asked, *, http_status: int = 200) -> Answer:
    data = {"instance": instance_view(instance)}
    return done(data, asked, text(key, name=instance.name), http_status=http_status)
