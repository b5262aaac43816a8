"""The ledger is kept for long and not for ever; what budgets and calls under way need of it stays."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from lockstep.budgets.models import Budget, BudgetPeriod
from lockstep.budgets.reports import drift, sweep
from lockstep.core import conf, ports
from lockstep.core.models import JobState
from lockstep.core.notify.jobs import run_due
from lockstep.core.retention import ageing
from lockstep.llm.conf import settings as llm
from lockstep.llm.models import Call, Tally
from tests.budgets.calls import came_back, reserve

pytestmark = pytest.mark.django_db


def aged(days: float, **facts: Any) -> uuid.UUID:
    """A call of so many days ago."""
    before = set(Call.objects.values_list("pk", flat=True))
    came_back(300, **facts)
    (new,) = set(Call.objects.values_list("pk", flat=True)) - before
    Call.objects.filter(pk=new).update(at=timezone.now() - timedelta(days=days))
    return new


def tally(days: float, model: str = "mini") -> None:
    hour = timezone.now() - timedelta(days=days)
    Tally.objects.create(hour=hour, operation="embeddings", provider="onnx", model=model, calls=5)


def status() -> str:
    out = io.StringIO()
    call_command("lockstep_retention", "status", stdout=out)
    return out.getvalue()


def test_calls_and_tallies_of_more_than_thirteen_months_go() -> None:
    aged(397), aged(800)
    stays = {aged(395), aged(0)}
    tally(397), tally(395, "maxi")
    ageing.delete_old()
    assert set(Call.objects.values_list("pk", flat=True)) == stays
    assert [one.model for one in Tally.objects.all()] == ["maxi"]


def test_it_is_a_job_that_runs_wherever_notices_are_delivered() -> None:
    aged(400)
    assert "lockstep_core.ageing" in run_due()
    assert JobState.objects.get(pk="lockstep_core.ageing").error == ""
    assert not Call.objects.exists()


def test_the_settings_say_how_long(settings: Any) -> None:
    settings.LOCKSTEP = {"llm": {"keep_days": 62}}
    aged(63)
    stays = aged(61)
    ageing.delete_old()
    assert [one.pk for one in Call.objects.all()] == [stays]
    settings.LOCKSTEP = {"llm": {"keep_days": None}}
    Call.objects.update(at=timezone.now() - timedelta(days=20_000))
    ageing.delete_old()
    assert Call.objects.exists()
    assert "for ever" in status()


@pytest.mark.parametrize("days", [61, 0, -1, 36_601, "396", True, float("nan"), float("inf")])
def test_a_lifetime_that_cannot_be_is_refused(settings: Any, days: Any) -> None:
    settings.LOCKSTEP = {"llm": {"keep_days": days}}
    with pytest.raises(ImproperlyConfigured, match="keep_days must be a number of days from 62"):
        llm()
    assert [problem for problem in conf.problems() if "keep_days" in problem.text]


def test_a_call_that_is_not_finished_stays_until_it_is() -> None:
    asked, _ = reserve()
    Call.objects.update(at=timezone.now() - timedelta(days=500))
    ageing.delete_old()
    assert str(Call.objects.get().pk) == asked.id
    Call.objects.update(state="lapsed")
    ageing.delete_old()
    assert not Call.objects.exists()


def test_counters_agree_with_the_ledger_however_short_it_is_kept(settings: Any) -> None:
    settings.LOCKSTEP = {"llm": {"keep_days": 62}}
    aged(70), aged(400)
    for period in ("day", "month"):
        Budget.objects.create(feature="support.answer", unit="tokens", cap=10_000, period=period)
    came_back(500)
    ageing.delete_old()
    sweep()
    assert list(drift()) == []
    assert Call.objects.count() == 1
    assert set(BudgetPeriod.objects.values_list("spent", flat=True)) == {500}


def test_old_rows_go_some_thousand_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ageing, "BATCH", 3)
    for _ in range(10):
        aged(400)
    entry = ports.ageing.get()["lockstep_llm.Call"]
    assert [ageing.delete_some(Call, entry) for _ in range(5)] == [3, 3, 3, 1, 0]


def test_a_run_of_the_job_ends_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ageing, "BATCH", 1)
    monkeypatch.setattr(ageing, "MOST_S", 0.0)
    aged(400), aged(400), aged(400)
    ageing.delete_old()
    assert Call.objects.count() == 2


def test_status_says_how_old_the_oldest_call_is_and_that_nobody_deletes() -> None:
    aged(100)
    oldest = Call.objects.get().at
    told = status()
    assert "lockstep_llm_call\n  kept                 396 days\n" in told
    assert f"  oldest row           {oldest:%Y-%m-%d %H:%M} UTC" in told
    assert "  past their time      0 rows" in told
    Call.objects.update(at=timezone.now() - timedelta(days=396.5))
    assert "  past their time      1 rows" in status()  # the job has a day
    Call.objects.update(at=timezone.now() - timedelta(days=398))
    with pytest.raises(CommandError, match="Nobody deletes what is old") as error:
        status()
    assert error.value.returncode == 1


def test_purge_deletes_all_that_is_old(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        aged(400)
    stays = aged(10)
    call_command("lockstep_retention", "purge")
    assert "lockstep_llm_call: 3 rows gone" in capsys.readouterr().out
    assert [one.pk for one in Call.objects.all()] == [stays]


def test_the_oldest_go_first_and_by_their_index() -> None:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET LOCAL enable_seqscan = off")
        entry = ports.ageing.get()["lockstep_llm.Call"]
        old = ageing._rows(Call, entry, "default").filter(at__lt=ageing._before(timedelta(days=396)))
        assert "lockstep_llm_call_at" in old.order_by("at").values_list("pk")[:10].explain()
