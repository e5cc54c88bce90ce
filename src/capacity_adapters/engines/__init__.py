"""Every engine by name. No driver is imported before its engine is used."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from attrs import frozen

from capacity_adapters.engines.coordinator import EngineCoordinator
from capacity_adapters.engines.engine import TargetPolicy
from capacity_core.errors import EngineNotSupportedError
from capacity_core.messages import text
from capacity_core.model import EngineFacts, Instance, Secret
from capacity_core.ports import CapacityExaminer, CoordinatorFor

__all__ = ["ENGINES", "TargetPolicy", "coordinators"]


@frozen
class _Installed:
    """An engine that ships: its facts, the module that holds it, what its driver is called."""

    facts: EngineFacts
    module: str
    package: str = ""


_INSTALLED = (
    _Installed(
        EngineFacts("postgresql", ("postgres", "pg"), 5432),
        "capacity_adapters.engines.postgresql",
        "psycopg[binary]",
    ),
    _Installed(
        EngineFacts("mysql", ("mariadb",), 3306), "capacity_adapters.engines.mysql", "pymysql[rsa]"
    ),
    _Installed(EngineFacts("sqlite"), "capacity_adapters.engines.sqlite"),
)
_BY_NAME = {installed.facts.db_type: installed for installed in _INSTALLED}

ENGINES: Mapping[str, EngineFacts] = MappingProxyType(
    {name: installed.facts for name, installed in _BY_NAME.items()}
)


def coordinators(policy: TargetPolicy, secret_for: Callable[[Instance], Secret]) -> CoordinatorFor:
    """Prepare conversations under that policy; a secret is fetched when it is needed."""

    def coordinator_for(
        instance: Instance, *, deadline: float, password: Secret | None = None
    ) -> CapacityExaminer:
        installed = _BY_NAME.get(instance.db_type)
        if installed is None:
            known = ", ".join(sorted(ENGINES))
            said = text("field.db_type", value=repr(instance.db_type), known=known)
            raise EngineNotSupportedError(said)
        return EngineCoordinator(
            instance=instance,
            module=installed.module,
            package=installed.package,
            policy=policy,
            deadline=deadline,
            secret=_secret(installed.facts, instance, password, secret_for),
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
