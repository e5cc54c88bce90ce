"""The store goes away in mid-run, and comes back: PostgreSQL, stopped and started."""

import threading

import pytest
from tests.fleet.crews import PATIENCE, Targets, a_run, an_application, items_of
from tests.servers import start_postgres, temporary
from tests.stores import rows

from capacity_adapters.queues import collecting
from capacity_adapters.queues.embedded import EmbeddedWorkers
from capacity_adapters.store import open_store
from capacity_core import attempts
from capacity_core.dispatch import Limits
from capacity_core.runs import ItemStatus, RunStatus

INSTANCES = 60
LASTING = ("-c", "synchronous_commit=on")  # else it may forget what it has confirmed


@pytest.mark.live
def test_a_run_outlasts_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(attempts, "BUSY_SECONDS", 0.1)
    with temporary(start_postgres, options=LASTING) as server:
        url = server.url("postgres")
        store = open_store(url)
        targets = Targets()
        application = an_application(store, targets)
        run = a_run(application, INSTANCES)
        fallen = threading.Event()

        def fall(_name: str) -> None:
            if targets.visits.total() == INSTANCES // 2:
                server.stop()
                fallen.set()

        targets.meanwhile = fall
        workers = EmbeddedWorkers(application.fleet, application.leases, Limits(workers=4), 2.0)
        driving = threading.Thread(target=workers.drive, args=[run.id])
        driving.start()
        assert fallen.wait(PATIENCE)
        again = start_postgres(server.folder, options=(*LASTING, "-c", f"port={server.port}"))
        try:
            driving.join()
            ended = application.fleet.run(run.id)
            items = items_of(application, run)
            sized = {row[0] for row in rows(store, "instance_size_stats")}
        finally:
            store.close()
            again.stop()
    completed = {i.instance_id for i in items.values() if i.status is ItemStatus.COMPLETED}
    assert completed <= sized
    assert ended.status is RunStatus.COMPLETED
    assert len(completed) == INSTANCES
