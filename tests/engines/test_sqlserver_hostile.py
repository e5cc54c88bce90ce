"""A SQL Server that sends nonsense: whatever it says, it is answered in time and by the rules."""

import getpass
import ssl
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.catalogues import LOG, ROWS, STREAM, Catalogue, database, tls_of
from tests.certificates import make_certificates
from tests.faults.cutting import cuts
from tests.targets import coordinator_of, outcomes, port_instance, sizes
from tests.tds import ON, Part, Rows, TdsServer, serving

from capacity_adapters.engines.sqlserver import queries
from capacity_core.model import CollectFailed, Instance, Outcome, Reason, Tls, TlsMode
from capacity_core.ports import CapacityExaminer

pytestmark = pytest.mark.unit

DEADLINE = 2.0
CATALOGUE = Catalogue(
    databases=[database(5, "shop"), database(6, "streams"), database(7, "snap", source=5)],
    files=[
        (5, "shop", ROWS, 5, 5, 0),
        (5, "shop", LOG, 5, 5, 0),
        (6, "streams", STREAM, 0, 0, 1),
        (7, "snap", ROWS, 5, 5, 0),
    ],
    inside=[Rows([(5, ROWS, 5, 5, 0, 2), (5, LOG, 5, 5, 0, 1)]), Rows([(6, STREAM, 9, 9, 1, 9)])],
    sparse=Rows([(7, 8192)]),
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return tls_of(make_certificates(tmp_path_factory.mktemp("tds"), getpass.getuser()))


def converse(instance: Instance) -> Reason | None:
    """Go through all of it; whatever is raised but CollectFailed fails the test."""
    coordinator = coordinator_of(instance, deadline=DEADLINE)
    try:
        if not coordinator.connect():
            assert coordinator.failure is not None
            return coordinator.failure.reason
        names = {each.name for each in coordinator.fetch_inventory().databases}
        report = coordinator.collect_capacity(names)
        assert len(report.sizes) + len(report.unmeasured) == len(names)
        coordinator.examine()
    except CollectFailed as error:
        return error.failure.reason
    finally:
        coordinator.disconnect()
    return None


EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.binary(max_size=8), st.integers(0, 4)), max_size=6
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS, from_answer=st.integers(0, 6))
def test_bytes_changed_on_their_way_end_in_a_reason_and_in_time(
    tls: ssl.SSLContext, edits: list[tuple[int, bytes, int]], from_answer: int
) -> None:
    answers = iter(range(100))

    def mangled(words: bytes) -> bytes:
        if next(answers) >= from_answer:
            for place, new, without in edits:
                at = place % (len(words) + 1)
                words = words[:at] + new + words[at + without :]
        return words

    server = TdsServer(CATALOGUE.answer, encryption=ON, tls=tls, mangled=mangled)
    with serving(server) as port:
        began = time.monotonic()
        converse(port_instance("sqlserver", port, username="monitor"))
        assert time.monotonic() - began < DEADLINE + 5


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        (queries.SERVER, "connect"),
        (queries.DATABASES, "inventory"),
        (queries.FILES, "collection"),
        ("@there", None),
        (queries.SPARSE, None),
    ],
)
def test_a_server_that_falls_silent_is_left_at_the_deadline(
    tls: ssl.SSLContext, at: str, ends: str | None
) -> None:
    """What is known by then is told, and only what is not has no size."""
    over = threading.Event()

    def answer(query: str) -> Sequence[Part]:
        if at in query:
            over.wait(DEADLINE + 10)
        return CATALOGUE.answer(query)

    with serving(TdsServer(answer, encryption=ON, tls=tls)) as port:
        try:
            instance = port_instance("sqlserver", port, username="monitor")
            coordinator = coordinator_of(instance, deadline=1.0)
            began = time.monotonic()
            assert stages(coordinator) == (ends, Reason.TIMEOUT if ends else None)
            assert time.monotonic() - began < 1.0 + 5
        finally:
            over.set()


def stages(coordinator: CapacityExaminer) -> tuple[str | None, Reason | None]:
    """Tell at which stage the conversation ended, and why."""
    stage = "connect"
    try:
        if not coordinator.connect():
            assert coordinator.failure is not None
            return stage, coordinator.failure.reason
        stage = "inventory"
        coordinator.fetch_inventory()
        stage = "collection"
        report = coordinator.collect_capacity({"shop", "streams", "snap"})
    except CollectFailed as error:
        return stage, error.failure.reason
    finally:
        coordinator.disconnect()
    assert sizes(report)["shop"] == 10 * 8192
    assert outcomes(report)["snap"] == Outcome.TIMED_OUT
    return None, None


def test_no_cut_of_an_answer_is_taken_for_the_whole(tls: ssl.SSLContext) -> None:
    server = TdsServer(CATALOGUE.answer, encryption=ON, tls=tls)
    with serving(server) as port:
        told, lies = cuts(
            lambda own: port_instance("sqlserver", own, tls=Tls(TlsMode.REQUIRE)), port, 53
        )
    assert lies == []
    assert told["nowhere"] == {"whole"}
    assert told["in login"] <= {Reason.CONNECTION_LOST, Reason.TLS}
