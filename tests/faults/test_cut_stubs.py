"""A stand-in for SQL Server whose answers are cut off, as those of the servers that run here."""

import getpass
from pathlib import Path

import pytest
from tests.catalogues import ROWS, Catalogue, database, tls_of
from tests.certificates import make_certificates
from tests.faults.cutting import PHASES, REASONS, cuts
from tests.targets import port_instance
from tests.tds import ON, TdsServer, serving

from capacity_core.model import Tls

pytestmark = pytest.mark.unit

TWO = Catalogue(
    databases=[database(5, "shop"), database(6, "stock")],
    files=[(5, "shop", ROWS, 5, 5, 0), (6, "stock", ROWS, 7, 7, 0)],
)


def test_a_stream_that_is_cut_is_a_failure_or_the_whole_truth(tmp_path: Path) -> None:
    tls = tls_of(make_certificates(tmp_path, getpass.getuser()))
    with serving(TdsServer(TWO.answer, encryption=ON, tls=tls)) as server:
        told, lies = cuts(
            lambda port: port_instance("sqlserver", port, tls=Tls("require")), server, 11
        )
    assert not lies, told
    assert told.pop("nowhere") == {"whole"}
    assert told.keys() == set(PHASES) - {"nowhere"}
    assert all(reasons and reasons <= REASONS | {"partial"} for reasons in told.values()), told
