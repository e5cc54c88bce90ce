"""Rules for targets, as settings spell them: networks, ports and limits of engines."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

from attrs import frozen

from capacity_core.errors import InvalidInputError, SettingsError
from capacity_core.instances import engine_for
from capacity_core.messages import Text
from capacity_core.model import EngineFacts

Network = IPv4Network | IPv6Network
HIGHEST_PORT = 65_535
MOST_AT_ONCE = 256


@frozen
class PortRule:
    """Ports that targets of an engine may have; the engine as the setting names it."""

    engine: str
    ports: range


def networks(value: str) -> tuple[Network, ...]:
    """Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in value.split(","))


def port_rules(value: str) -> tuple[PortRule, ...]:
    """Read `engine:port` and `engine:first-last`, separated by commas. Raises ValueError."""
    return tuple(map(_port_rule, value.split(",")))


def _port_rule(part: str) -> PortRule:
    engine, colon, numbers = part.strip().rpartition(":")
    first, dash, last = numbers.partition("-")
    least, most = int(first), int(last if dash else first)
    if not engine or not colon or not 1 <= least <= most <= HIGHEST_PORT:
        raise ValueError(part)
    return PortRule(engine.strip(), range(least, most + 1))


def engine_limits(value: str) -> dict[str, int]:
    """Read `engine:number`, separated by commas. Raises ValueError."""
    limits: dict[str, int] = {}
    for part in value.split(","):
        engine, colon, number = part.strip().rpartition(":")
        most = int(number)
        if not engine or not colon or not 1 <= most <= MOST_AT_ONCE:
            raise ValueError(part)
        limits[engine.strip()] = most
    return limits


def ports_by_engine(
    rules: tuple[PortRule, ...], engines: Mapping[str, EngineFacts]
) -> dict[str, tuple[range, ...]]:
    """Bring the rules together by the engines' own names. Raises SettingsError for another."""
    ports: dict[str, tuple[range, ...]] = {}
    for rule in rules:
        db_type = _own_name(rule.engine, engines, "CAPACITY_TARGET_PORTS")
        ports[db_type] = (*ports.get(db_type, ()), rule.ports)
    return ports


def limits_by_engine(
    limits: Mapping[str, int], engines: Mapping[str, EngineFacts]
) -> dict[str, int]:
    """Likewise; of two limits for one engine, the lower one counts."""
    found: dict[str, int] = {}
    for name, most in limits.items():
        db_type = _own_name(name, engines, "CAPACITY_ENGINE_LIMITS")
        found[db_type] = min(most, found.get(db_type, most))
    return found


def _own_name(name: str, engines: Mapping[str, EngineFacts], variable: str) -> str:
    try:
        return engine_for(name, engines).db_type
    except InvalidInputError:
        raise SettingsError(Text(f"{variable} names {name!r}, which is no engine")) from None
