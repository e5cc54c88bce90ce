"""A service over the store in memory, whose instances behave as a test says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, field, frozen
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient
from tests.builders import ENGINES, a_conversation, an_instance

from capacity_adapters.memory import MemoryStore
from capacity_core import CapacityApplication, Instance, Secret
from capacity_core.access import Scope
from capacity_core.ports import CapacityExaminer
from capacity_http import create_app

CoordinatorOf = Callable[[Instance], CapacityExaminer]


@frozen
class Service:
    """The service and a caller who holds a token of every scope."""

    application: CapacityApplication
    store: MemoryStore
    client: TestClient[Litestar]
    tokens: Mapping[Scope, str]

    def call(
        self, method: str, path: str, scope: Scope | None = Scope.ADMIN, **request: Any
    ) -> Response:
        """Call `/api/v1` + path with a token of that scope, or with none."""
        headers = dict(request.pop("headers", {}))
        if scope is not None:
            headers["Authorization"] = f"Bearer {self.tokens[scope]}"
        return self.client.request(method, f"/api/v1{path}", headers=headers, **request)

    def sync(self, instance_id: object, **request: Any) -> Response:
        path = f"/instances/{instance_id}/actions/sync-capacity"
        return self.call("POST", path, Scope.UPDATE, **request)

    def add(self, name: str = "shop", **changes: Any) -> int:
        with self.store.begin() as work:
            added = work.instances.add(evolve(an_instance(name), **changes))
            work.commit()
        return added.id

    def names(self) -> list[str]:
        return [row["name"] for row in self.call("GET", "/instances").json()["data"]["items"]]


@frozen
class Play:
    """How the instances of a service behave; a test may change `coordinator_of`."""

    roles: list[CoordinatorOf] = field(factory=lambda: [lambda _instance: a_conversation()])

    def is_now(self, coordinator_of: CoordinatorOf) -> None:
        self.roles[0] = coordinator_of

    def coordinator_for(
        self, instance: Instance, *, deadline: float, password: Secret | None = None
    ) -> CapacityExaminer:
        del deadline, password
        return self.roles[0](instance)


def an_application(store: MemoryStore, play: Play) -> CapacityApplication:
    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=play.coordinator_for,
        now=lambda: datetime.now(UTC),
        engines=ENGINES,
        path_allowed=lambda path: path.startswith("/data/"),
        check_store=store.check,
    )


@contextmanager
def running(
    application: CapacityApplication, store: MemoryStore, *, workers: int = 8, **options: Any
) -> Iterator[Service]:
    tokens = {scope: application.create_token(f"a {scope}", scope)[1] for scope in Scope}
    app = create_app(application, workers=workers, **options)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(application, store, client, tokens)
