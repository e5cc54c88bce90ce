"""Distributions that bring engines, as an installer leaves them in a folder of sys.path."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

GOOD = """
    from capacity_adapters.engines import EnginePlugin
    from capacity_adapters.engines.engine import Engine
    from capacity_core.diagnosis import Capabilities
    from capacity_core.model import (
        CapacityReport, DatabaseSize, EngineFacts, Inventory, SeenDatabase,
    )

    class Conversation:
        def inventory(self):
            return Inventory((SeenDatabase("only"),))
        def measure(self, names):
            return CapacityReport(tuple(DatabaseSize(name, 42, "tiny") for name in names))
        def examine(self):
            return ()
        def close(self):
            pass

    ENGINE = Engine(
        open=lambda target, guard: Conversation(),
        errors=(OSError,),
        failure_of=lambda error: None,
        capabilities=Capabilities(ceiling=True),
    )
    PLUGIN = EnginePlugin(EngineFacts("tiny", ("tiny db",), 4711), lambda: ENGINE, "tiny-driver")
"""


def install(folder: Path, name: str, entry_points: str, module: str = GOOD) -> None:
    """Lay a distribution of that name into the folder, with one module of the same name."""
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[capacity.engines]\n{entry_points}\n")
    (folder / f"{name}.py").write_text(dedent(module))


def run(folder: Path, *command: str) -> str:
    """Run a command of Python in a process that finds the folder's distributions."""
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
