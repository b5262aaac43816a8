"""``bin/demo``: the demo shop on a PostgreSQL of its own, from nothing to a page in the browser.

The project in ``demo/`` gives the commands ``migrate``, ``load_shop`` (content, with progress; quick when it
is there) and ``check_demo URL`` (named hits on the running site), and ``demo/tour.txt``, what to look at, in
which ``{url}`` is the address.
"""

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.services.exceptions import ServiceError
from tools.services.postgres import Postgres, running

if TYPE_CHECKING:
    from django.core.servers.basehttp import ThreadedWSGIServer

CHECKOUT = Path(__file__).resolve().parents[1]
MANAGE = CHECKOUT / "demo" / "manage.py"
TOUR = CHECKOUT / "demo" / "tour.txt"

NEXT_PORTS = 50
"""How many ports after the wanted one are tried."""


class StepFailed(Exception):
    """A management command ended with an error, which it has printed."""


def manage(*arguments: str) -> None:
    """Run a management command of the demo project.

    Raises:
        StepFailed: its exit status was not 0.
    """
    done = subprocess.run([sys.executable, str(MANAGE), *arguments], cwd=CHECKOUT, check=False)
    if done.returncode != 0:
        raise StepFailed(f"demo/manage.py {arguments[0]} failed (exit status {done.returncode}).")


def listen(port: int) -> "ThreadedWSGIServer":
    """The site on ``port`` of this machine or the next free one; 0 takes any.

    Raises:
        StepFailed: none of them is free.
    """
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    site = StaticFilesHandler(get_wsgi_application())
    # what to look at should not scroll away under a line for each picture
    logging.getLogger("django.server").setLevel(logging.WARNING)
    for candidate in [port] if port == 0 else range(port, port + NEXT_PORTS):
        with contextlib.suppress(OSError):
            server = ThreadedWSGIServer(("127.0.0.1", candidate), WSGIRequestHandler, ipv6=False)
            server.daemon_threads = True
            server.set_app(site)
            return server
    raise StepFailed(f"No free port from {port} to {port + NEXT_PORTS - 1}: bin/demo --port N")


@contextlib.contextmanager
def serving(port: int) -> Iterator[str]:
    """The URL under which the site answers for as long as the block lasts."""
    server = listen(port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def has_screen() -> bool:
    """Whether a browser can be opened in front of the person, and not inside the terminal."""
    if os.environ.get("CI") or os.environ.get("SSH_CONNECTION") or not sys.stdout.isatty():
        return False
    return sys.platform == "darwin" or any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY"))


def tour(url: str) -> str:
    """What to look at."""
    text = TOUR.read_text() if TOUR.exists() else "The shop: {url}"
    return text.replace("{url}", url).strip()


def show(port: int, *, open_browser: bool) -> None:
    """Serve until Ctrl-C or a signal."""
    with serving(port) as url:
        print(f"\n{tour(url)}\n\nCtrl-C ends it.", flush=True)
        if open_browser:
            webbrowser.open(url)
        threading.Event().wait()


def check() -> None:
    """Ask the running site for named hits."""
    with serving(0) as url:
        manage("check_demo", url)


def use_demo_project(database_url: str) -> None:
    """Point this process and its children at the demo project."""
    os.environ["DATABASE_URL"] = database_url
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo.settings"
    os.environ["PYTHONPATH"] = str(CHECKOUT)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bin/demo", description="The demo shop of django-lockstep.")
    parser.add_argument("--check", action="store_true", help="prove on a free port that it answers, then end")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="8000, or the next free one")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    parser.add_argument("--reset", action="store_true", help="empty the demo's database first")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """0 after Ctrl-C and a good check, 1 when a step or the check failed, 3 when something is missing."""
    options = options_of(arguments)
    if not MANAGE.exists():
        print("This checkout has no demo/manage.py: the demo shop is not part of it.", file=sys.stderr)
        return 3
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's `bin/demo &` starts us deaf to it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    if options.reset and os.environ.get("DATABASE_URL"):
        print("--reset empties our own database only, and DATABASE_URL names one of yours.", file=sys.stderr)
        return 2
    try:
        with running("demo") as url:
            if options.reset:
                Postgres.named("demo").recreate_database()
            use_demo_project(url)
            manage("migrate", "--verbosity", "0")
            manage("load_shop")
            if options.check:
                check()
            else:
                show(options.port, open_browser=not options.no_open and has_screen())
    except KeyboardInterrupt:
        print("\nThe demo has ended; its data is kept for the next start.", flush=True)
    except (ServiceError, StepFailed) as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, ServiceError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
