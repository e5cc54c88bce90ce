"""Our sync beside the floor, in turn, on private servers: ratios, statements, memory, processes.

Usage: run.py [--pairs 15] [--sizes 10,100,1000] [--engines postgresql,mysql]
"""

import argparse
import http.client
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psycopg
from attrs import frozen
from bench import floor
from bench.denied import bench_denied
from bench.targets import fill_mariadb, fill_postgres
from bench.timing import in_turn, report
from tests.servers import Server, free_port, start_mariadb, start_postgres, temporary

from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_core import CapacityApplication, InstanceFields, Secret
from capacity_core.access import Scope
from capacity_core.model import Tls, TlsMode

FLOOR = Path(floor.__file__)
PROCESS_PAIRS = 7
WITH_FSYNC = ("-c", "fsync=on", "-c", "full_page_writes=on", "-c", "synchronous_commit=on")
START: Mapping[str, Callable[..., Server]] = {
    "postgresql": start_postgres,
    "mysql": start_mariadb,
}
FILL: Mapping[str, Callable[[Server, int], None]] = {
    "postgresql": fill_postgres,
    "mysql": fill_mariadb,
}


@frozen
class Target:
    kind: str
    count: int
    server: Server
    instance_id: int

    @property
    def label(self) -> str:
        return f"{self.kind} {self.count}"


def checked_sync(application: CapacityApplication, target: Target) -> None:
    result = application.sync(target.instance_id)
    least = target.count
    if not result.success or len(result.report.sizes) < least:
        raise SystemExit(f"{target.label}: {result.scenario}, {len(result.report.sizes)} sizes")


@contextmanager
def logged_statements(store: Server) -> Iterator[list[int]]:
    """Count the statements that the store receives meanwhile, from its own log."""
    log = store.folder / "server.log"
    with psycopg.connect(store.url("postgres"), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET log_statement = 'all'")
        admin.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        before = log.stat().st_size
        counted: list[int] = []
        yield counted
        text = log.read_bytes()[before:].decode(errors="replace")
        counted.append(len(re.findall(r"LOG:  (?:statement|execute [^:]*):", text)))
        admin.execute("ALTER SYSTEM RESET log_statement")
        admin.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)


def process_seconds(command: list[str], environment: Mapping[str, str]) -> float:
    """Run it to its end; returns seconds from start to exit."""
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def process_peak(command: list[str], environment: Mapping[str, str]) -> float:
    """Run it to its end and look at its peak memory (MiB) all the while.

    What the kernel tells at the end would include this process, from which the other was forked.
    """
    peak = 0.0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        while child.poll() is None:
            peak = max(peak, memory_of(child.pid, "VmHWM"))
            time.sleep(0.001)
    return peak


def bench_processes(targets: list[Target], store: Server, environment: Mapping[str, str]) -> None:
    for target in targets:
        ours = [str(Path(sys.executable).with_name("capacity")), "sync", str(target.instance_id)]
        port, store_port = str(target.server.port), str(store.port)
        least = [sys.executable, str(FLOOR), target.kind, port, store_port, "0"]
        times = in_turn(
            partial(process_seconds, ours, environment),
            partial(process_seconds, least, environment),
            PROCESS_PAIRS,
        )
        report(f"process, {target.label}", *times)
        peaks = [process_peak(command, environment) for command in (ours, least)]
        print(f"{'':<34} peak {peaks[0]:.1f} MiB   floor {peaks[1]:.1f} MiB", flush=True)


def memory_of(pid: int, field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def served(environment: Mapping[str, str], errors: Path) -> Iterator[tuple[int, int]]:
    """Run `capacity serve`; yields its port and pid."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("capacity")), "serve", "--port", str(port)]
    with errors.open("wb") as log:
        child = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log)
    try:
        for _ in range(100):
            time.sleep(0.1)
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/")
                break
            except ConnectionRefusedError:
                continue
        yield port, child.pid
    finally:
        child.terminate()
        child.wait(30)


def bench_http(
    targets: list[Target],
    application: CapacityApplication,
    environment: Mapping[str, str],
    pairs: int,
    errors: Path,
) -> None:
    _, token = application.create_token("bench", Scope.UPDATE)
    with served(environment, errors) as (port, pid):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Authorization": f"Bearer {token}"}

        def post(target: Target) -> None:
            path = f"/api/v1/instances/{target.instance_id}/actions/sync-capacity"
            connection.request("POST", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise SystemExit(body.decode())

        connection.request("GET", "/health/ready")
        connection.getresponse().read()
        print(f"server idle {memory_of(pid, 'VmRSS'):.1f} MiB", flush=True)
        for target in targets:
            over_http, direct = in_turn(
                partial(post, target), partial(checked_sync, application, target), pairs
            )
            report(f"over HTTP, {target.label}", over_http, direct, "in-process")
        print(f"server peak {memory_of(pid, 'VmHWM'):.1f} MiB", flush=True)
        connection.close()


def bench_targets(
    targets: list[Target], application: CapacityApplication, store: Server, pairs: int
) -> None:
    for target in targets:
        ours = partial(checked_sync, application, target)
        least = partial(floor.sync, target.kind, target.server.port, store.port, target.instance_id)
        report(f"sync, {target.label}", *in_turn(ours, least, pairs))
        with logged_statements(store) as counted:
            ours()
        print(f"{'':<34} {counted[0]} store statements", flush=True)


def register(application: CapacityApplication, kind: str, server: Server) -> int:
    fields = InstanceFields(
        name=f"{kind}-{server.port}",
        db_type=kind,
        host=server.host,
        port=server.port,
        username=server.user,
        tls=Tls(TlsMode.INSECURE),  # the floor does without, too
    )
    # The PostgreSQL target trusts both sides; MariaDB's password is sealed in our store.
    password = Secret(server.password) if kind == "mysql" else None
    return application.add_instance(fields, password=password).id


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--sizes", default="10,100,1000")
    parser.add_argument("--engines", default="postgresql,mysql")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(temporary(start_postgres, options=WITH_FSYNC))
        floor.prepare(store.port)
        with psycopg.connect(store.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE capacity")
        environment = {
            **{name: value for name, value in os.environ.items() if "CAPACITY" not in name},
            "XDG_DATA_HOME": str(folder),
            "CAPACITY_STORE_URL": store.url("capacity"),
        }
        settings = read_settings(environment)
        application = build_application(settings, upgrade=True)
        stack.callback(application.close)
        targets: list[Target] = []
        for kind in chosen.engines.split(","):
            for count in map(int, chosen.sizes.split(",")):
                server = stack.enter_context(temporary(START[kind]))
                FILL[kind](server, count)
                targets.append(Target(kind, count, server, register(application, kind, server)))
                print(f"prepared {targets[-1].label}", flush=True)
        bench_targets(targets, application, store, chosen.pairs)
        largest = [t for t in targets if t.kind == "postgresql"][-1:]
        if largest:
            two = build_application(
                read_settings({**environment, "CAPACITY_SIZE_CONNECTIONS": "2"})
            )
            stack.callback(two.close)
            print("with two size connections:")
            bench_targets(largest, two, store, chosen.pairs)
        bench_http(targets, application, environment, chosen.pairs, folder / "serve.log")
        bench_processes(targets, store, environment)
        if largest:
            bench_denied(application, largest[0].server, chosen.pairs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak of this process {peak:.1f} MiB")


if __name__ == "__main__":
    main()
