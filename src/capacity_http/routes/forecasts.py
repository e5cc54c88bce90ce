"""When the databases of an instance will be full."""

from attrs import asdict
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from capacity_core.access import Scope
from capacity_core.answer import Answer, Asked
from capacity_core.forecast_views import InstanceForecastView, instance_forecast_view
from capacity_core.messages import text
from capacity_http.asking import AnyRequest
from capacity_http.auth import KNOWN_INSTANCE, KNOWN_QUERY, SCOPE
from capacity_http.facade import Facade, done
from capacity_http.openapi import answers
from capacity_http.routes.parameters import InstanceId


@get(
    "/instances/{instance_id:str}/forecast",
    operation_id="forecast_instance",
    opt={SCOPE: Scope.VIEW, KNOWN_INSTANCE: True, KNOWN_QUERY: True},
    responses=answers(InstanceForecastView, 404),
    tags=["growth"],
)
async def forecast_instance(
    request: AnyRequest,
    facade: NamedDependency[Facade],
    instance_id: InstanceId,
    database_name: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Tell when each active database, or the one named, will be full, soonest first."""

    def work(asked: Asked) -> Answer:
        found = facade.application.forecasts.forecast(instance_id, database_name)
        view = instance_forecast_view(found, asked.language)
        return done(asdict(view, recurse=False), asked, text("done"))

    return await facade.report(request, work)
