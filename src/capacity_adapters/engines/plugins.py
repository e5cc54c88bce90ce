"""Engines of others, by their entry points: looked for only where no engine of ours will do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import frozen

from capacity_adapters.engines.engine import Engine
from capacity_core.instances import engine_key
from capacity_core.model import EngineFacts

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP: Final = "capacity.engines"
_SAID_CHARACTERS: Final = 300


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


class _RefusedError(Exception):
    """What an entry point names is no engine that we can take."""


@cache
def plugins(ours: tuple[EngineFacts, ...]) -> Plugins:
    """Load every plug-in, once a process; never raises. Names and aliases of `ours` are taken."""
    taken = {key: facts.db_type for facts in ours for key in _keys(facts)}
    engines: dict[str, EnginePlugin] = {}
    sources: dict[str, str] = {}
    broken: list[BrokenPlugin] = []
    for entry, source in sorted(_entry_points(broken), key=lambda each: (each[0].name, each[1])):
        try:
            engine = _checked(entry, taken)
        except _RefusedError as error:
            broken.append(BrokenPlugin(entry.name, source, str(error)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever foreign code does, the rest works
            broken.append(BrokenPlugin(entry.name, source, said(error)))
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
    """Raises _RefusedError, and whatever the plug-in's own code raises."""
    engine = entry.load()
    if not isinstance(engine, EnginePlugin):
        raise _RefusedError(f"{entry.value} is {type(engine).__name__}, no EnginePlugin")
    name = engine.facts.db_type
    if name != entry.name:
        raise _RefusedError(f"its facts call it {name!r}")
    if name != engine_key(name) or not name:
        raise _RefusedError("a name is in small letters, without blanks, hyphens and underscores")
    for key in _keys(engine.facts):
        if key in taken:
            raise _RefusedError(f"{key!r} is taken by {taken[key]}")
    return engine


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
