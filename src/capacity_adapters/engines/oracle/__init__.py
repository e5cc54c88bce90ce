"""Oracle 12.1 to 26 through oracledb, thin: what we ask, and how we read it."""

from typing import Final

from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Engine, Target
from capacity_adapters.engines.oracle.connect import log_in
from capacity_adapters.engines.oracle.conversation import Oracle, converse
from capacity_adapters.engines.oracle.errors import ERRORS, failure_of
from capacity_adapters.engines.oracle.grants import grants
from capacity_adapters.engines.oracle.queries import QUERIES
from capacity_core.diagnosis import Capabilities

__all__ = ["ENGINE", "QUERIES"]


def open_oracle(target: Target, guard: Guard) -> Oracle:
    link = log_in(target, guard)
    try:
        return converse(link.ask, target.instance.level, link.close)
    except BaseException:
        link.close()
        raise


ENGINE: Final = Engine(
    open=open_oracle,
    errors=ERRORS,
    failure_of=failure_of,
    capabilities=Capabilities(
        used_size=True,
        ceiling=True,
        system_databases=True,
        visibility_proof=True,
        identity=True,
    ),
    grants=grants,
)
