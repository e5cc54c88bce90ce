"""Where targets may be: networks, and the ports of an engine, as settings spell them."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

from attrs import frozen

from capacity_core.errors import InvalidInputError, SettingsError
from capacity_core.instances import engine_for
from capacity_core.messages import Text
from capacity_core.model import EngineFacts

Network = IPv4Network | IPv6Network
HIGHEST_PORT = 65_535


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


def ports_by_engine(
    rules: tuple[PortRule, ...], engines: Mapping[str, EngineFacts]
) -> dict[str, tuple[range, ...]]:
    """Bring the rules together by the engines' own names. Raises SettingsError for another."""
    ports: dict[str, tuple[range, ...]] = {}
    for rule in rules:
        try:
            db_type = engine_for(rule.engine, engines).db_type
        except InvalidInputError:
            said = f"CAPACITY_TARGET_PORTS names {rule.engine!r}, which is no engine"
            raise SettingsError(Text(said)) from None
        ports[db_type] = (*ports.get(db_type, ()), rule.ports)
    return ports
