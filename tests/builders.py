"""Values that many tests need."""

from datetime import UTC, datetime
from typing import Any

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_core.model import EngineFacts, Instance, Moment, NetworkAddress

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MOMENT = Moment(NOON, NOON.date())
ENGINES = {
    "postgresql": EngineFacts("postgresql", ("postgres", "pg"), 5432),
    "sqlite": EngineFacts("sqlite"),
}


def an_instance(name: str = "shop", *, port: int = 5432) -> Instance:
    return Instance(
        id=0,
        name=name,
        db_type="postgresql",
        address=NetworkAddress("127.0.0.1", port),
        username="reader",
        created_at=NOON,
        updated_at=NOON,
    )


def a_conversation(**told: Any) -> MemoryCoordinator:
    """Prepare one about a database `a` of 10 bytes, unless told otherwise."""
    return MemoryCoordinator(**{"databases": {"a": 10}, **told})
