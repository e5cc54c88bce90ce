"""Prove the deadline guard: every engine before every fault, then many rounds of each.

Prints tables; exits 1 if any cell is wrong. Usage: run.py [--engines postgresql,mysql] [--step 1]
"""

import argparse
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field, frozen
from rich.console import Console
from rich.table import Table
from tests.faults.cutting import cuts
from tests.faults.freezing import PHASES, SERVERS, freeze, sessions_left
from tests.faults.matrix import LISTENERS, Seen, expected, faults_of, meet, network_engines
from tests.servers import temporary
from tests.targets import port_instance

from capacity_core.model import Reason

SECONDS = 0.6  # the deadline of a single conversation
SLOW_SECONDS, SLOW_ROUNDS = 0.3, 100
FAST_SECONDS, FAST_ROUNDS = 5.0, 1000
REPEATED = [fault for fault in LISTENERS if fault != "flood"]  # a thousand would be 64 GB
NOT_TRIED = "-"


@frozen
class Cell:
    text: str
    right: bool = True

    def __str__(self) -> str:
        return self.text if self.right else f"{self.text} WRONG"


Row = tuple[str, Sequence[Cell]]


@define
class Proof:
    """What was printed, and whether all of it was right."""

    console: Console = field(factory=lambda: Console(width=200))
    wrong: int = 0

    def show(self, title: str, heads: Iterable[str], rows: Iterable[Row]) -> None:
        table = Table("fault", *heads, title=f"\n{title}", title_justify="left")
        for name, cells in rows:
            table.add_row(name, *map(str, cells))
            self.wrong += sum(not cell.right for cell in cells)
        self.console.print(table)


def cell_of(seen: Seen, reason: str) -> Cell:
    told = ", ".join(f"{count} {each}" for each, count in seen.told.items())
    leaks = f" leaked {','.join(seen.leaks)}" if seen.leaks else ""
    return Cell(f"{told.removeprefix('1 ')} {max(0.0, seen.over):+.3f} s{leaks}", seen.fits(reason))


def once(db_type: str, fault: str) -> Cell:
    if fault not in faults_of(db_type):
        return Cell(NOT_TRIED)
    return cell_of(meet(db_type, fault, seconds=SECONDS), expected(db_type, fault))


def many(db_type: str, fault: str) -> Cell:
    reason = expected(db_type, fault)
    slow = reason == Reason.TIMEOUT
    seen = meet(
        db_type,
        fault,
        seconds=SLOW_SECONDS if slow else FAST_SECONDS,
        rounds=SLOW_ROUNDS if slow else FAST_ROUNDS,
    )
    return cell_of(seen, reason)


def with_server(db_type: str, step: int) -> Mapping[str, Cell]:
    """Freeze a real server in every phase, and cut its every answer."""
    kind = SERVERS[db_type]
    with temporary(kind.start) as server:
        cells = {
            f"frozen in {phase}": cell_of(freeze(server, phase, seconds=SECONDS), Reason.TIMEOUT)
            for phase in PHASES
        }
        kind.fill(server)
        told, lies = cuts(
            lambda port: port_instance(db_type, port, username=server.user), server.port, step
        )
        for phase, reasons in told.items():
            cells[f"cut {phase}"] = Cell(", ".join(sorted(reasons)), bool(reasons))
        cells["cuts that lied"] = Cell(str(lies or 0), not lies)
        left = sessions_left(server)
        cells["sessions left"] = Cell(str(len(left)), not left)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", help="default: all whose driver is installed")
    parser.add_argument("--step", type=int, default=1, help="bytes between two cuts")
    chosen = parser.parse_args()
    logging.disable()
    engines = chosen.engines.split(",") if chosen.engines else network_engines()
    proof = Proof()
    proof.show(
        f"One conversation, deadline {SECONDS} s: reason, seconds over the deadline, leaks",
        engines,
        ((fault, [once(name, fault) for name in engines]) for fault in LISTENERS),
    )
    real = [with_server(name, chosen.step) if name in SERVERS else {} for name in engines]
    faults = dict.fromkeys(fault for cells in real for fault in cells)
    proof.show(
        f"Real servers: frozen, and cut after every {chosen.step} bytes of their answers",
        engines,
        ((fault, [cells.get(fault, Cell(NOT_TRIED)) for cells in real]) for fault in faults),
    )
    proof.show(
        f"{FAST_ROUNDS} rounds, {SLOW_ROUNDS} where each waits for its deadline, 20 at a time",
        engines,
        ((fault, [many(name, fault) for name in engines]) for fault in REPEATED),
    )
    proof.console.print(f"{proof.wrong} wrong")
    sys.exit(1 if proof.wrong else 0)


if __name__ == "__main__":
    main()
