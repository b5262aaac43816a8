"""``python -m tools.services start|stop|status|url|remove|run NAME [-- command …]``."""

import argparse
import sys
from collections.abc import Sequence

from .exceptions import ServiceError
from .postgres import Postgres
from .profiles import PROFILES
from .session import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; the exit status of ``run`` is the command's own, 3 when there is no server."""
    parser = argparse.ArgumentParser(prog="python -m tools.services", description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status", "url", "remove", "run"])
    parser.add_argument("name", choices=sorted(PROFILES))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="for run: -- and the command")
    options = parser.parse_args(arguments)
    try:
        if options.action == "run":
            return run(options.name, options.command[options.command[:1] == ["--"] :])
        return act(options.action, Postgres.named(options.name))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 3


def act(action: str, server: Postgres) -> int:
    """Everything but ``run``; a server that was started here goes on until it is stopped here."""
    if action == "start":
        print(server.start())
        server.kept.touch()
    elif action == "url":
        print(server.url())
    elif action == "status":
        print(f"running, {server.url()}" if server.is_running() else "stopped")
        return 0 if server.is_running() else 1
    elif action == "remove":
        server.remove()
    else:
        print("stopped" if server.stop() else "was not running")
    return 0


if __name__ == "__main__":
    sys.exit(main())
