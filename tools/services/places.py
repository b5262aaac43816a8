"""Where a service keeps its files and which account it runs under.

PostgreSQL refuses to run as root, so root hands it to an account that exists already. That account cannot
enter every folder (a checkout in root's home, say), some file systems know no modes (Windows folders under
WSL) and a Unix socket's path must be short: each place is tried before it is used.
"""

import contextlib
import functools
import hashlib
import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .exceptions import ServiceFailed

__all__ = ["CHECKOUT", "Account", "service_account", "socket_folder", "state_folder"]

CHECKOUT = Path(__file__).resolve().parents[2]

SOCKET_PATH_BYTES = 103
"""The shorter of macOS's and Linux's (107) limits for the path of a Unix socket."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a service runs as. ``drop`` is set when that is not who we are."""

    name: str
    uid: int
    gid: int
    drop: bool

    def popen_options(self) -> dict[str, Any]:
        """Options of :mod:`subprocess` that start a child under this account, in a folder it may enter."""
        options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL}
        if self.drop:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def may(self, test: str, path: Path) -> bool:
        """Ask the system, as this account: ``test`` is an option of test(1), such as ``-x``."""
        asked = subprocess.run(
            ["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)], check=False, **self.popen_options()
        )
        return asked.returncode == 0

    def own(self, folder: Path) -> bool:
        """Make ``folder`` private to this account; False where that cannot be, and then none is left behind."""
        made = not folder.exists()
        owned = self._try_to_own(folder)
        if made and not owned:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return owned

    def _try_to_own(self, folder: Path) -> bool:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.drop and folder.lstat().st_uid == 0:
                os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid:
                return False
            folder.chmod(0o700)
            private = stat.S_IMODE(folder.lstat().st_mode) == 0o700
        except OSError:
            return False
        return private and self.may("-w", folder) and self.may("-x", folder)


@functools.cache
def service_account() -> Account:
    """Us; as root, the first of PostgreSQL's usual account and ``nobody`` that exists.

    Raises:
        ServiceFailed: we are root and there is neither.
    """
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), drop=False)
    for name in ("postgres", "_postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, drop=True)
    raise ServiceFailed(
        "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' to run it under. "
        "Run this as an ordinary user, or set DATABASE_URL."
    )


def _key(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]


def _state_roots(account: Account) -> Iterator[Path]:
    if "LOCKSTEP_STATE" in os.environ:
        yield Path(os.environ["LOCKSTEP_STATE"]).absolute()
        return
    yield CHECKOUT / ".lockstep"
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    yield home / "lockstep" / _key(CHECKOUT)
    yield Path("/var/tmp") / f"lockstep-{account.uid}-{_key(CHECKOUT)}"


def state_folder(service: str, account: Account) -> Path:
    """A private folder of ``account`` for the files of ``service``, the same at every call.

    Inside the checkout where possible, so that deleting the checkout deletes it all; otherwise in the user's
    state folder or /var/tmp, under a name made from the checkout's path. ``LOCKSTEP_STATE`` names another.
    """
    tried = [root / service for root in _state_roots(account)]
    for folder in tried:
        if account.own(folder):
            return folder
    raise ServiceFailed(
        f"No folder in which the account {account.name} can keep {service}: tried "
        f"{', '.join(str(folder) for folder in tried)}. Set LOCKSTEP_STATE to one on a local file system."
    )


def socket_folder(state: Path, account: Account) -> Path:
    """A private folder with a path short enough for a Unix socket, the same for the same ``state`` folder."""
    name = f"lockstep-{_key(state)}-{account.uid}"
    for folder in (Path("/tmp") / name, Path("/var/tmp") / name, state):
        if len(os.fsencode(folder)) + len("/.s.PGSQL.5432") <= SOCKET_PATH_BYTES and account.own(folder):
            return folder
    raise ServiceFailed(f"No folder for the socket of {state}: /tmp/{name} belongs to somebody else.")
