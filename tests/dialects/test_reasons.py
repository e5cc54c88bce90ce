"""What further versions of PostgreSQL say when they refuse us; these know nothing of TLS."""

from collections.abc import Iterator

import pytest
from tests.engines import test_reasons_live as live
from tests.engines.test_reasons_live import POSTGRES, Case, Talking, named, prepared
from tests.servers import Server

WITHOUT_TLS = [case for case in POSTGRES if case.name not in {"TLS only", "client certificate"}]


@pytest.fixture(scope="module")
def talking(postgres: Server) -> Iterator[Talking]:
    with prepared(postgres, tls=False) as lent:
        yield lent


@pytest.mark.parametrize("case", named(WITHOUT_TLS))
def test_further_versions_refuse(
    talking: Talking, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    live.test_postgres_refuses(talking, case, caplog)
