"""Registered jobs: each as often as it says, whoever delivers."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from lockstep.core import ports
from lockstep.core.models import JobState
from lockstep.core.notify.jobs import run_due
from lockstep.core.ports import Job
from tests.core.notify.clock import pass_by

pytestmark = pytest.mark.django_db


def test_a_job_runs_when_its_time_has_come_and_not_before() -> None:
    ran: list[int] = []
    with ports.jobs.override(
        {"often": Job(lambda: ran.append(1), 5), "rarely": Job(lambda: ran.append(2), 300)}
    ):
        assert run_due() == ["often", "rarely"]
        assert run_due() == []
        pass_by(seconds=6)
        assert run_due() == ["often"]
        pass_by(seconds=300)
        assert run_due() == ["often", "rarely"]
    assert ran == [1, 2, 1, 1, 2]


def test_a_job_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[int] = []

    def fail() -> None:
        raise LookupError("gone")

    with ports.jobs.override({"bad": Job(fail, 5), "good": Job(lambda: ran.append(1), 5)}):
        run_due()
        assert ran == [1]
        assert JobState.objects.get(pk="bad").error == "LookupError"
        assert "The job bad failed" in caplog.text
    with ports.jobs.override({"bad": Job(lambda: None, 5)}):
        pass_by(seconds=6)
        run_due()
    assert JobState.objects.get(pk="bad").error == ""


def test_budgets_are_swept_every_few_seconds_and_measured_every_few_minutes(settings: Any) -> None:
    for app in ("lockstep_core", "lockstep_budgets"):
        assert apps.is_installed(apps.get_app_config(app).name)
    known = ports.jobs.get()
    assert known["lockstep_budgets.sweep"].every_s <= 10
    assert known["lockstep_budgets.estimate"].every_s <= 600
    assert "lockstep_core.notices" in known
    assert set(run_due()) == set(known)
    assert not JobState.objects.exclude(error="").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_budgets_sweep_v1()")
