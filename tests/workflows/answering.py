"""People and senders in processes of their own, who all come at the same moment."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

__all__ = ["answer_and_die", "decide", "receive_all", "receive_and_die", "serve"]


def _set_up() -> None:
    import django

    django.setup()


def _go(folder: str) -> float:
    """Say that this process is ready, and wait until all are told to begin; when that was."""
    (Path(folder) / f"ready-{os.getpid()}").touch()
    sign = Path(folder) / "go"
    while not sign.exists():
        time.sleep(0.0005)
    return sign.stat().st_mtime


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def decide(waits: list[str], decision: str, by: int, folder: str) -> None:
    """Answer each; says what became of it."""
    _set_up()
    from django.contrib.auth.models import User

    from lockstep.workflows import answer
    from lockstep.workflows.exceptions import NotAnswerable

    user = User.objects.get(pk=by)
    chance = random.Random(os.getpid())
    at = _go(folder)
    for number, wait in enumerate(waits):
        _until(at + number * 0.03 + chance.random() * 0.004)
        try:
            answer(wait, decision, by=user)  # type: ignore[arg-type]
            print(json.dumps([wait, decision]), flush=True)
        except NotAnswerable as error:
            print(json.dumps([wait, error.reason, error.answered_by]), flush=True)


def receive_all(name: str, keys: list[str], folder: str) -> None:
    """Events about each key, in an order of their own."""
    _set_up()
    from lockstep.workflows import receive

    _go(folder)
    chance = random.Random(os.getpid())
    sent = list(keys)
    chance.shuffle(sent)
    for key in sent:
        receive(name, key=key, body=key, dedupe=key)
        time.sleep(chance.random() * 0.004)


def serve(runs: list[str], folder: str) -> None:
    """Take each run as far as it goes, in an order of its own."""
    _set_up()
    from lockstep.workflows.engine import advance

    _go(folder)
    chance = random.Random(os.getpid())
    runs = list(runs)
    chance.shuffle(runs)
    for run in runs:
        print(advance(run), flush=True)


def answer_and_die(wait: str, by: int, commit: bool) -> None:
    """Answer and be killed: with the answer committed, or not yet."""
    _set_up()
    from django.contrib.auth.models import User
    from django.db import transaction

    from lockstep.workflows import answer

    user = User.objects.get(pk=by)
    with transaction.atomic():
        answer(wait, "approve", by=user)
        if not commit:
            os.kill(os.getpid(), signal.SIGKILL)
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))


def receive_and_die(name: str, key: str) -> None:
    """Be killed when the event is committed, before anybody has looked who waits for it."""
    _set_up()
    from lockstep.workflows.inbox import receiving

    receiving._match = lambda event: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    receiving.receive(name, key=key, body=key)
