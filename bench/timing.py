"""Two ways to do the same, timed in turn in the same minute: what counts is their ratio."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 0.02  # in which the servers end the sessions of the run before


def milliseconds(work: Callable[[], object]) -> float:
    time.sleep(PAUSE_SECONDS)
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def in_turn(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    pairs: int,
    prepare: Callable[[], object] = lambda: None,
) -> tuple[list[float], list[float]]:
    """Time both alternately, after one uncounted run of each; `prepare` runs before, untimed."""
    prepare()
    ours()
    theirs()
    gc.freeze()  # neither pays for looking through what was imported before
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        prepare()
        times[1].append(milliseconds(theirs))
        times[0].append(milliseconds(ours))
    return times


def report(what: str, ours: list[float], theirs: list[float], other: str = "floor") -> float:
    """Print both medians and the median of their ratios, which is returned."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"{what:<34} ours {statistics.median(ours):8.1f} ms [{min(ours):.1f} - {max(ours):.1f}]"
        f"   {other} {statistics.median(theirs):8.1f} ms [{min(theirs):.1f} - {max(theirs):.1f}]"
        f"   ratio {ratio:5.2f}",
        flush=True,
    )
    return ratio
