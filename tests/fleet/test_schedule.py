"""What is due, and who starts it."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import ENGINES, NOON
from tests.stores import AnyStore, add_instance, on_day, running_of, sync

from capacity_adapters.memory import MemoryStore
from capacity_adapters.queues.schedule import Schedule, checked_cron, due_since
from capacity_adapters.settings import SETTINGS, read_settings
from capacity_adapters.store import Store, open_store
from capacity_adapters.wiring import build_application, build_schedule
from capacity_core.application import CapacityApplication
from capacity_core.errors import SettingsError, StoreError
from capacity_core.messages import text
from capacity_core.ports import Lease, UnitOfWork
from capacity_core.reads import Paging
from capacity_core.runs import Run, RunStatus, Trigger

NIGHTLY = "0 3 * * *"
BERLIN = ZoneInfo("Europe/Berlin")
A_DAY = timedelta(days=1)
BAD = [
    "",
    "3",
    "0 3 * *",
    "0 0 3 * * *",
    "60 3 * * *",
    "0 24 * * *",
    "0 3 0 * *",
    "0 3 * 13 *",
    "0 3 * * 8",
    "0 3 30 2 *",
    "*/0 * * * *",
    "a b c d e",
    "@daily",
    "0 3 * * MON#6",
    "٣ 3 * * *",
    f"*/{'9' * 5000} * * * *",
]


def met_by(cron: str, zone: ZoneInfo, first: datetime, days: int) -> list[str]:
    """Look every five minutes, as a process does, and list what was met, in local time."""
    last, now, met = first, first, []
    while now < first + days * A_DAY:
        due = due_since(cron, last, now.astimezone(zone))
        if due is not None:
            met.append(due.astimezone(zone).isoformat(timespec="minutes"))
            last = due
        now += timedelta(minutes=5)
    return met


@pytest.mark.unit
@pytest.mark.parametrize(
    ("cron", "day", "met"),
    [
        (NIGHTLY, (2026, 3, 29), ["2026-03-29T03:00+02:00"]),
        ("30 2 * * *", (2026, 3, 29), ["2026-03-29T03:00+02:00"]),  # 02:30 is skipped
        ("30 2 * * *", (2026, 10, 25), ["2026-10-25T02:30+02:00"]),  # 02:30 is there twice
        (
            "30 1-3 * * *",
            (2026, 10, 25),
            ["2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00", "2026-10-25T03:30+01:00"],
        ),
        (
            "0 1-3 * * *",
            (2026, 3, 29),
            ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"],
        ),
    ],
)
def test_a_day_on_which_the_clocks_change_misses_and_doubles_nothing(
    cron: str, day: tuple[int, int, int], met: list[str]
) -> None:
    midnight = datetime(*day, tzinfo=BERLIN).astimezone(UTC)
    assert met_by(cron, BERLIN, midnight, 1) == met


@pytest.mark.unit
def test_every_hour_has_23_and_25_of_them_then() -> None:
    for day, hours in (((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 5, 5), 24)):
        first = datetime(*day, tzinfo=BERLIN).astimezone(UTC)
        met = met_by("5 * * * *", BERLIN, first, 2)
        assert len([each for each in met if int(each[8:10]) == day[2]]) == hours


@pytest.mark.unit
def test_a_leap_day_comes_every_four_years() -> None:
    last = datetime(2024, 2, 29, tzinfo=UTC)
    assert due_since("0 0 29 2 *", last, datetime(2028, 2, 28, 23, 59, tzinfo=UTC)) is None
    leap_day = datetime(2028, 2, 29, tzinfo=UTC)
    assert due_since("0 0 29 2 *", last, leap_day) == leap_day
    assert due_since("0 0 29 2 *", last, leap_day + 30 * A_DAY) == leap_day


@pytest.mark.unit
def test_of_many_missed_times_the_latest_is_due() -> None:
    last = datetime(2026, 1, 1, 3, tzinfo=UTC)
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert due_since(NIGHTLY, last, now) == datetime(2026, 3, 10, 3, tzinfo=UTC)


@pytest.mark.unit
def test_a_clock_that_goes_back_makes_nothing_due_again() -> None:
    met = datetime(2026, 3, 10, 3, tzinfo=UTC)
    for seconds in (1, 3600, 86_400 * 3):
        assert due_since(NIGHTLY, met, met - timedelta(seconds=seconds)) is None
    assert due_since(NIGHTLY, met, met) is None
    assert due_since(NIGHTLY, met, met + A_DAY) == met + A_DAY


@pytest.mark.unit
@pytest.mark.parametrize("cron", [NIGHTLY, "*/7 2-5 * * MON-FRI", "0 0 1 */3 *", "15 2,3 L * *"])
@given(seconds=st.integers(0, 366 * 86_400), span=st.integers(1, 40 * 86_400))
def test_what_is_due_lies_between(cron: str, seconds: int, span: int) -> None:
    last = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    now = last + timedelta(seconds=span)
    due = due_since(cron, last, now.astimezone(BERLIN))
    assert due is None or (last < due <= now and due.second == 0)
    if due is not None:
        assert due_since(cron, due, now.astimezone(BERLIN)) is None


@pytest.mark.unit
@pytest.mark.parametrize("expression", BAD)
def test_what_is_no_schedule_is_a_wrong_setting(expression: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        checked_cron(expression)
    if expression:
        with pytest.raises(SettingsError, match=r"CAPACITY_SCHEDULE is .*cron expression of five"):
            read_settings({"HOME": "/", "CAPACITY_SCHEDULE": expression})


@pytest.mark.unit
@given(st.text("0123459*,-/#L MONW", max_size=20))
def test_any_text_is_a_schedule_or_a_value_error(expression: str) -> None:
    try:
        cron = checked_cron(expression)
    except ValueError:
        return
    assert checked_cron(cron) == cron
    due_since(cron, NOON - A_DAY, NOON)


@pytest.mark.unit
def test_the_settings_of_a_schedule() -> None:
    given_values = {"HOME": "/", "CAPACITY_SCHEDULE": " 0  3 * * mon ", "CAPACITY_TIMEZONE": "UTC"}
    read = read_settings(given_values)
    assert (read.schedule, read.schedule_jitter) == ("0 3 * * MON", 60.0)
    assert read_settings({**given_values, "CAPACITY_SCHEDULE_JITTER": "0"}).schedule_jitter == 0.0
    for wrong in ("-1", "nan", "86401", "soon"):
        with pytest.raises(SettingsError):
            read_settings({**given_values, "CAPACITY_SCHEDULE_JITTER": wrong})
    assert read_settings({"HOME": "/"}).schedule is None
    assert {"schedule", "schedule_jitter"} <= {setting.name for setting in SETTINGS}


@define
class Clock:
    at: datetime = NOON

    def __call__(self) -> datetime:
        return self.at


def application_on(store: AnyStore, clock: Callable[[], datetime]) -> CapacityApplication:
    def no_target(*_: object, **__: object) -> None:
        raise AssertionError

    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=no_target,  # type: ignore[arg-type]  # nothing is synced here
        now=clock,
        engines=ENGINES,
    )


def runs_of(application: CapacityApplication) -> list[Run]:
    return list(application.fleet.runs(Paging()).rows)


def test_the_first_start_catches_nothing_up_and_a_later_one_once(store: AnyStore) -> None:
    add_instance(store)
    clock = Clock()
    application = application_on(store, clock)
    heard: list[Run] = []
    schedule = Schedule(application, NIGHTLY, on_run=heard.append)
    schedule.look()
    clock.at += timedelta(hours=14)  # 02:00
    schedule.look()
    assert runs_of(application) == []
    clock.at += timedelta(days=3, hours=2)  # nobody looked for three days
    again = Schedule(application, NIGHTLY, on_run=heard.append)
    again.look()
    again.look()
    (run,) = runs_of(application)
    assert (run.trigger, run.status) == (Trigger.SCHEDULE, RunStatus.RUNNING)
    assert heard == [run]
    again.stop()


def test_two_processes_meet_a_due_time_once(store: AnyStore) -> None:
    add_instance(store)
    clock = Clock()
    applications = [application_on(store, clock) for _ in range(2)]
    heard: list[Run] = []
    both = [Schedule(each, NIGHTLY, on_run=heard.append) for each in applications]
    for schedule in both:
        schedule.look()
    clock.at += A_DAY
    for schedule in both:
        schedule.look()
        schedule.stop()
    assert len(heard) == len(runs_of(applications[0])) == 1


@pytest.mark.unit
def test_who_comes_second_starts_nothing() -> None:
    store, clock = MemoryStore(), Clock()
    add_instance(store)
    application = application_on(store, clock)
    application.fleet.last_fired(NIGHTLY)
    clock.at += A_DAY
    first, heard = Schedule(application, NIGHTLY), list[Run]()
    meanwhile = iter([lambda: None, lambda: None, first.look])

    def begin(lease: Lease | None = None) -> AbstractContextManager[UnitOfWork]:
        next(meanwhile)()  # amid reading and noting
        return store.begin(lease)

    Schedule(evolve(application, begin=begin), NIGHTLY, on_run=heard.append).look()  # type: ignore[arg-type]  # nothing is written unhurried
    first.stop()
    assert heard == []
    assert len(runs_of(application)) == 1


@pytest.mark.unit
def test_each_process_is_late_by_a_time_of_its_own_drawn_once() -> None:
    store, clock = MemoryStore(), Clock()
    add_instance(store)
    application = application_on(store, clock)
    application.fleet.last_fired("* * * * *")
    schedule = Schedule(application, "* * * * *", jitter=3600.0)
    clock.at += timedelta(minutes=1)
    due, late = clock.at, 0
    while not runs_of(application):
        schedule.look()
        late += 1
        clock.at += timedelta(seconds=10)
        assert clock.at <= due + timedelta(hours=1, seconds=10)
    schedule.stop()
    delays = {Schedule(application, NIGHTLY, 60.0)._time_for(NOON, NOON) - NOON for _ in range(20)}
    assert len(delays) == 20
    assert all(timedelta() <= delay <= timedelta(seconds=60) for delay in delays)
    assert schedule._time_for(due, due) == schedule._time_for(due, due + A_DAY)


@pytest.mark.unit
def test_without_an_active_instance_it_only_says_so(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    application = application_on(MemoryStore(), clock)
    schedule = Schedule(application, NIGHTLY)
    schedule.look()
    clock.at += A_DAY
    with caplog.at_level(logging.INFO):
        schedule.look()
        schedule.look()
    assert [each.message for each in caplog.records] == [
        "the schedule is due, and there is no active instance"
    ]
    assert runs_of(application) == []


@pytest.mark.unit
def test_a_firing_yet_to_come_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    application = application_on(MemoryStore(), clock)
    application.fleet.last_fired(NIGHTLY)
    clock.at -= timedelta(days=400)
    Schedule(application, NIGHTLY).look()
    assert "which is yet to come" in caplog.text


def test_completed_periods_are_stored_beside_the_run(
    store: AnyStore, caplog: pytest.LogCaptureFixture
) -> None:
    instance_id = add_instance(store)
    sync(store, instance_id, {"a": 10}, on_day(0))
    clock = Clock()
    application = application_on(store, clock)
    schedule = Schedule(application, NIGHTLY)
    schedule.look()
    clock.at += timedelta(days=6)  # a Monday, after the first week
    with caplog.at_level(logging.INFO):
        schedule.look()
        schedule.stop()
    assert "completed periods were stored, of 1 kinds" in caplog.text


@pytest.mark.unit
def test_a_store_that_fails_ends_neither_the_clock_nor_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = MemoryStore(), Clock()
    add_instance(store)
    application = application_on(store, clock)
    application.fleet.last_fired(NIGHTLY)
    clock.at += A_DAY
    looked, calls = Event(), iter(range(100))

    def failing_at_first(*given: object) -> object:
        if next(calls) == 0:
            raise StoreError(text("store.failed", where="here"))
        return store.begin(*given)  # type: ignore[arg-type]  # handed on

    broken = evolve(application, begin=failing_at_first)  # type: ignore[arg-type]  # likewise
    schedule = Schedule(broken, NIGHTLY, on_run=lambda _: looked.set(), look_seconds=0.001)
    schedule.start()
    assert looked.wait(10)
    schedule.stop()
    assert "the schedule: The store" in caplog.text
    assert len(runs_of(application)) == 1


@pytest.mark.unit
def test_periods_that_cannot_be_stored_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def failing(*_: object) -> object:
        raise StoreError(text("store.failed", where="here"))

    application = application_on(MemoryStore(), Clock())
    broken = evolve(application, begin=failing)  # type: ignore[arg-type]  # it never returns
    Schedule(broken, NIGHTLY)._store_periods(NOON - 30 * A_DAY, NOON)
    assert "completed periods: The store" in caplog.text


@pytest.mark.unit
def test_periods_that_could_not_be_stored_are_stored_by_a_later_firing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = MemoryStore(), Clock()
    instance_id = add_instance(store)
    sync(store, instance_id, {"a": 10}, on_day(0))
    schedule = Schedule(application_on(store, clock), NIGHTLY)
    schedule.look()
    clock.at += timedelta(days=6)
    fails = True

    def failing(*given: object) -> object:
        if fails and threading.current_thread().name == "capacity-periods":
            raise StoreError(text("store.failed", where="here"))
        return store.begin(*given)  # type: ignore[arg-type]  # handed on

    schedule = Schedule(evolve(schedule.application, begin=failing), NIGHTLY)  # type: ignore[arg-type]  # likewise
    with caplog.at_level(logging.INFO):
        schedule.look()
        schedule.stop()
        assert "completed periods: The store" in caplog.text
        fails = False
        clock.at += A_DAY
        schedule.look()
        schedule.stop()
    assert "completed periods were stored, of 1 kinds" in caplog.text


def test_without_a_schedule_nothing_looks(store_url: str) -> None:
    settings = read_settings({"HOME": "/", "CAPACITY_STORE_URL": store_url})
    application = build_application(settings)
    assert build_schedule(settings, application) is None
    application.close()


FIRING = """
import sys
from datetime import datetime
from capacity_adapters.settings import read_settings
from capacity_adapters.wiring import build_application
application = build_application(read_settings({"HOME": "/", "CAPACITY_STORE_URL": sys.argv[1]}))
print("ready", flush=True)
sys.stdin.readline()
for hour in range(24):
    fired = application.fleet.fire("0 * * * *", datetime.fromisoformat(f"2026-03-10T{hour:02}:00Z"))
    print(int(fired is not None))
"""


def test_of_three_processes_at_once_one_meets_each_due_time(store_url: str) -> None:
    opened: Store = open_store(store_url)
    add_instance(opened)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRING, store_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        said.append([int(line) for line in out.split()])
    # A later one may be met before an earlier one is looked at, so not each is met; none is twice.
    assert all(sum(hour) <= 1 for hour in zip(*said, strict=True))
    assert sum(map(sum, said)) >= 1
    with opened.begin() as work:
        assert work.runs.fired_at("0 * * * *") == datetime(2026, 3, 10, 23, tzinfo=UTC)
        assert len(running_of(work.runs.page)) == 1
    opened.close()
