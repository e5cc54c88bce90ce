"""Many instances from one file."""

from typing import Final

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked
from capacity_http.asking import AnyRequest
from capacity_http.auth import KNOWN_QUERY, SCOPE
from capacity_http.facade import Facade
from capacity_http.openapi import answers, operation_with_text
from capacity_http.views import ImportData

MAX_FILE_BYTES: Final = 16 << 20
_FILE: Final = "UTF-8 whatever the Content-Type; the first line names the columns of the others."


@post(
    "/instances/import",
    operation_id="import_instances",
    status_code=200,
    opt={SCOPE: Scope.ADMIN, KNOWN_QUERY: True},
    responses=answers(ImportData, 409, 413),
    operation_class=operation_with_text("text/csv", _FILE),
    request_max_body_size=MAX_FILE_BYTES,
    tags=["instances"],
)
async def import_instances(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    dry_run: FromQuery[bool] = False,  # noqa: FBT002 -- a query has names only
) -> Response[bytes]:
    """Register the instances of a CSV file, all or none; `extra.errors` has each faulty line."""
    body = await request.body()

    def work(asked: Asked) -> Answer:
        from capacity_core.importing import import_answer  # noqa: PLC0415 -- others do without

        imports = facade.application.importing
        return import_answer(imports.instances(body, dry_run=dry_run, from_afar=True), asked)

    return await facade.report(request, work)
