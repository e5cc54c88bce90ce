"""Every engine as an operator should see it: what it is, what it can tell, what is broken."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from attrs import asdict, frozen

from capacity_adapters.engines import BUILT_IN, plugged_in
from capacity_adapters.engines.engine import Engine
from capacity_adapters.engines.plugins import BrokenPlugin, EnginePlugin, PluginError, asked
from capacity_core.diagnosis import Capabilities

BUILT_IN_SOURCE: Final = "built in"


@frozen
class Driver:
    """What an engine speaks through; without a version it is not installed."""

    package: str
    version: str | None


@frozen
class ListedEngine:
    """An engine that can be named. `problem` says why it cannot be used, None if it can.

    `capabilities` are unknown, None, as long as it cannot; no `driver` means that none is needed.
    """

    db_type: str
    aliases: tuple[str, ...]
    default_port: int | None
    driver: Driver | None
    capabilities: Capabilities | None
    source: str
    problem: str | None = None


@frozen
class Listing:
    """The engines by name, and the entry points that bring none."""

    engines: tuple[ListedEngine, ...]
    broken: tuple[BrokenPlugin, ...]


def listing() -> Listing:
    """Load every engine, and so every driver that is installed; never raises."""
    found = plugged_in()
    ours = (_listed(each, BUILT_IN_SOURCE) for each in BUILT_IN.values())
    others = (_listed(each, found.sources[name]) for name, each in found.engines.items())
    return Listing((*ours, *others), found.broken)


def _listed(plugin: EnginePlugin, source: str) -> ListedEngine:
    capabilities, problem = _capabilities(plugin)
    facts = plugin.facts
    return ListedEngine(
        facts.db_type,
        facts.aliases,
        facts.default_port,
        _driver(plugin),
        capabilities,
        source,
        problem,
    )


def _capabilities(plugin: EnginePlugin) -> tuple[Capabilities | None, str | None]:
    """Give what the engine can tell, or why it cannot be used."""
    try:
        return asked(lambda: _told(plugin.load())), None
    except PluginError as error:
        if not isinstance(error.__cause__, ImportError):
            return None, str(error)
        cure = f"pip install '{plugin.package}'" if plugin.package else "no package is named"
        return None, f"{error.__cause__}; {cure}"


def _told(engine: object) -> Capabilities:
    """Raises PluginError."""
    if not isinstance(engine, Engine):
        raise PluginError(f"load() gives {type(engine).__name__}, no Engine")
    told: object = engine.capabilities
    if not isinstance(told, Capabilities):
        raise PluginError(f"its capabilities are {type(told).__name__}, no Capabilities")
    for name, value in asdict(told).items():
        if type(value) is not bool:
            raise PluginError(f"its capability {name} is {type(value).__name__}, no bool")
    return told


def _driver(plugin: EnginePlugin) -> Driver | None:
    if not plugin.package:
        return None
    name = plugin.driver or plugin.package.partition("[")[0]
    try:
        return Driver(name, version(name))
    except PackageNotFoundError:
        return Driver(name, None)
