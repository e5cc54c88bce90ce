"""Names become checked addresses, in time, and the first that answers is taken."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network

import pytest
from attrs import define, evolve, field
from tests.faults.listeners import closer, listening
from tests.servers import HOST
from tests.targets import connected, coordinator_of, port_instance, refusal, server_instance

from capacity_adapters.engines import ENGINES, TargetPolicy
from capacity_adapters.engines.addresses import (
    MAX_LOOKUPS,
    IPAddress,
    Resolve,
    addresses_of,
    first_reachable,
    is_allowed,
)
from capacity_core.model import CollectFailed, NetworkAddress, Reason

pytestmark = pytest.mark.unit
NETWORK_ENGINES = [name for name, facts in ENGINES.items() if facts.default_port]


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def answering(*addresses: str) -> Resolve:
    return lambda _host, _port: [(2, 1, 6, "", (address, 0)) for address in addresses]


def failure_of(host: str, resolve: Resolve, by: float) -> Reason:
    with pytest.raises(CollectFailed) as caught:
        addresses_of(host, by, (), resolve)
    return caught.value.failure.reason


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",  # noqa: S104 -- the one to refuse
        "::",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
        "0.1.2.3",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd20:ce::254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::100.100.100.200",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::2",
        "64:ff9b:1::169.254.169.254",
        "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo, its client at 169.254.169.254
        "2001:0:a9fe:a9fe::1",  # Teredo, its server there
        "fe00::5efe:169.254.169.254",
        "2001:db8::200:5efe:a9fe:a9fe",
    ],
)
def test_some_addresses_are_never_allowed(address: str) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert not is_allowed(ip_address(address), ())
    assert not is_allowed(ip_address(address), everything)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "10.1.2.3", "8.8.8.8", "fd00::1", "64:ff9b::8.8.8.8"),
        *("2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::5efe:8.8.8.8"),
    ],
)
def test_any_other_address_is_allowed_without_a_list(address: str) -> None:
    assert is_allowed(ip_address(address), ())


def test_a_list_of_networks_allows_nothing_else() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    asked = ("10.1.2.3", "fd00::1", "::ffff:10.1.2.3", "11.1.2.3", "::1", "::ffff:11.1.2.3")
    allowed = [address for address in asked if is_allowed(ip_address(address), networks)]
    assert allowed == ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"]


@pytest.mark.parametrize("db_type", ["postgresql", "mysql"])
@pytest.mark.parametrize("host", ["169.254.169.254", "0", "::ffff:169.254.169.254"])
def test_no_engine_connects_to_a_forbidden_address(db_type: str, host: str) -> None:
    assert refusal(port_instance(db_type, 80, host=host)) == Reason.ADDRESS_REFUSED


@pytest.mark.parametrize("db_type", ["postgresql", "mysql"])
def test_no_engine_connects_outside_the_allowed_networks(db_type: str) -> None:
    policy = TargetPolicy(networks=(ip_network("10.0.0.0/8"),))
    assert refusal(port_instance(db_type, 1), policy=policy) == Reason.ADDRESS_REFUSED


@pytest.mark.parametrize("db_type", NETWORK_ENGINES)
def test_no_engine_connects_to_a_port_that_it_may_not_have(db_type: str) -> None:
    with listening(closer) as port:
        policy = TargetPolicy(ports={db_type: (range(1, 2),), "other": (range(1, 65_536),)})
        coordinator = coordinator_of(port_instance(db_type, port), policy=policy)
        assert not coordinator.connect()
        assert coordinator.failure is not None
        assert coordinator.failure.hint.key == "hint.address_refused.port"
        allowed = TargetPolicy(ports={db_type: (range(1, 2), range(port, port + 1))})
        assert refusal(port_instance(db_type, port), policy=allowed) != Reason.ADDRESS_REFUSED


def test_an_engine_that_the_ports_do_not_name_has_none() -> None:
    policy = TargetPolicy(ports={"mysql": (range(3306, 3307),)})
    asked = [("mysql", 3306), ("mysql", 3307), ("postgresql", 5432)]
    assert [policy.allows_port(*each) for each in asked] == [True, False, False]
    assert TargetPolicy().allows_port("postgresql", 1)


@define(eq=False)
class Rebinding:
    """A name server of somebody who wants us elsewhere: its first answer is the only honest one."""

    first: tuple[str, ...]
    asked: list[str] = field(factory=list)

    def __call__(self, host: str, _port: int) -> list[object]:
        self.asked.append(host)
        answer = self.first if len(self.asked) == 1 else ("169.254.169.254",)
        return [(2, 1, 6, "", (address, 0)) for address in answer]


@pytest.mark.live
@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_connected_to(
    request: pytest.FixtureRequest, engine: str
) -> None:
    instance = server_instance(request.getfixturevalue(engine))
    assert isinstance(instance.address, NetworkAddress)
    resolve = Rebinding(("169.254.169.254", HOST))
    named = evolve(instance, address=evolve(instance.address, host="rebinding.test"))
    policy = TargetPolicy(resolve=resolve)
    with connected(coordinator_of(named, policy=policy)) as coordinator:
        seen = {database.name for database in coordinator.fetch_inventory().databases}
        assert coordinator.collect_capacity(seen).sizes
    assert resolve.asked == ["rebinding.test"]
    assert refusal(named, policy=policy) == Reason.ADDRESS_REFUSED


def test_forbidden_addresses_of_a_name_are_left_out() -> None:
    resolve = answering("169.254.169.254", "10.0.0.1", "10.0.0.1", "fe80::1%eth0", "10.0.0.2")
    found = addresses_of("db", soon(), (), resolve)
    assert list(map(str, found)) == ["10.0.0.1", "10.0.0.2"]


def test_an_address_is_not_looked_up() -> None:
    def resolve(_host: str, _port: int) -> list[object]:
        raise AssertionError

    assert addresses_of("::1", soon(), (), resolve) == [ip_address("::1")]


@pytest.mark.parametrize("db_type", ["postgresql", "mysql"])
def test_a_name_that_does_not_resolve_is_told(db_type: str) -> None:
    for host in ("no-such-host.invalid", "x" * 64 + ".invalid"):
        assert refusal(port_instance(db_type, 1, host=host)) == Reason.NAME_RESOLUTION


@pytest.fixture
def hanging() -> Iterator[Resolve]:
    """A resolver that answers only when the test is over."""
    over = threading.Event()

    def resolve(_host: str, _port: int) -> list[object]:
        over.wait()
        return []

    yield resolve
    over.set()
    for thread in threading.enumerate():
        if thread.name == "look-up":
            thread.join()


def test_a_hanging_resolver_ends_in_time_and_holds_a_bounded_number_of_threads(
    hanging: Resolve,
) -> None:
    for number in range(MAX_LOOKUPS + 5):
        started = time.monotonic()
        assert failure_of(f"db{number}", hanging, soon(0.02)) is Reason.TIMEOUT
        assert time.monotonic() - started < 0.52
    assert looking_up() == MAX_LOOKUPS


def looking_up() -> int:
    return [thread.name for thread in threading.enumerate()].count("look-up")


def test_a_name_that_hangs_holds_one_thread_however_often_it_is_asked(hanging: Resolve) -> None:
    for _ in range(5):
        assert failure_of("db", hanging, soon(0.02)) is Reason.TIMEOUT
    assert looking_up() == 1
    assert failure_of("other", hanging, soon(0.02)) is Reason.TIMEOUT
    assert looking_up() == 2


def test_who_asks_for_the_same_name_meanwhile_gets_the_same_answer() -> None:
    asked: list[str] = []
    both_wait = threading.Event()

    def resolve(host: str, _port: int) -> list[object]:
        asked.append(host)
        both_wait.wait(5)
        return list(answering("10.0.0.1")("", 0))

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(addresses_of, "db", soon(5.0), (), resolve) for _ in range(2)]
        while not all(answer.running() for answer in answers):
            time.sleep(0.01)
        time.sleep(0.05)
        both_wait.set()
        assert [answer.result() for answer in answers] == [[ip_address("10.0.0.1")]] * 2
    assert asked == ["db"]
    with pytest.raises(CollectFailed):  # an answer is not kept
        addresses_of("db", soon(), (), answering())


def test_look_ups_go_on_when_the_resolver_is_back(hanging: Resolve) -> None:
    assert failure_of("db", hanging, soon(0.05)) is Reason.TIMEOUT
    assert addresses_of("db", soon(), (), answering("10.0.0.1")) == [ip_address("10.0.0.1")]


ADDRESSES = [ip_address(f"10.0.0.{number}") for number in range(1, 4)]


def reason_of(error: BaseException) -> Reason:
    return Reason.REFUSED if isinstance(error, ConnectionRefusedError) else Reason.AUTH_FAILED


def test_the_first_address_that_answers_is_taken_and_each_has_its_share() -> None:
    tried: list[tuple[str, float]] = []

    def connect(address: IPAddress, by: float) -> str:
        tried.append((str(address), by))
        if address != ADDRESSES[1]:
            raise ConnectionRefusedError
        return "connected"

    by = soon(6.0)
    assert first_reachable(ADDRESSES, by, connect, reason_of) == "connected"
    assert [address for address, _ in tried] == ["10.0.0.1", "10.0.0.2"]
    assert tried[0][1] == pytest.approx(by - 4.0, abs=0.5)
    assert tried[1][1] == pytest.approx(by - 3.0, abs=0.5)


def test_a_refused_login_is_not_tried_at_the_next_address() -> None:
    tried: list[IPAddress] = []

    def connect(address: IPAddress, _by: float) -> str:
        tried.append(address)
        raise PermissionError

    with pytest.raises(PermissionError):
        first_reachable(ADDRESSES, soon(), connect, reason_of)
    assert tried == ADDRESSES[:1]


def test_if_none_answers_the_last_one_says_why() -> None:
    def connect(address: IPAddress, _by: float) -> str:
        raise ConnectionRefusedError(str(address))

    with pytest.raises(ConnectionRefusedError, match=r"10\.0\.0\.3"):
        first_reachable(ADDRESSES, soon(), connect, reason_of)
