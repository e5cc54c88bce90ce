"""An instance of 10,000 databases fits into memory, on both stores."""

import os
import subprocess
import sys
from pathlib import Path

COUNT = 10_000
LIMIT_MIB = 150
# The target is an engine that answers from memory; everything else is as deployed.
SYNC_TWICE = f"""
import os, re
from pathlib import Path
from attrs import evolve
from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_core import InstanceFields
from capacity_core.model import CapacityReport, DatabaseSize, Inventory, SeenDatabase

names = [f"database number {{n:05d}} 数据库" for n in range({COUNT})]
talk = MemoryCoordinator(
    inventory=Inventory(tuple(map(SeenDatabase, names))),
    report=CapacityReport(tuple(DatabaseSize(name, 2**40, "m") for name in names)),
)
application = build_application(read_settings(os.environ))
application = evolve(application, coordinator_for=lambda instance, /, **_: talk)
fields = InstanceFields(name="x", db_type="postgresql", host="127.0.0.1")
instance = application.add_instance(fields)
for _ in range(2):
    result = application.sync(instance.id)
    assert result.success and result.saved_count == {COUNT}, result.scenario
status = Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""


def test_ten_thousand_databases_take_less_than_150_mib(store_url: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "CAPACITY_STORE_URL": store_url,
        "XDG_DATA_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SYNC_TWICE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / 1024 < LIMIT_MIB
