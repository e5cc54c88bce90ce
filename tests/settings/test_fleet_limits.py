"""The limits of a fleet, as settings spell them."""

import pytest

from capacity_adapters.engines import ENGINES
from capacity_adapters.target_rules import engine_limits, limits_by_engine
from capacity_core.errors import SettingsError


def test_limits_are_brought_together_under_the_engine_s_own_name() -> None:
    limits = engine_limits("mariadb:8, MySQL:4,pg : 2")
    assert limits_by_engine(limits, ENGINES) == {"mysql": 4, "postgresql": 2}
    with pytest.raises(SettingsError, match=r"CAPACITY_ENGINE_LIMITS names 'db9'"):
        limits_by_engine({"db9": 1}, ENGINES)
