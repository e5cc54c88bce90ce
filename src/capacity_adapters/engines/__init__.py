"""Every engine by name. No driver is imported before its engine is used."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from attrs import frozen

from capacity_adapters.engines.coordinator import EngineCoordinator
from capacity_adapters.engines.engine import Engine, TargetPolicy
from capacity_adapters.engines.plugins import EnginePlugin, Plugins, plugins
from capacity_core.errors import EngineNotSupportedError
from capacity_core.messages import text
from capacity_core.model import EngineFacts, Instance, Level, Secret
from capacity_core.ports import CapacityExaminer, CoordinatorFor

__all__ = [
    "BUILT_IN",
    "ENGINES",
    "EnginePlugin",
    "TargetPolicy",
    "coordinators",
    "engine_named",
    "plugged_in",
]


@frozen
class _Installed:
    """An engine that ships: its facts, the module that holds it, what its driver is called.

    `package` is what to install, `driver` the distribution of the driver if its name is another.
    """

    facts: EngineFacts
    module: str
    package: str = ""
    driver: str = ""


_INSTALLED = (
    _Installed(
        EngineFacts("postgresql", ("postgres", "pg"), 5432),
        "capacity_adapters.engines.postgresql",
        "psycopg[binary]",
    ),
    _Installed(
        EngineFacts("mysql", ("mariadb",), 3306), "capacity_adapters.engines.mysql", "pymysql[rsa]"
    ),
    _Installed(
        EngineFacts("sqlserver", ("mssql", "sql server"), 1433),
        "capacity_adapters.engines.sqlserver",
        "capacity-sync[sqlserver]",
        driver="python-tds",
    ),
    _Installed(
        EngineFacts("oracle", default_port=1521, levels=(Level.DATABASE, Level.TABLESPACE)),
        "capacity_adapters.engines.oracle",
        "oracledb",
    ),
    _Installed(EngineFacts("sqlite"), "capacity_adapters.engines.sqlite"),
)


def _engine_in(module: str) -> Engine:
    engine: Engine = importlib.import_module(module).ENGINE
    return engine


BUILT_IN: Mapping[str, EnginePlugin] = MappingProxyType(
    {
        each.facts.db_type: EnginePlugin(
            each.facts, partial(_engine_in, each.module), each.package, each.driver
        )
        for each in _INSTALLED
    }
)


def plugged_in() -> Plugins:
    """Give the engines of other distributions, whose code is imported now."""
    return plugins(tuple(each.facts for each in BUILT_IN.values()))


class _Engines(Mapping[str, EngineFacts]):
    """The facts of every engine; those of others are looked for only when ours have been read."""

    def __getitem__(self, db_type: str) -> EngineFacts:
        return engine_named(db_type).facts

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from plugged_in().engines

    def __len__(self) -> int:
        return len(BUILT_IN) + len(plugged_in().engines)


ENGINES: Final = _Engines()


def engine_named(db_type: str) -> EnginePlugin:
    """Raises KeyError."""
    return BUILT_IN.get(db_type) or plugged_in().engines[db_type]


def coordinators(policy: TargetPolicy, secret_for: Callable[[Instance], Secret]) -> CoordinatorFor:
    """Prepare conversations under that policy; a secret is fetched when it is needed."""

    def coordinator_for(
        instance: Instance, *, deadline: float, password: Secret | None = None
    ) -> CapacityExaminer:
        try:
            engine = engine_named(instance.db_type)
        except KeyError:
            known = ", ".join(sorted(ENGINES))
            said = text("field.db_type", value=repr(instance.db_type), known=known)
            raise EngineNotSupportedError(said) from None
        return EngineCoordinator(
            instance=instance,
            load=engine.load,
            package=engine.package,
            policy=policy,
            deadline=deadline,
            secret=_secret(engine.facts, instance, password, secret_for),
        )

    return coordinator_for


def _secret(
    facts: EngineFacts,
    instance: Instance,
    password: Secret | None,
    secret_for: Callable[[Instance], Secret],
) -> Callable[[], Secret]:
    """Files need no password, and one that is given needs no look-up."""
    if password is not None:
        return lambda: password
    if facts.default_port is None:
        return lambda: Secret("")
    return partial(secret_for, instance)
