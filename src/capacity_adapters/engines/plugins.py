"""Engines of others, by their entry points: looked for only where no engine of ours will do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

from capacity_adapters.engines.engine import Engine
from capacity_core.diagnosis import GrantScript
from capacity_core.instances import engine_key
from capacity_core.model import EngineFacts

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP: Final = "capacity.engines"
MAX_PORT: Final = 65535
_SAID_CHARACTERS: Final = 300
_T = TypeVar("_T")


@frozen
class EnginePlugin:
    """An engine as an entry point of the group `capacity.engines` has to name it.

    The entry point's name is `facts.db_type`. `load` imports the driver and gives the engine; where
    it raises ImportError, `package` is what to install; `driver` is the distribution whose version
    counts, where that is another one.
    """

    facts: EngineFacts
    load: Callable[[], Engine]
    package: str = ""
    driver: str = ""


@frozen
class BrokenPlugin:
    """An entry point that brings no engine: its name, whose it is, and why not."""

    db_type: str
    source: str
    problem: str


@frozen
class Plugins:
    """What the entry points brought; `sources` tells the distribution of each engine."""

    engines: Mapping[str, EnginePlugin]
    sources: Mapping[str, str]
    broken: tuple[BrokenPlugin, ...] = ()


class PluginError(Exception):
    """Foreign code gave what we cannot take, or failed: then that is the cause."""


def asked(foreign: Callable[[], _T]) -> _T:
    """Call foreign code, which may raise anything. Raises PluginError, and lets Ctrl-C pass."""
    try:
        return foreign()
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:
        raise PluginError(said(error)) from error


@cache
def plugins(ours: tuple[EngineFacts, ...]) -> Plugins:
    """Load every plug-in, once a process; never raises. Names and aliases of `ours` are taken."""
    taken = {key: facts.db_type for facts in ours for key in _keys(facts)}
    engines: dict[str, EnginePlugin] = {}
    sources: dict[str, str] = {}
    broken: list[BrokenPlugin] = []
    for entry, source in sorted(_entry_points(broken), key=lambda each: (each[0].name, each[1])):
        try:
            engine = asked(partial(_checked, entry, taken))
        except PluginError as error:
            broken.append(BrokenPlugin(entry.name, source, str(error)))
        else:
            engines[entry.name], sources[entry.name] = engine, source
            taken |= dict.fromkeys(_keys(engine.facts), entry.name)
    return Plugins(MappingProxyType(engines), MappingProxyType(sources), tuple(broken))


def _entry_points(broken: list[BrokenPlugin]) -> "Iterator[tuple[EntryPoint, str]]":
    """Tell our group's entry points, of each distribution the first on the path."""
    from importlib.metadata import distributions  # noqa: PLC0415 -- slow, and seldom needed

    seen: set[str] = set()
    for distribution in distributions():
        try:
            found = [each for each in distribution.entry_points if each.group == GROUP]
            name = engine_key(distribution.name) if found else ""
            source = f"{distribution.name} {distribution.version}" if found else ""
        except Exception as error:  # noqa: BLE001 -- metadata that cannot be read harm nobody else
            if _may_be_ours(distribution):
                broken.append(BrokenPlugin("?", _place(distribution), said(error)))
            continue
        if found and name not in seen:
            seen.add(name)
            yield from ((each, source) for each in found)


def _checked(entry: "EntryPoint", taken: Mapping[str, str]) -> EnginePlugin:
    """Raises PluginError, and whatever the plug-in's own code raises."""
    engine = entry.load()
    if not isinstance(engine, EnginePlugin):
        raise PluginError(f"{entry.value} is {type(engine).__name__}, no EnginePlugin")
    port = engine.facts.default_port
    if port is not None and (type(port) is not int or not 0 < port <= MAX_PORT):
        raise PluginError(f"its default_port is {port!r}, no port")
    name = engine.facts.db_type
    if name != entry.name:
        raise PluginError(f"its facts call it {name!r}")
    if name != engine_key(name) or not name:
        raise PluginError("a name is in small letters, without blanks, hyphens and underscores")
    for key in _keys(engine.facts):
        if key in taken:
            raise PluginError(f"{key!r} is taken by {taken[key]}")
    return engine


def scripts_of(plugin: EnginePlugin, user: str) -> tuple[GrantScript, ...]:
    """Ask an engine for its scripts of rights for a login.

    Raises PluginError; its cause is ImportError where a driver is missing, and InvalidInputError
    where no login can have that name.
    """
    return asked(lambda: _scripts(plugin.load().grants(user)))


def _scripts(given: object) -> tuple[GrantScript, ...]:
    scripts = given if isinstance(given, tuple) else (given,)
    for script in scripts:
        if not isinstance(script, GrantScript):
            raise PluginError(f"grants() gives {type(script).__name__}, no GrantScript")
        is_tuple = isinstance(script.statements, tuple)
        texts = (script.applies_to, script.comment, *(script.statements if is_tuple else (None,)))
        if not all(isinstance(each, str) for each in texts):
            raise PluginError("grants() gives a GrantScript that is not of texts")
    return scripts


def _keys(facts: EngineFacts) -> Iterable[str]:
    return dict.fromkeys(map(engine_key, (facts.db_type, *facts.aliases)))


def _may_be_ours(distribution: "Distribution") -> bool:
    try:
        return GROUP in (distribution.read_text("entry_points.txt") or "")
    except (OSError, ValueError):
        return False


def _place(distribution: "Distribution") -> str:
    return str(getattr(distribution, "_path", "?"))


def said(error: BaseException) -> str:
    """Tell an error of foreign code in one short text."""
    return f"{type(error).__name__}: {error}"[:_SAID_CHARACTERS]
