"""What the system knows about processes, by number."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

__all__ = ["command_line", "is_taken", "wait_until_left"]


def command_line(pid: int) -> str:
    """What process ``pid`` was started as; "" when there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    with contextlib.suppress(OSError):
        asked = subprocess.run(
            ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return asked.stdout
    return ""


def is_taken(pid: int) -> bool:
    """Whether the system would not give this number to a new process; zombies count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def wait_until_left(folder: Path, timeout_s: float = 60.0) -> None:
    """Until no process works in ``folder`` any more: the children of a killed postmaster need a moment.

    Without /proc there is nothing to see and nothing to wait for.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(
        works_in(process, folder) for process in Path("/proc").glob("[0-9]*")
    ):
        time.sleep(0.05)


def works_in(process: Path, folder: Path) -> bool:
    """Whether ``process``, an entry of /proc, has ``folder`` for its working directory."""
    with contextlib.suppress(OSError):
        return (process / "cwd").readlink() == folder
    return False
