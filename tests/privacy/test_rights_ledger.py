"""The ledger keeps what calls cost and forgets for whom; budgets forget with it, and agree with it all along."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from lockstep.budgets.models import Alert, Budget, BudgetPeriod, Hold, Overrun
from lockstep.budgets.reports import drift, sweep
from lockstep.core.models import Notice
from lockstep.core.pseudonyms import pseudonym
from lockstep.llm.ledger import lapse, widen
from lockstep.llm.models import Call
from lockstep.privacy.models import Receipt
from lockstep.privacy.rights import erase, export
from lockstep.privacy.rights.tables import tables
from tests.budgets.calls import came_back, reserve, settle
from tests.privacy.people import WHO

pytestmark = pytest.mark.django_db

ANN, BOB = pseudonym("ann"), pseudonym("bob")


def budget(**fields: Any) -> Budget:
    return Budget.objects.create(
        **{"feature": "support.answer", "per": "user", "unit": "tokens", "period": "day", "cap": 10_000}
        | fields
    )


def agrees() -> bool:
    sweep()
    return list(drift()) == []


def test_calls_keep_their_tokens_and_lose_their_person() -> None:
    came_back(300, user_key=ANN), came_back(200, user_key=BOB), came_back(100)
    kept = Call.objects.order_by("id").values("id", "input_tokens", "output_tokens", "cost_micros", "at")
    before = list(kept)
    assert erase("ann", **WHO).counts["lockstep_llm.Call"] == {"blanked": 1, "held": 0}
    assert list(kept.all()) == before
    assert sorted(Call.objects.values_list("user_key", flat=True)) == sorted(["", "", BOB])
    assert erase("ann", **WHO).total("blanked") == 0


def test_everything_that_names_the_person_is_gone() -> None:
    budget(), budget(who=ANN, period="month", cap=1_100)
    came_back(900, user_key=ANN), reserve(user_key=ANN), came_back(5_000, user_key=BOB)
    assert Alert.objects.exists()
    erase("ann", **WHO)
    for model in (Budget, BudgetPeriod, Call):
        field = "user_key" if model is Call else "who"
        assert not model.objects.filter(**{field: ANN}).exists()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM lockstep_budgets_hold AS h WHERE NOT EXISTS"
            " (SELECT FROM lockstep_budgets_budgetperiod AS p WHERE p.id = h.period_id)"
        )
        assert cursor.fetchone() == (0,)
    assert BudgetPeriod.objects.get().who == BOB
    again = erase("ann", **WHO)
    assert not any(any(found.values()) for found in again.counts.values())


def test_counters_agree_with_the_ledger_when_a_person_is_erased_in_the_middle_of_a_period() -> None:
    budget(), budget(per="all", cap=100_000), budget(period="month", unit="tokens", feature="")
    for person in (ANN, BOB):
        came_back(700, user_key=person)
    assert agrees()
    erase("ann", **WHO)
    assert agrees()
    assert BudgetPeriod.objects.get(who="").spent == 1_400
    came_back(50, user_key=ANN)  # the account was not closed first
    assert agrees()
    assert set(BudgetPeriod.objects.filter(who=ANN).values_list("spent", flat=True)) == {50}


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_call_under_way_ends_as_if_nothing_had_happened(comes_back: bool) -> None:
    budget(), budget(per="all", cap=100_000)
    asked, _ = reserve(user_key=ANN)
    erase("ann", **WHO)
    assert agrees()
    wider = replace(asked, bound_output=500)
    assert not widen(wider, 1_200).get("refused")
    assert agrees()
    if comes_back:
        settle(asked, 1_000)
    else:
        Call.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
        assert lapse() == 1
    assert agrees()
    assert not BudgetPeriod.objects.filter(who=ANN).exists()
    assert BudgetPeriod.objects.get(who="").spent == (1_000 if comes_back else 1_700)


def test_an_overrun_goes_with_the_period() -> None:
    budget()
    asked, _ = reserve(user_key=ANN)
    settle(asked, 3_000)
    assert Overrun.objects.exists()
    assert erase("ann", **WHO).counts["lockstep_budgets.Overrun"]["erased"] == 1
    assert agrees()


def test_whoever_was_told_of_an_incident_is_told_that_it_is_over() -> None:
    budget(cap=1_400)
    came_back(1_000, user_key=ANN)
    sweep()
    soft = Alert.objects.get()
    key = f"lockstep.budgets.{soft.period_id}.soft"
    assert Notice.objects.filter(dedup_key=key).count() == 1
    erase("ann", **WHO)
    over = Notice.objects.get(dedup_key=key, resolves=True)
    assert ANN not in f"{over.subject}{over.body}{over.facts}"


def test_a_budget_that_is_counted_anew_does_not_find_the_person() -> None:
    own = budget(active=False)
    came_back(700, user_key=ANN)
    erase("ann", **WHO)
    own.active = True
    own.save()
    assert not BudgetPeriod.objects.exists()
    assert agrees()


def test_budgets_forget_before_the_ledger_does_however_they_are_registered() -> None:
    names = [table.name for table in tables()]
    ledger = names.index("lockstep_llm.Call")
    ours = [
        names.index(f"lockstep_budgets.{one}")
        for one in ("Hold", "Alert", "Overrun", "BudgetPeriod", "Budget")
    ]
    assert max(ours) < ledger
    assert ours[3] < ours[4]
    assert max(ours[:3]) < ours[3]


def test_the_export_has_the_calls_of_the_person_and_no_others() -> None:
    came_back(300, user_key=ANN), came_back(200, user_key=BOB)
    pieces: list[str] = []
    receipt = export("ann", pieces.append, **WHO)
    (row,) = json.loads("".join(pieces))["tables"]["lockstep_llm.Call"]
    assert (row["user_key"], row["input_tokens"], row["state"]) == (ANN, 270, "settled")
    assert receipt.counts["lockstep_llm.Call"] == {"exported": 1}
    assert Receipt.objects.get().kind == "export"


def test_the_export_has_what_budgets_know() -> None:
    budget(), budget(per="all", cap=100_000)
    asked, _ = reserve(user_key=ANN)
    reserve(user_key=BOB)
    BudgetPeriod.objects.update(
        folded_at=timezone.now() + timedelta(hours=1)
    )  # what comes back waits beside it
    settle(asked, 400)
    pieces: list[str] = []
    export("ann", pieces.append, **WHO)
    tables_ = json.loads("".join(pieces))["tables"]
    (period,), (held,) = tables_["lockstep_budgets.BudgetPeriod"], tables_["lockstep_budgets.Hold"]
    assert (period["who"], period["reserved"], held["actual"]) == (ANN, 1_000, 400)


def test_a_lapsed_call_that_comes_back_disturbs_nothing() -> None:
    budget()
    asked, _ = reserve(user_key=ANN)
    Call.objects.update(expires_at=F("at") - timedelta(minutes=1))
    lapse()
    erase("ann", **WHO)
    settle(asked, 400)
    assert agrees()
    assert not Hold.objects.exists()
