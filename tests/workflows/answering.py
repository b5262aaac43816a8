"""People and senders in processes of their own, who all come at the same moment."""

from __future__ import annotations

import json
import os
import random
import signal
import time

__all__ = ["answer_and_die", "decide", "receive_all", "receive_and_die", "serve"]


def _set_up() -> None:
    import django

    django.setup()


def _at(moment: float) -> None:
    while time.time() < moment:
        time.sleep(0.0005)


def decide(waits: list[str], decision: str, by: int, at: float) -> None:
    """Answer each; says what became of it."""
    _set_up()
    from django.contrib.auth.models import User

    from lockstep.workflows import answer
    from lockstep.workflows.exceptions import NotAnswerable

    user = User.objects.get(pk=by)
    for number, wait in enumerate(waits):
        _at(at + number * 0.03)
        try:
            answer(wait, decision, by=user)  # type: ignore[arg-type]
            print(json.dumps([wait, decision]), flush=True)
        except NotAnswerable as error:
            print(json.dumps([wait, error.reason, error.answered_by]), flush=True)


def receive_all(name: str, keys: list[str], at: float, times: int = 1) -> None:
    """Events about each key, in an order of their own; all of them ``times`` times."""
    _set_up()
    from lockstep.workflows import receive

    _at(at)
    chance = random.Random(str(keys))
    sent = keys * times
    chance.shuffle(sent)
    for key in sent:
        receive(name, key=key, body=key, dedupe=key)
        time.sleep(chance.random() * 0.004)


def serve(runs: list[str], at: float) -> None:
    """Take each run as far as it goes, in an order of its own."""
    _set_up()
    from lockstep.workflows.engine import advance

    _at(at)
    chance = random.Random(str(runs))
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
