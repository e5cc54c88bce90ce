"""Generated histories: kinds of growth, each from a fixed seed, one size (bytes) a day."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import accumulate
from math import pi, sin
from random import Random
from types import MappingProxyType

from capacity_core.growth_reads import SeriesDay

START = date(2026, 1, 1)
GIB = 1024**3


def history(sizes: Iterable[int], start: date = START, method: str = "m") -> list[SeriesDay]:
    return [SeriesDay(start + timedelta(number), size, method) for number, size in enumerate(sizes)]


def linear(random: Random) -> Iterator[float]:
    size, growth = random.uniform(1, 1000) * GIB, random.uniform(0, 2) * GIB
    while True:
        yield size
        size += growth


def noisy(random: Random) -> Iterator[float]:
    noise = random.uniform(0.001, 0.1)
    for size in linear(random):
        yield size * (1 + random.gauss(0, noise))


def seasonal(random: Random) -> Iterator[float]:
    swing, noise, shift = random.uniform(0.001, 0.1), random.uniform(0, 0.01), random.random()
    for day, size in enumerate(linear(random)):
        week = sin(2 * pi * (day / 7 + shift))
        yield size * (1 + swing * week + random.gauss(0, noise))


def stepped(random: Random) -> Iterator[float]:
    size, rest = random.uniform(1, 1000) * GIB, random.choice([3, 7, 15, 30])
    while True:
        yield size
        if random.random() < 1 / rest:
            size += random.uniform(0.5, 1.5) * 10 * GIB


def wandering(random: Random) -> Iterator[float]:
    """Every change stays: the hardest kind, since no history tells where it goes."""
    steps = (random.gauss(0.2, 1) * GIB for _ in iter(int, 1))
    return accumulate(steps, initial=1000.0 * GIB)


KINDS: Mapping[str, Callable[[Random], Iterator[float]]] = MappingProxyType(
    {each.__name__: each for each in (linear, noisy, seasonal, stepped, wandering)}
)


def generated(kind: str, seed: int, days: int) -> Sequence[SeriesDay]:
    sizes = KINDS[kind](Random(f"{kind} {seed}"))  # noqa: S311 -- repeatable
    return history(max(0, int(next(sizes))) for _ in range(days))
