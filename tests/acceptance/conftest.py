"""A service as it is deployed: real wiring, real store, real servers behind it."""

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from attrs import frozen
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient
from tests.servers import Server

from capacity_adapters.settings import Settings, read_settings
from capacity_adapters.wiring import build_application
from capacity_core import CapacityApplication, Instance, InstanceFields, Secret
from capacity_core.access import Scope
from capacity_http import create_app


@frozen
class Deployment:
    """One service on one store."""

    application: CapacityApplication
    settings: Settings
    client: TestClient[Litestar]
    token: str
    store_url: str

    def register(
        self, server: Server, *, port: int | None = None, user: str = "", **fields: object
    ) -> Instance:
        """Register a server under a name of its own, with its superuser unless another is given."""
        said = InstanceFields(
            name=f"i-{uuid4().hex}",
            db_type=server.scheme,
            host=server.host,
            port=port or server.port,
            username=user or server.user,
            **fields,  # type: ignore[arg-type]  # a builder
        )
        return self.application.add_instance(said, password=Secret(user or server.password))

    def sync(self, instance_id: int, language: str = "zh") -> Response:
        return self.client.post(
            f"/api/v1/instances/{instance_id}/actions/sync-capacity",
            headers={"Authorization": f"Bearer {self.token}", "Accept-Language": language},
        )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Lend an empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    name = f"store_{uuid4().hex}"
    with closing(psycopg.connect(server.url("postgres"), autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        yield server.url(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sync_deadline() -> float:
    """Tell how long a sync may take, in seconds."""
    return 20.0


@pytest.fixture
def deployment(store_url: str, tmp_path: Path, sync_deadline: float) -> Iterator[Deployment]:
    """Lend a running service on an empty store."""
    settings = read_settings(
        {
            "CAPACITY_STORE_URL": store_url,
            "CAPACITY_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
            "CAPACITY_SYNC_DEADLINE": str(sync_deadline),
            "XDG_DATA_HOME": str(tmp_path),
        }
    )
    application = build_application(settings)
    with closing(application):
        _, token = application.create_token("tests", Scope.ADMIN)
        with TestClient(create_app(application), raise_server_exceptions=False) as client:
            yield Deployment(application, settings, client, token, store_url)
