"""``python -m benchmarks.chaos.workers FOLDER``: Celery workers, each a tree of processes of its own.

For each line of standard input, a name, a worker is forked from this process, which has imported everything and holds
no connection: one that was killed is soon replaced. All of them die when standard input closes.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import django
from celery import Celery, signals

from benchmarks.chaos.marks import mark

__all__ = ["PROCESSES", "app"]

PROCESSES = 4
"""Of one worker, besides the one that leads them."""

app = Celery("chaos", broker=os.environ.get("REDIS_URL"))
app.conf.worker_prefetch_multiplier = 1
app.conf.worker_hijack_root_logger = False
app.conf.imports = ["lockstep.workflows.tasks"]


def main(folder: Path) -> None:
    django.setup()
    import celery.apps.worker
    import celery.bin.worker
    import celery.concurrency.prefork  # noqa: F401
    import kombu.transport.redis  # noqa: F401
    import langgraph.graph  # noqa: F401

    import benchmarks.chaos.graphs  # noqa: F401
    import lockstep.workflows.engine  # noqa: F401

    signals.worker_ready.connect(
        lambda sender, **_: mark("ready", place=sender.hostname.split("@")[0]), weak=False
    )
    signals.task_prerun.connect(lambda args, **_: mark("task", args[0]), weak=False)
    signals.task_postrun.connect(lambda args, **_: mark("left", args[0]), weak=False)
    leaders: list[int] = []
    print("ready", flush=True)
    try:
        for line in sys.stdin:
            leaders.append(fork(line.strip(), folder))
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    finally:
        for leader in leaders:
            with suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)


def fork(name: str, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for own in (1, 2):
            os.dup2(log, own)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        options: list[Any] = [f"--concurrency={PROCESSES}", "--loglevel=info", f"--hostname={name}@chaos"]
        app.worker_main(["worker", *options, "--without-gossip", "--without-mingle", "--without-heartbeat"])
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
