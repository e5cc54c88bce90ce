"""What databases cost that may not be read: one in ten denied, beside none, on the same server."""

from functools import partial
from typing import Final

import psycopg
from bench.timing import in_turn, report
from tests.servers import Server

from capacity_core import CapacityApplication, InstanceFields, Secret
from capacity_core.model import Outcome, Tls, TlsMode

EVERY: Final = 10
MOST: Final = 1.5  # times the cost without denial


def bench_denied(application: CapacityApplication, server: Server, pairs: int) -> None:
    """Time a login that may read nine databases in ten beside one that may read all.

    The server's databases lose their CONNECT for everybody. Raises SystemExit if it is too dear.
    """
    denied, instances = _deny(server), {}
    for login in ("some", "all"):
        fields = InstanceFields(
            name=f"denied-{login}",
            db_type="postgresql",
            host=server.host,
            port=server.port,
            username=f"bench_{login}",
            tls=Tls(TlsMode.INSECURE),
        )
        instances[login] = application.add_instance(fields, password=Secret("bench")).id
    with_denied, without = (
        partial(_sync, application, instances[login], count)
        for login, count in (("some", denied), ("all", 0))
    )
    times = in_turn(with_denied, without, pairs)
    ratio = report(f"{denied} databases denied", *times, "none denied")
    if ratio > MOST:
        raise SystemExit(f"{denied} denied databases cost {ratio:.2f} times the sync without")


def _deny(server: Server) -> int:
    """Take every tenth database from everybody but one; returns how many that are."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        for login in ("some", "all"):
            admin.execute(f"CREATE ROLE bench_{login} LOGIN PASSWORD 'bench'")
        names = admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'bench%' ORDER BY 1"
        ).fetchall()[::EVERY]
        for (name,) in names:
            admin.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
            admin.execute(f"GRANT CONNECT ON DATABASE {name} TO bench_all")
    return len(names)


def _sync(application: CapacityApplication, instance_id: int, denied: int) -> None:
    result = application.sync(instance_id)
    found = [each.outcome for each in result.report.unmeasured]
    if not result.success or found != [Outcome.DENIED] * denied:
        raise SystemExit(f"{result.scenario}: {len(found)} without a size, not {denied}")
