"""Workers in processes of their own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["advance_all", "advance_and_count", "advance_one", "environment", "follow", "sweep", "work"]


def environment(
    folder: Path, *, die: str = "", sleep_s: float = 0, clock_s: float = 0, **options: Any
) -> dict[str, str]:
    """The test database, a file for what nodes do, and how the worker is to be.

    Args:
        die: ``kill:before n3``; see ``tests.flows.workflows.die``.
        clock_s: by how much its clock is wrong.
        options: the workflows section of the settings.
    """
    from tests.search.workers import environment as database

    found: Mapping[str, str] = {
        **database(),
        "DJANGO_SETTINGS_MODULE": "tests.flows.settings",
        "FLOWS_FILE": str(folder / "done.txt"),
        "FLOWS_DIE": f"{die} {folder / 'died'}" if die else "",
        "FLOWS_SLEEP": str(sleep_s),
        "FLOWS_CLOCK": str(clock_s),
        "FLOWS_SETTINGS": json.dumps(options),
    }
    return dict(found)


def advance_one(run: str) -> None:
    """Own one run; says what became of it."""
    _set_up()
    from lockstep.workflows.engine import advance

    print(advance(run), flush=True)


def advance_all(runs: list[str], at: float) -> None:
    """Ask for each run at the same moment as the others do."""
    _set_up()
    from lockstep.workflows.ownership import here

    while time.time() < at:
        time.sleep(0.001)
    for run in runs:
        held = here().acquire(run)
        print(run if held else "-", flush=True)
    time.sleep(10)  # whoever ends is no owner any more


def follow(seconds: float) -> None:
    """A worker without Celery: does itself what is due."""
    _set_up()
    from lockstep.workflows.engine import advance
    from lockstep.workflows.sweeping import due

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for run, _ in due():
            print(advance(run), flush=True)
        time.sleep(0.1)


def sweep() -> None:
    _set_up()
    from lockstep.workflows.sweeping import due

    print(due(), flush=True)


def _set_up() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.flows.settings")
    django.setup()


def advance_and_count(runs: list[str], every: int) -> None:
    """Take each run as far as it goes; says how many threads and connections there are after so many of them, with no
    garbage collected."""
    _set_up()
    import gc
    import threading

    from django.db import connection

    from lockstep.workflows.engine import advance

    gc.disable()
    for number, run in enumerate(runs, 1):
        assert advance(run) == "succeeded"
        if number % every == 0:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
                    [os.environ["PGAPPNAME"]],
                )
                print(json.dumps([threading.active_count(), *cursor.fetchone()]), flush=True)


def work(runs: int) -> None:
    """Start so many runs, and work like ``manage.py lockstep_work --follow``."""
    _set_up()
    from django.core.management import call_command

    from lockstep.workflows import start

    for _ in range(runs):
        start("linear", {})
    call_command("lockstep_work", "--follow")
