"""An engine, of another distribution, whose targets answer at once."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.engines.distributions import install

from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_core import CapacityApplication, InstanceFields
from capacity_core.instances import new_instance

DATABASES: Final = 3
HOSTS: Final = 1_000
MODULE: Final = f"""
    from capacity_adapters.engines import EnginePlugin
    from capacity_adapters.engines.engine import Engine
    from capacity_core.model import (
        CapacityReport, DatabaseSize, EngineFacts, Inventory, SeenDatabase,
    )

    ASKED = []
    NAMES = tuple(f"database_{{number}}" for number in range({DATABASES}))

    class Conversation:
        def inventory(self):
            return Inventory(tuple(map(SeenDatabase, NAMES)))
        def measure(self, names):
            return CapacityReport(tuple(DatabaseSize(name, 4096, "ready") for name in names))
        def examine(self):
            return ()
        def close(self):
            pass

    def opened(target, guard):
        ASKED.append(None)
        return Conversation()

    ENGINE = Engine(open=opened, errors=(OSError,), failure_of=lambda error: None)
    PLUGIN = EnginePlugin(EngineFacts("ready", (), 4711), lambda: ENGINE)
"""


def opened(folder: Path, environment: Mapping[str, str], count: int) -> CapacityApplication:
    """Bring the engine, open the store and register so many instances there."""
    install(folder, "ready_engine", "ready = ready_engine:PLUGIN", MODULE)
    sys.path.insert(0, str(folder))
    os.environ["CAPACITY_SECRET_BENCH"] = "-"  # where password_ref looks
    application = build_application(read_settings(environment))
    with application.begin() as work:
        for number in range(count):
            fields = InstanceFields(
                name=f"row-{number}",
                db_type="ready",
                host=f"host-{number % HOSTS}",
                username="nobody",
                password_ref="env:CAPACITY_SECRET_BENCH",
            )
            draft = new_instance(fields, application.engines, application.now())
            work.instances.add(draft)
        work.commit()
    return application


def asked() -> int:
    """Say how many conversations began in this process."""
    return len(sys.modules["ready_engine"].ASKED)
