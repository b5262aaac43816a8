"""``bin/demo``: the demo shop on a PostgreSQL of its own, from nothing to a page in the browser.

The project in ``demo/`` gives the commands ``migrate``, ``load_shop`` (content, with progress; quick when it
is there), ``check_demo URL`` (named hits on the running site) and ``check_refunds URL`` (refunds that outlive their
workers), and ``demo/tour.txt``, what to look at, in which ``{url}``, ``{bank}``, ``{mail}`` and ``{workers}`` are
filled in.
"""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.backstage import Backstage, backstage, environment_for, place, redis_or_none
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
    """A server on ``port`` of this machine or the next free one, without its site yet; 0 takes any.

    Raises:
        StepFailed: none of them is free.
    """
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    for candidate in [port] if port == 0 else range(port, port + NEXT_PORTS):
        with contextlib.suppress(OSError):
            server = ThreadedWSGIServer(("127.0.0.1", candidate), WSGIRequestHandler, ipv6=False)
            server.daemon_threads = True
            return server
    raise StepFailed(f"No free port from {port} to {port + NEXT_PORTS - 1}: bin/demo --port N")


def address(server: "ThreadedWSGIServer") -> str:
    return f"http://127.0.0.1:{server.server_port}/"


@contextlib.contextmanager
def answering(server: "ThreadedWSGIServer") -> Iterator[str]:
    """The URL under which the site answers for as long as the block lasts."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.wsgi import get_wsgi_application

    server.set_app(StaticFilesHandler(get_wsgi_application()))
    # what to look at should not scroll away under a line for each picture
    logging.getLogger("django.server").setLevel(logging.WARNING)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address(server)
    finally:
        server.shutdown()
        server.server_close()


def serving(port: int) -> contextlib.AbstractContextManager[str]:
    """The site alone, without what runs behind it."""
    return answering(listen(port))


@contextlib.contextmanager
def open_shop(port: int, redis: str, *, source: str = "") -> Iterator[tuple[str, Backstage]]:
    """The site with its bank and its workers."""
    import django

    server = listen(port)
    folder = place()
    environment = environment_for(address(server), redis, folder)
    os.environ |= environment  # before the settings are read
    django.setup()
    with (
        answering(server) as url,
        backstage(source or f"bank-{server.server_port}", folder, environment) as behind,
    ):
        yield url, behind


def has_screen() -> bool:
    """Whether a browser can be opened in front of the person, and not inside the terminal."""
    if os.environ.get("CI") or os.environ.get("SSH_CONNECTION") or not sys.stdout.isatty():
        return False
    return sys.platform == "darwin" or any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY"))


def tour(url: str, behind: Backstage | None = None) -> str:
    """What to look at."""
    text = TOUR.read_text() if TOUR.exists() else "The shop: {url}"
    if behind:
        filled = {"bank": behind.bank_url, "mail": str(behind.mail), "workers": behind.told()}
        for name, value in filled.items():
            text = text.replace(f"{{{name}}}", value)
    return text.replace("{url}", url).strip()


def show(port: int, redis: str, *, open_browser: bool) -> None:
    """Serve until Ctrl-C or a signal."""
    with open_shop(port, redis) as (url, behind):
        print(f"\n{tour(url, behind)}\n\nCtrl-C ends it.", flush=True)
        if open_browser:
            webbrowser.open(url)
        threading.Event().wait()


def check(redis: str) -> None:
    """Ask the running site for named hits, and for refunds while its workers are killed."""
    with open_shop(0, redis, source="bank-check") as (url, _):
        manage("check_refunds", url)
        manage("check_demo", url)


def use_demo_project(database_url: str) -> None:
    """Point this process and its children at the demo project."""
    os.environ["DATABASE_URL"] = database_url
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo.settings"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "src")])


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
        with running("demo") as url, redis_or_none("demo") as redis:
            if options.reset:
                Postgres.named("demo").recreate_database()
                shutil.rmtree(place())
            use_demo_project(url)
            manage("migrate", "--verbosity", "0")
            manage("load_shop")
            if options.check:
                check(redis)
            else:
                show(options.port, redis, open_browser=not options.no_open and has_screen())
    except KeyboardInterrupt:
        print("\nThe demo has ended; its data is kept for the next start.", flush=True)
    except (ServiceError, StepFailed) as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, ServiceError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
