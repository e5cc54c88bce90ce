"""The floor for many instances: bare driver scripts on threads, with nothing of ours around.

Each thread keeps one connection to the store; each instance costs a connection to its target, the
list with the sizes, one statement and one commit.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
from bench import floor

Instance = tuple[str, int, int]  # engine, target's port, id


def sync_all(
    instances: Sequence[Instance], store_port: int, threads: int, *, sslmode: str = "disable"
) -> int:
    """Do the least work once for every instance; returns how many databases were sized.

    `sslmode` is what PostgreSQL targets are asked with; `prefer`, libpq's own, costs a round trip.
    """
    local, opened = threading.local(), list[psycopg.Connection[Any]]()
    ask: Mapping[str, Callable[[int], dict[str, int]]] = {
        **floor.SIZES,
        "postgresql": partial(floor.postgresql_sizes, sslmode=sslmode),
    }

    def one(instance: Instance) -> int:
        kind, port, instance_id = instance
        if not hasattr(local, "store"):
            local.store = floor.connect_store(store_port)
            opened.append(local.store)
        sizes = ask[kind](port)
        now = datetime.now(UTC)
        about = {"id": instance_id, "day": now.date(), "now": now}
        values = {**about, "names": list(sizes), "sizes": list(sizes.values())}
        local.store.execute(floor.UPSERT, values)
        local.store.commit()
        return len(sizes)

    with ThreadPoolExecutor(threads) as pool:
        sized = sum(pool.map(one, instances))
    for store in opened:
        store.close()
    return sized
