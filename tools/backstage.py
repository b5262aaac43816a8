"""What runs behind the demo shop: two workers and a bank, each started again whenever it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from tools.services.exceptions import ServiceFailed, ServiceMissing
from tools.services.places import CHECKOUT, Account, state_folder
from tools.services.redis import running_redis

__all__ = ["Backstage", "Kept", "backstage", "environment_for", "place", "redis_or_none"]

WORKERS = ("worker-1", "worker-2")
PAUSE_S = 0.5
"""Between the end of a program and its next start."""
GRACE_S = 15
"""So long a program may take to end when it is asked to."""
START_S = 30


class Kept:
    """A program that is started again when it ends, as a process manager does; it leads a session of its own."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.environment = environment
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=f"keeps {name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask_to_end(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._process.terminate()

    def end(self) -> None:
        """Until it has ended, with all its children."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self._end_children()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command, cwd=CHECKOUT, env={**os.environ, **self.environment}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _keep(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            if self._process.poll() is None:
                continue
            self._end_children()
            ended, self._process = self._process.pid, self._start()
            print(f"  {self.name}: pid {ended} has ended, pid {self.pid} takes its place", flush=True)

    def _end_children(self) -> None:
        """Those of a worker that was killed would go on for a while."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Backstage:
    """What there is to look at and to kill."""

    bank_url: str
    mail: Path
    workers: Sequence[Kept]
    on_celery: bool

    def told(self) -> str:
        """The workers, in a line."""
        pids = " and ".join(f"pid {worker.pid}" for worker in self.workers)
        if self.on_celery:
            return f"two Celery workers, {pids}"
        return f"two of manage.py lockstep_work, {pids}: there is no Redis here, so Celery is left out"


def place() -> Path:
    """Where the bank's book, the mails and the logs lie."""
    return state_folder("demo", Account("", os.geteuid(), os.getegid(), drop=False))


@contextlib.contextmanager
def redis_or_none(name: str) -> Iterator[str]:
    """URL of the Redis that is there, ``name`` where it is ours; empty where there is none."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running_redis(name))
        except ServiceMissing:
            url = ""
        yield url


def environment_for(url: str, redis: str, folder: Path) -> dict[str, str]:
    """What the settings of the shop at ``url`` read; the bank will have a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return {
        "DEMO_URL": url,
        "REDIS_URL": redis,
        "BANK_URL": f"http://127.0.0.1:{port}/",
        "DEMO_MAIL": str(folder / "mail"),
    }


@contextlib.contextmanager
def backstage(source: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Backstage]:
    """Bank and workers for as long as the block lasts. Django is set up.

    Args:
        source: under what name the bank's events come in: another for each shop that is open at once.
        environment: of :func:`environment_for`, and what else they need.
    """
    from lockstep.workflows.inbox import webhooks

    account = webhooks.make(source, key_path="data.payment")
    notify = {"BANK_NOTIFY": urljoin(environment["DEMO_URL"], account.url), "BANK_SECRET": account.secret}
    on_celery = bool(environment["REDIS_URL"])
    with contextlib.ExitStack() as stack:
        bank = Kept(
            "bank", bank_command(folder, environment), folder / f"{source}.log", {**environment, **notify}
        )
        stack.callback(bank.end)
        workers = [
            Kept(
                name,
                worker_command(f"{name}-{source}", on_celery),
                folder / f"{source}-{name}.log",
                environment,
            )
            for name in WORKERS
        ]
        for worker in workers:
            stack.callback(worker.end)
        for worker in workers:  # these are called first, so that both end at once
            stack.callback(worker.ask_to_end)
        wait_for(environment["BANK_URL"], bank)
        yield Backstage(environment["BANK_URL"], folder / "mail", workers, on_celery)


def bank_command(folder: Path, environment: Mapping[str, str]) -> list[str]:
    port = str(urlsplit(environment["BANK_URL"]).port)
    return [sys.executable, "-m", "demo.bank", "--book", str(folder / "book.jsonl"), "--port", port]


def worker_command(name: str, on_celery: bool) -> list[str]:
    if not on_celery:
        return [sys.executable, str(CHECKOUT / "demo" / "manage.py"), "lockstep_work", "--follow"]
    return [
        sys.executable, "-m", "celery", "-A", "demo", "worker", "--hostname", f"{name}@%h", "--concurrency", "2",
        "--loglevel", "info", "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def wait_for(url: str, program: Kept) -> None:
    """Until somebody listens there.

    Raises:
        ServiceFailed: nobody does for half a minute.
    """
    where = urlsplit(url)
    deadline = time.monotonic() + START_S
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((where.hostname or "", where.port or 80), 1),
        ):
            return
        if time.monotonic() > deadline:
            raise ServiceFailed(f"The {program.name} does not start; see {program.log}")
        time.sleep(0.05)
