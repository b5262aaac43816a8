"""A PgBouncer in transaction mode in front of a PostgreSQL, for the tests: the one that the machine has."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from tools import debian
from tools.services.places import service_account

__all__ = ["find", "install_in_ci", "running"]

START_S = 10.0
ELSEWHERE = ("/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer")
"""Where it is kept when that is not on the PATH of ordinary users."""


def find() -> str | None:
    """The program."""
    return shutil.which("pgbouncer") or next((path for path in ELSEWHERE if Path(path).exists()), None)


def install_in_ci() -> None:
    """Install it on a CI machine that lacks it."""
    if not find():
        debian.install_in_ci("pgbouncer", "the tests behind a pooler")


@contextmanager
def running(folder: Path, place: Mapping[str, str], *, servers: int) -> Iterator[str]:
    """Start one on a free port of 127.0.0.1; it ends with the block.

    Args:
        folder: for its settings and its log.
        place: ``NAME``, ``USER``, ``PASSWORD``, ``HOST`` and ``PORT`` as in Django's DATABASES.
        servers: connections to PostgreSQL at most.

    Yields:
        URL of the same database through the pooler.

    Raises:
        RuntimeError: it does not start; the message has its log.
    """
    program = find()
    if program is None:
        raise RuntimeError("there is no pgbouncer on this machine")
    port = _free_port()
    settings, log = folder / "pgbouncer.ini", folder / "pgbouncer.log"
    settings.write_text(_settings(program, place, port, servers))
    with log.open("wb") as said:
        process = subprocess.Popen(
            [program, str(settings)], cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, port, log)
        yield f"postgresql://pooled@127.0.0.1:{port}/{quote(place['NAME'])}"
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def _settings(program: str, place: Mapping[str, str], port: int, servers: int) -> str:
    """With ``auth_type = any`` everybody on this machine logs in as the tests' role: for tests only."""
    facts = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
    server = " ".join(f"{key}={_quoted(str(place[name]))}" for key, name in facts.items() if place[name])
    lines = [
        "[databases]", f"{place['NAME']} = {server}",
        "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =", "auth_type = any",
        "pool_mode = transaction", f"default_pool_size = {servers}", f"max_db_connections = {servers}",
        "max_client_conn = 200", "query_wait_timeout = 20",
    ]  # fmt: skip
    if _version(program) >= (1, 21):  # what older ones cannot do, and newer ones do by themselves
        lines.append("max_prepared_statements = 0")
    account = service_account()
    if account.drop:  # it refuses to be root
        lines.append(f"user = {account.name}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def _version(program: str) -> tuple[int, int]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"pgbouncer does not start:\n{log.read_text(errors='replace')}")
