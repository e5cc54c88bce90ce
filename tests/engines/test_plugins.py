"""Engines of others: found when they are needed, and harmless when they are broken."""

import json
from pathlib import Path

import pytest
from tests.engines.distributions import install, run

pytestmark = pytest.mark.unit

TELL = """
import json
from capacity_adapters.engines import plugged_in
found = plugged_in()
broken = {each.source: [each.db_type, each.problem] for each in found.broken}
print(json.dumps({"sources": dict(found.sources), "broken": broken}))
"""
SYNC = """
from datetime import UTC, datetime
from capacity_adapters.engines import ENGINES, TargetPolicy, coordinators
from capacity_core.instances import InstanceFields, new_instance
from capacity_core.model import Secret

fields = InstanceFields(name="x", db_type="Tiny_DB", host="h")
instance = new_instance(fields, ENGINES, datetime.now(UTC))
coordinator = coordinators(TargetPolicy(), lambda _: Secret(""))(instance, deadline=5.0)
assert coordinator.connect()
(seen,) = coordinator.fetch_inventory().databases
(size,) = coordinator.collect_capacity({seen.name}).sizes
print(instance.db_type, instance.address.port, seen.name, size.size_bytes)
"""
LAZY = """
import sys
from capacity_adapters.engines import ENGINES
from capacity_core.instances import engine_for
for name in {names!r}:
    engine_for(name, ENGINES)
assert "postgresql" in ENGINES
print("importlib.metadata" in sys.modules, "tiny_engine" in sys.modules)
"""


def test_an_engine_of_another_distribution_is_used_like_ours(tmp_path: Path) -> None:
    install(tmp_path, "tiny_engine", "tiny = tiny_engine:PLUGIN")
    assert run(tmp_path, "-c", SYNC).split() == ["tiny", "4711", "only", "42"]


@pytest.mark.parametrize(
    ("names", "looked"),
    [(("postgresql", "Pg", "maria-db", "SQLite"), False), (("tiny",), True)],
)
def test_only_a_name_that_is_not_ours_is_looked_for(
    tmp_path: Path, names: tuple[str, ...], looked: bool
) -> None:
    install(tmp_path, "tiny_engine", "tiny = tiny_engine:PLUGIN")
    assert run(tmp_path, "-c", LAZY.format(names=names)).split() == [str(looked)] * 2


@pytest.mark.parametrize(
    ("entry_points", "module", "problem"),
    [
        ("bad = bad_engine:PLUGIN", "import not_there", "ModuleNotFoundError: No module named"),
        ("bad = bad_engine:PLUGIN", "", "AttributeError: module 'bad_engine'"),
        ("bad = bad_engine:PLUGIN", "PLUGIN = 7", "bad_engine:PLUGIN is int, no EnginePlugin"),
        ("bad = bad_engine:PLUGIN", "def", "SyntaxError: "),
        ("bad = bad_engine:PLUGIN", "raise SystemExit(3)", "SystemExit: 3"),
        ("bad = bad_engine:PLUGIN", "raise GeneratorExit", "GeneratorExit: "),
        ("bad = bad_engine:PLUGIN", "raise BaseException(1)", "BaseException: 1"),
        ("bad = bad_engine:PLUGIN", "PORT '4711'", "its default_port is '4711', no port"),
        ("bad = bad_engine:PLUGIN", "PORT True", "its default_port is True, no port"),
        ("bad = bad_engine:PLUGIN", "PORT 70000", "its default_port is 70000, no port"),
        ("bad = bad_engine:PLUGIN", "1 / 0", "ZeroDivisionError: division by zero"),
        ("bad = no module at all", "", "AttributeError: 'NoneType' object"),
        ("nonsense", "", "TypeError: "),
        ("other = bad_engine:PLUGIN", None, "its facts call it 'bad'"),
        ("Bad Name = bad_engine:PLUGIN", "NAMED Bad Name", "a name is in small letters"),
        ("mysql = bad_engine:PLUGIN", "NAMED mysql", "'mysql' is taken by mysql"),
        ("z = bad_engine:PLUGIN", "ALIAS Maria_DB", "'mariadb' is taken by mysql"),
        ("z = bad_engine:PLUGIN", "ALIAS tiny db", "'tinydb' is taken by tiny"),
    ],
)
def test_a_broken_one_is_told_and_breaks_nothing_else(
    tmp_path: Path, entry_points: str, module: str | None, problem: str
) -> None:
    install(tmp_path, "a_tiny_engine", "tiny = a_tiny_engine:PLUGIN")
    install(tmp_path, "bad_engine", entry_points, _module(module))
    told = json.loads(run(tmp_path, "-c", TELL))
    ((source, (_, said)),) = told["broken"].items()
    assert source.endswith(("bad_engine 1.2", "bad_engine-1.2.dist-info"))
    assert said.startswith(problem)
    assert run(tmp_path, "-c", SYNC).startswith("tiny")


def _module(wanted: str | None) -> str:
    what, _, name = ("NAMED bad" if wanted is None else wanted).partition(" ")
    facts = {
        "NAMED": f"EngineFacts({name!r})",
        "ALIAS": f"EngineFacts('z', ({name!r},))",
        "PORT": f"EngineFacts('bad', (), {name})",
    }
    if what not in facts:
        return wanted or ""
    return (
        "from capacity_adapters.engines import EnginePlugin\n"
        "from capacity_core.model import EngineFacts\n"
        f"PLUGIN = EnginePlugin({facts[what]}, lambda: None)\n"
    )
