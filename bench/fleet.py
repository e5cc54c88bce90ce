"""Runs over many instances, on private servers: dead ones among them, the floor, 10,000.

Usage: fleet.py [--parts dead,floor,many] [--pairs 9] [--instances 10000]
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from attrs import frozen
from bench import floor
from bench.fleet_dead import bench_dead
from bench.fleet_many import bench_many
from bench.fleet_pairs import bench_pairs
from bench.run import WITH_FSYNC
from tests.servers import Server, start_postgres, temporary

from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
from capacity_core import CapacityApplication


@frozen
class Stores:
    """New stores, one after the other: databases of one server, or files in one folder."""

    server: Server
    folder: Path

    @contextmanager
    def application(self, name: str, **settings: str) -> Iterator[CapacityApplication]:
        environment = {**self.environment(self.postgresql(name)), **settings}
        application = build_application(read_settings(environment))
        try:
            yield application
        finally:
            application.close()

    def environment(self, url: str) -> Mapping[str, str]:
        return {"XDG_DATA_HOME": str(self.folder), "CAPACITY_STORE_URL": url}

    def postgresql(self, name: str) -> str:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        return self.server.url(name)

    def sqlite(self, name: str) -> str:
        return f"sqlite:///{self.folder / name}.db"


@contextmanager
def opened_stores() -> Iterator[Stores]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(temporary(start_postgres, options=WITH_FSYNC))
        floor.prepare(server.port)
        yield Stores(server, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="dead,floor,many")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--instances", type=int, default=10_000)
    chosen = parser.parse_args()
    with opened_stores() as stores:
        if "dead" in chosen.parts:
            bench_dead(stores)
        if "floor" in chosen.parts:
            bench_pairs(stores, chosen.pairs)
        if "many" in chosen.parts:
            bench_many(stores, chosen.instances)


if __name__ == "__main__":
    main()
