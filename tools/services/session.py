"""A command that runs with a PostgreSQL of this checkout."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from .postgres import running

__all__ = ["run"]


def run(name: str, command: Sequence[str]) -> int:
    """Run ``command`` with ``DATABASE_URL`` set, release the server after it, and return its exit status.

    Ctrl-C reaches the command by itself, and we wait for it to finish. Other signals are handed on.

    Raises:
        ServiceError: no server can be had; the command has not started.
    """
    # until there is a command to hand them to, they end us, and leaving the block releases the server
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    with running(name) as url:
        child = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": url})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: child.send_signal(received))
        status = child.wait()
    return status if status >= 0 else 128 - status
