"""Engines on servers of yours: CAPACITY_TEST_MYSQL_URL=mysql://user:password@host:3306/ and so on.

They only read. What is special to Oracle and SQL Server is asked by files of their own.
"""

import os

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.targets import ask, connected, coordinator_of, refusal

from capacity_adapters.cli.targets import located_by
from capacity_adapters.engines import ENGINES
from capacity_core.diagnosis import CheckState
from capacity_core.instances import engine_for, new_instance
from capacity_core.model import Instance, Outcome, Reason

pytestmark = pytest.mark.live

VARIABLES = {
    name: f"CAPACITY_TEST_{name.upper()}_URL"
    for name, facts in ENGINES.items()
    if facts.default_port is not None
}
Own = tuple[Instance, str]


@pytest.fixture(params=VARIABLES)
def own(request: pytest.FixtureRequest) -> Own:
    """Lend the instance and its password."""
    variable = VARIABLES[request.param]
    if variable not in os.environ:
        pytest.skip(f"{variable} names no server")
    located = located_by(os.environ[variable], lambda scheme: engine_for(scheme, ENGINES))
    instance = new_instance(located.fields, ENGINES, NOON)
    return instance, located.password.reveal() if located.password else ""


def test_every_database_has_a_size_or_a_reason(own: Own) -> None:
    inventory, report = ask(*own)
    asked = {each.name for each in inventory.databases if not each.is_system}
    fates = [size.name for size in report.sizes] + [each.name for each in report.unmeasured]
    assert sorted(fates) == sorted(asked)
    assert Outcome.ERROR not in {each.outcome for each in report.unmeasured}


def test_a_doctor_who_is_content_means_that_every_size_is_known(own: Own) -> None:
    with connected(coordinator_of(*own)) as coordinator:
        complete = coordinator.fetch_inventory().complete
        content = all(check.state is CheckState.OK for check in coordinator.examine())
    _, report = ask(*own)
    denied = [each for each in report.unmeasured if each.outcome is Outcome.DENIED]
    assert (complete and not denied) or not content


def test_an_unknown_login_is_refused(own: Own) -> None:
    instance, _ = own
    nobody = evolve(instance, username="capacity_sync_nobody")
    assert refusal(nobody, "not the password") == Reason.AUTH_FAILED
