"""Delivery by Celery, in its own words: the task is found, and runs what is due."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from lockstep.core import ports
from lockstep.core.models import JobState
from tests.core.notify.sinks import Memory


@pytest.mark.django_db
def test_the_task_is_found_and_delivers(settings: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {
        "core": {"notify": {"sinks": {"memory": {"BACKEND": "tests.core.notify.sinks.Memory"}}}}
    }
    Memory.messages, Memory.down = [], False
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.autodiscover_tasks(["lockstep.contrib.celery"], force=True)
    app.finalize()
    assert "lockstep_core.deliver" in app.tasks
    ports.notify.get().send(ports.Notice("budgets.hard", "Spent"))
    said = app.tasks["lockstep_core.deliver"].apply()
    assert said.get() == "1 new, 1 delivered, 0 failed attempts"
    assert [message.subject for message in Memory.messages] == ["Spent"]
    assert JobState.objects.filter(pk="lockstep_core.notices").exists()
