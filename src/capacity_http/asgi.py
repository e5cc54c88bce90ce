"""The service as a server starts it: `uvicorn --factory capacity_http.asgi:create_app`."""

import os

from litestar import Litestar

from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_http import app


def create_app() -> Litestar:
    """Read the environment and open the store, migrating an older one.

    Raises SettingsError, StoreError.
    """
    settings = read_settings(os.environ)
    application = build_application(settings, upgrade=True)
    service = app.create_app(application, language=settings.language, workers=settings.workers)
    service.on_shutdown.append(application.close)
    return service
