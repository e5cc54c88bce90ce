"""Private PostgreSQL and MariaDB servers on 127.0.0.1, for tests and benchmarks.

Each has a folder and a port of its own, and ends by its pid: no shared server is touched.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from attrs import field, frozen

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")

# The tests' superuser comes in as he is; anybody else has to prove it.
PG_HBA = f"""\
host all bench {HOST}/32 trust
host all all {HOST}/32 scram-sha-256
"""
MARIADB_LOGIN = f"""\
CREATE USER IF NOT EXISTS 'bench'@'{HOST}' IDENTIFIED BY 'bench';
GRANT ALL ON *.* TO 'bench'@'{HOST}' WITH GRANT OPTION;
"""


@frozen
class Server:
    """A running server. `pid` is its main process; `user` may do everything."""

    scheme: str
    host: str
    port: int
    user: str
    password: str
    folder: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        return self.process.pid

    def url(self, database: str = "") -> str:
        login = f"{quote(self.user)}:{quote(self.password)}"
        return f"{self.scheme}://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def stop(self) -> None:
        """End it, the hard way if it lingers. Harmless if it is gone already."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Start(Protocol):
    def __call__(self, folder: Path, *, options: Sequence[str] = ()) -> Server: ...


def start_postgres(
    folder: Path,
    *,
    fsync: bool = False,
    options: Sequence[str] = (),
    binaries: Path | None = None,
) -> Server:
    """Start PostgreSQL in that folder; its superuser is `bench`, everybody else uses SCRAM.

    It is the newest of Debian's, unless other `binaries` are named.
    """
    data, owner = _data_folder(folder, "postgres")
    if not (data / "PG_VERSION").exists():
        setup = [
            _postgres_binary("initdb", binaries),
            "-D",
            str(data),
            "-U",
            "bench",
            "-A",
            "trust",
        ]
        _run_as(owner, [*setup, "--locale=C.UTF-8", "-E", "UTF8", "--no-sync"])
        (data / "pg_hba.conf").write_text(PG_HBA)
    port = free_port()
    settings = {
        "port": port,
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    command = [_postgres_binary("postgres", binaries), "-D", str(data), *(() if fsync else FAST)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    process = _launch(owner, [*command, *options], folder / "server.log")
    status = data / "postmaster.pid"
    _await_ready(process, folder / "server.log", lambda: "\nready" in _text_of(status))
    return Server("postgresql", HOST, port, "bench", "bench", folder, process, signal.SIGQUIT)


def start_mariadb(folder: Path, *, options: Sequence[str] = ()) -> Server:
    """Start MariaDB in that folder; its login `bench` has all rights."""
    data, owner = _data_folder(folder, "mysql")
    if not (data / "mysql").exists():
        setup = [find_binary("mariadb-install-db"), "--no-defaults", f"--datadir={data}"]
        setup += [f"--tmpdir={data}"]  # in a shared one, two at once take each other's files
        _run_as(owner, [*setup, "--auth-root-authentication-method=normal", "--skip-test-db"])
    login = folder / "login.sql"
    login.write_text(MARIADB_LOGIN)
    port = free_port()
    command = [
        find_binary("mariadbd"),
        "--no-defaults",
        f"--datadir={data}",
        f"--tmpdir={folder}",
        f"--port={port}",
        f"--bind-address={HOST}",
        f"--socket={folder / 's.sock'}",
        f"--pid-file={folder / 'server.pid'}",
        f"--init-file={login}",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0",
        "--table-open-cache=12000",
        "--open-files-limit=20000",
        "--max-connections=200",
    ]
    process = _launch(owner, [*command, *options], folder / "server.log")
    _await_ready(process, folder / "server.log", lambda: _greets(port))
    return Server("mysql", HOST, port, "bench", "bench", folder, process)


@contextmanager
def temporary(start: Start, *, options: Sequence[str] = ()) -> Iterator[Server]:
    """Lend a server in a temporary folder; both are gone afterwards, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="capacity-"))
    try:
        server = start(folder, options=options)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def find_binary(name: str, *folders: str) -> str:
    """Raises RuntimeError, which says what to install."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise RuntimeError(f"{name} is missing: run ./tests/install_servers, or do what it says")
    return found


def _postgres_binary(name: str, binaries: Path | None) -> str:
    if binaries is not None:
        return str(binaries / name)
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return find_binary(name, *map(str, newest))


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _data_folder(folder: Path, account: str) -> tuple[Path, str | None]:
    """Make the folder of the data, and say which account must run the server (None: our own)."""
    data = folder / "data"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return data, None
    user = pwd.getpwnam(account)  # both servers refuse to run as root
    for each in (folder, data):
        os.chown(each, user.pw_uid, user.pw_gid)
    return data, account


def _run_as(owner: str | None, command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=owner,
        group=owner,
        extra_groups=[] if owner else None,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")


def _launch(owner: str | None, command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
            user=owner,
            group=owner,
            extra_groups=[] if owner else None,
        )


def _await_ready(
    process: "subprocess.Popen[bytes]", log: Path, is_ready: Callable[[], bool]
) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            raise RuntimeError(f"a test server did not start: {_text_of(log)[-2000:]}")
        time.sleep(0.05)


def _text_of(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def _greets(port: int) -> bool:
    """MariaDB speaks first, and only once its init file has run."""
    try:
        with socket.create_connection((HOST, port), 1.0) as probe:
            return bool(probe.recv(1))
    except OSError:
        return False
