"""The service as a server starts it: `uvicorn --factory capacity_http.asgi:create_app`."""

import os

from litestar import Litestar

from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application, build_collectors, build_schedule
from capacity_http import app
from capacity_http.plugin import CapacityPlugin
from capacity_http.signals import Ending


def create_app() -> Litestar:
    """Read the environment and open the store, migrating an older one.

    Runs are collected in the background, those that a killed process left as well, or offered to
    workers if there is a queue. Raises SettingsError, StoreError.
    """
    settings = read_settings(os.environ)
    application = build_application(settings, upgrade=True)
    workers = build_collectors(settings, application, works=False)
    service = app.create_app(
        application, language=settings.language, workers=settings.workers, wake=workers.wake
    )
    ending = Ending(service.plugins.get(CapacityPlugin).end_streams, workers.stop)
    service.on_startup.extend([ending.listen, workers.start])
    schedule = build_schedule(settings, application, lambda _run: workers.wake())
    if schedule is not None:
        service.on_startup.append(schedule.start)
        service.on_shutdown.append(schedule.stop)
    service.on_shutdown.extend([ending.finish, application.close])
    return service
