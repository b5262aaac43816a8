"""What a budget lets through, holds, counts and refuses, one call after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction

from lockstep.budgets.models import Alert, Budget, BudgetPeriod, Hold, Overrun
from lockstep.core.models import Notice
from lockstep.llm.ledger import lapse, widen
from lockstep.llm.models import Call, Price
from tests.budgets.calls import call, came_back, reserve, settle

pytestmark = pytest.mark.django_db


def tokens(cap: int, **fields: Any) -> Budget:
    return Budget.objects.create(
        **{"feature": "support.answer", "unit": "tokens", "period": "day", "cap": cap} | fields
    )


def counters() -> list[tuple[int, int]]:
    """(spent, reserved) of each period, once everything is folded."""
    sql("SELECT lockstep_budgets_sweep_v1()")
    return list(BudgetPeriod.objects.order_by("id").values_list("spent", "reserved"))


def drift() -> list[tuple[Any, ...]]:
    return [
        row
        for row in sql("SELECT * FROM lockstep_budgets_drift_v1('-infinity')")
        if row[1] != row[2] or row[3] != row[4]
    ]


def sql(statement: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def price() -> None:
    Price.objects.create(
        provider="openai", model="m", source="contract", currency="GBP", input=Decimal(1), output=Decimal(1),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_the_bound_is_held_and_what_was_not_used_comes_back() -> None:
    tokens(2_500)
    first, begun = reserve()
    assert begun.refused is None
    assert list(BudgetPeriod.objects.values_list("spent", "reserved")) == [(0, 1_000)]
    settle(first, 300)
    assert counters() == [(300, 0)]
    assert not Hold.objects.exists()
    assert drift() == []


def test_the_cap_is_reached_and_never_passed() -> None:
    tokens(2_500)
    assert [reserve()[1].refused for _ in range(3)] == [None, None, "budget_contended"]
    assert counters() == [(0, 2_000)]
    assert Call.objects.filter(state="refused", error_type="budget_contended", cost_micros=0).count() == 1


def test_a_burst_is_contended_and_a_spent_budget_is_exhausted() -> None:
    tokens(2_500)
    first, second = reserve()[0], reserve()[0]
    refused = reserve()[1]
    assert (refused.refused, refused.held["retry_after_s"]) == ("budget_contended", 1)
    settle(first, 10), settle(second, 10)
    assert came_back(1_000).refused is None
    assert came_back(1_000).refused is None
    refused = reserve()[1]
    assert refused.refused == "budget_exhausted"
    assert 0 < refused.held["retry_after_s"] <= 90_000
    assert counters() == [(2_020, 0)]


def test_large_holds_with_tiny_actuals_never_look_like_a_spent_budget() -> None:
    tokens(1_050)
    for _ in range(40):
        assert came_back(1).refused is None
        asked = reserve()[0]
        assert reserve()[1].refused == "budget_contended"
        settle(asked, 0)
    assert counters() == [(40, 0)]


def test_a_call_larger_than_the_whole_budget_is_refused_for_good() -> None:
    tokens(999)
    assert reserve()[1].refused == "budget_exhausted"


def test_money_is_counted_as_the_ledger_counts_it(price: None) -> None:
    Budget.objects.create(feature="support.answer", cap=2_500, period="day")
    asked = reserve()[0]
    assert counters() == [(0, 1_000)]
    assert settle(asked, 777).cost_micros == 777
    assert counters() == [(777, 0)]
    assert drift() == []


def test_a_strict_budget_of_money_refuses_what_has_no_price_and_an_estimated_one_lets_it_pass() -> None:
    budget = Budget.objects.create(feature="support.answer", cap=10**9, period="day")
    assert reserve()[1].refused == "unpriced"
    budget.bound = "estimated"
    budget.save()
    assert came_back(10).refused is None
    assert counters() == [(0, 0)]


def test_every_budget_must_have_room_and_none_keeps_what_another_refused() -> None:
    tokens(10_000), tokens(100_000, feature="", period="month"), tokens(1_500, feature="", per="tenant")
    assert reserve(tenant="acme")[1].refused is None
    assert reserve(tenant="acme")[1].refused == "budget_contended"
    assert reserve(tenant="other")[1].refused is None
    assert reserve()[1].refused is None  # names no tenant
    assert sorted(counters()) == [(0, 1_000), (0, 1_000), (0, 3_000), (0, 3_000)]
    assert drift() == []


def test_one_cohort_or_each_of_them() -> None:
    tokens(1_000, per="cohort", who="trial")
    tokens(2_000, per="cohort")
    assert [reserve(cohort="trial")[1].refused for _ in range(2)] == [None, "budget_contended"]
    assert [reserve(cohort="paid")[1].refused for _ in range(3)] == [None, None, "budget_contended"]
    assert [reserve(cohort="gold")[1].refused for _ in range(3)] == [None, None, "budget_contended"]


def test_a_person_is_counted_by_pseudonym() -> None:
    tokens(1_000, per="user")
    assert [reserve(user_key=key)[1].refused for key in ("ann", "bob", "ann")] == [
        None,
        None,
        "budget_contended",
    ]
    assert set(BudgetPeriod.objects.values_list("who", flat=True)) == {"ann", "bob"}


def test_another_feature_and_a_switched_off_budget_count_nothing() -> None:
    tokens(0, feature="other.thing"), tokens(0, active=False)
    assert came_back(5).refused is None
    assert not BudgetPeriod.objects.exists()


def test_settling_twice_counts_once() -> None:
    tokens(5_000)
    asked = reserve()[0]
    settle(asked, 300), settle(asked, 900)
    assert counters() == [(300, 0)]
    settle(asked, 900)
    assert counters() == [(300, 0)]


def test_a_call_whose_process_was_killed_counts_at_its_bound_until_it_comes_back() -> None:
    tokens(5_000)
    asked = reserve()[0]
    sql("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second'")
    assert lapse() == 1
    assert counters() == [(1_000, 0)]
    assert drift() == []
    settle(asked, 250)
    assert counters() == [(250, 0)]
    assert drift() == []
    settle(asked, 700)
    assert counters() == [(250, 0)]
    assert not Hold.objects.exists()


def test_what_nobody_counted_is_spent_at_its_bound_and_what_was_not_sent_is_not() -> None:
    tokens(5_000)
    settle(reserve()[0], None)
    settle(reserve()[0], None, charge="none", outcome="error")
    assert counters() == [(1_000, 0)]


def test_a_reservation_that_was_lost_is_counted_when_the_call_comes_back_even_over_the_cap() -> None:
    budget = tokens(500)
    asked = call()
    settle(asked, 400)
    assert counters() == [(400, 0)]
    settle(call(), 400)
    assert counters() == [(800, 0)]
    assert Call.objects.filter(state="settled").count() == 2
    assert drift() == []
    assert Alert.objects.filter(period__budget=budget, level="hard").count() == 1


def test_words_that_came_out_longer_hold_more_or_are_refused() -> None:
    tokens(2_500)
    asked = reserve()[0]
    assert widen(asked, 1_900) == {}
    assert counters() == [(0, 2_000)]
    assert widen(asked, 9_000)["refused"] == "budget_exhausted"
    assert counters() == [(0, 2_000)]
    settle(asked, 1_500)
    assert counters() == [(1_500, 0)]
    assert drift() == []


def test_a_bill_above_the_bound_is_counted_noted_and_told() -> None:
    tokens(5_000)
    asked = reserve()[0]
    settle(asked, 1_700)
    assert counters() == [(1_700, 0)]
    row = Overrun.objects.get()
    assert (str(row.call), row.bound, row.actual) == (asked.id, 1_000, 1_700)
    assert Notice.objects.get(topic="budgets.overrun").facts["call"] == asked.id


def test_one_alert_when_seventy_per_cent_are_spent_and_one_at_the_end() -> None:
    tokens(10_000)
    for spent in (600, 5_800, 500):
        asked = reserve(bound_input=spent, bound_output=0)[0]
        settle(asked, spent)
    assert Alert.objects.count() == 0
    came_back(100)
    assert list(Alert.objects.values_list("level", "spent", "cap")) == [("soft", 7_000, 10_000)]
    for _ in range(5):
        came_back(400)
    assert list(Alert.objects.values_list("level", flat=True)) == ["soft"]
    while came_back(500).refused is None:
        pass
    assert [reserve()[1].refused for _ in range(3)] == ["budget_exhausted"] * 3
    assert sorted(Alert.objects.values_list("level", flat=True)) == ["hard", "soft"]
    soft, hard = Notice.objects.order_by("id")
    assert (soft.topic, soft.severity, hard.topic, hard.severity) == (
        "budgets.soft", "warning", "budgets.hard", "error",
    )  # fmt: skip
    assert soft.subject == "70 % spent: support.answer, 10,000 tokens a day"
    assert soft.dedup_key != hard.dedup_key


def test_holds_alone_alert_nobody() -> None:
    tokens(1_000)
    asked = reserve()[0]
    settle(asked, 10)
    assert counters() == [(10, 0)]
    assert not Alert.objects.exists()


def test_a_limit_is_obeyed_by_the_next_call_up_or_down() -> None:
    budget = tokens(5_000)
    assert came_back(1_000).refused is None
    Budget.objects.filter(pk=budget.pk).update(cap=800)
    assert reserve()[1].refused == "budget_exhausted"
    assert Alert.objects.filter(resolved_at=None).count() == 2
    Budget.objects.filter(pk=budget.pk).update(cap=50_000)
    assert reserve()[1].refused is None
    assert Alert.objects.filter(resolved_at=None).count() == 0
    assert Notice.objects.filter(resolves=True).count() == 2
    assert drift() == []


def test_a_budget_made_at_noon_counts_the_morning() -> None:
    came_back(400)
    open_ = reserve()[0]
    tokens(2_000)
    assert counters() == [(400, 1_000)]
    assert reserve()[1].refused == "budget_contended"
    settle(open_, 100)
    assert counters() == [(500, 0)]
    assert drift() == []


def test_switched_off_and_on_again_it_has_missed_nothing() -> None:
    budget = tokens(20_000)
    came_back(100)
    Budget.objects.filter(pk=budget.pk).update(active=False)
    came_back(200)
    under_way = reserve()[0]
    Budget.objects.filter(pk=budget.pk).update(active=True)
    assert counters() == [(300, 1_000)]
    settle(under_way, 50)
    assert counters() == [(350, 0)]
    assert drift() == []


def test_a_call_that_lapsed_comes_back_after_its_budget_was_switched_off_and_on() -> None:
    budget = tokens(20_000)
    asked = reserve()[0]
    sql("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second'")
    assert lapse() == 1
    Budget.objects.filter(pk=budget.pk).update(active=False)
    Budget.objects.filter(pk=budget.pk).update(active=True)
    assert counters() == [(1_000, 0)]
    settle(asked, 300)
    assert counters() == [(300, 0)]
    assert drift() == []


def test_switched_on_again_it_counts_the_days_that_calls_may_still_come_back_to() -> None:
    budget = tokens(20_000)
    asked, other = reserve()[0], reserve()[0]
    Budget.objects.filter(pk=budget.pk).update(active=False)
    settle(asked, 300)
    came_back(50)
    sql(
        "UPDATE lockstep_budgets_budgetperiod SET starts_at = starts_at - interval '1 day', ends_at = starts_at"
    )
    sql("UPDATE lockstep_llm_call SET at = at - interval '1 day'")
    Budget.objects.filter(pk=budget.pk).update(active=True)
    assert counters() == [(350, 1_000)]
    settle(other, 20)
    assert counters() == [(370, 0)]
    assert drift() == []


def test_a_call_that_comes_back_when_its_day_is_history_changes_no_counter() -> None:
    tokens(20_000, time_zone="UTC")
    asked = reserve()[0]
    sql("UPDATE lockstep_llm_call SET expires_at = now() - interval '1 second'")
    assert lapse() == 1
    assert counters() == [(1_000, 0)]
    sql(
        "UPDATE lockstep_budgets_budgetperiod SET starts_at = starts_at - interval '40 days',"
        " ends_at = ends_at - interval '40 days'"
    )
    sql("UPDATE lockstep_llm_call SET at = at - interval '40 days'")
    assert counters() == [(1_000, 0)]
    assert not Hold.objects.exists()
    settle(asked, 300)
    assert counters() == [(1_000, 0)]


def test_a_limit_in_estimates_that_is_made_strict_keeps_what_it_held(price: None) -> None:
    for spent in range(1, 121):
        came_back(spent)
    budget = tokens(100_000, bound="estimated")
    sql("SELECT lockstep_budgets_estimate_v1()")
    asked, other = reserve()[0], reserve()[0]
    Budget.objects.filter(pk=budget.pk).update(bound="strict")
    assert widen(asked, 1_900) == {}
    assert counters()[0][1] == 2_000 + 119
    assert drift() == []
    settle(asked, 30), settle(other, 40)
    assert counters()[0][1] == 0
    assert drift() == []


def test_an_estimate_that_another_budget_refuses_leaves_no_note(price: None) -> None:
    for spent in range(1, 121):
        came_back(spent)
    tokens(100_000, bound="estimated")
    sql("SELECT lockstep_budgets_estimate_v1()")
    tokens(7_260 + 1_500, feature="")
    assert reserve()[1].refused is None
    assert reserve()[1].refused == "budget_contended"
    assert Hold.objects.count() == 1
    assert drift() == []


def test_what_a_budget_counts_is_never_changed() -> None:
    budget = tokens(5_000)
    for change in ({"feature": "x"}, {"period": "month"}, {"unit": "money", "currency": "GBP"}):
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
            Budget.objects.filter(pk=budget.pk).update(**change)


@pytest.mark.parametrize("cap", [-1, 10**15 + 1])
def test_limits_below_nothing_or_beyond_reason(cap: int) -> None:
    with pytest.raises(IntegrityError, match="cap"), transaction.atomic():
        tokens(cap)
    with pytest.raises(ValidationError):
        Budget(feature="f", cap=cap).full_clean()


def test_a_zone_that_is_none() -> None:
    with pytest.raises(ValidationError, match="Europe/London"):
        Budget(feature="f", cap=1, time_zone="London").full_clean()
    with pytest.raises(DatabaseError, match="time zone"), transaction.atomic():
        tokens(1, time_zone="London")


def test_two_budgets_for_one_thing() -> None:
    tokens(5)
    with pytest.raises(IntegrityError, match="one"), transaction.atomic():
        tokens(6)
    tokens(7, active=False)


def test_the_largest_holds_do_not_overflow(price: None) -> None:
    Budget.objects.create(feature="support.answer", cap=10**15, period="month")
    huge = {"bound_input": 2_147_483_647, "bound_output": 2_147_483_647}
    assert reserve(**huge)[1].refused is None
    for _ in range(3):
        settle(call(**huge), None)
    assert drift() == []


@pytest.mark.parametrize(
    ("zone", "moment", "day", "hours"),
    [
        ("Europe/London", "2026-03-29T12:00", ("2026-03-29T00:00", "2026-03-29T23:00"), 23),
        ("Europe/London", "2026-10-25T12:00", ("2026-10-24T23:00", "2026-10-26T00:00"), 25),
        ("Europe/London", "2026-06-01T23:30", ("2026-06-01T23:00", "2026-06-02T23:00"), 24),
        ("America/New_York", "2026-01-01T03:00", ("2025-12-31T05:00", "2026-01-01T05:00"), 24),
        ("Pacific/Kiritimati", "2026-01-01T11:00", ("2026-01-01T10:00", "2026-01-02T10:00"), 24),
        ("Africa/Cairo", "2026-04-24T12:00", ("2026-04-23T22:00", "2026-04-24T21:00"), 23),
    ],
)
def test_days_of_the_wall_clock(zone: str, moment: str, day: tuple[str, str], hours: int) -> None:
    ((starts, ends),) = sql("SELECT * FROM lockstep_budgets_span_v1('day', %s, %s)", [zone, moment + "Z"])
    assert (f"{starts:%Y-%m-%dT%H:%M}", f"{ends:%Y-%m-%dT%H:%M}") == day
    assert ends - starts == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("moment", "first", "days"),
    [
        ("2028-02-29T12:00", "2028-02-01", 29),
        ("2026-02-28T23:59:59", "2026-02-01", 28),
        ("2026-03-30T22:59", "2026-03-01", 31),
    ],
)
def test_months_of_the_wall_clock(moment: str, first: str, days: int) -> None:
    ((starts, ends),) = sql(
        "SELECT (starts AT TIME ZONE 'Europe/London')::date, (ends AT TIME ZONE 'Europe/London')::date"
        " FROM lockstep_budgets_span_v1('month', 'Europe/London', %s)",
        [moment + "Z"],
    )
    assert (f"{starts}", (ends - starts).days) == (first, days)


def test_a_call_over_midnight_belongs_to_the_day_in_which_it_began() -> None:
    tokens(5_000)
    asked = reserve()[0]
    sql(
        "UPDATE lockstep_budgets_budgetperiod SET starts_at = starts_at - interval '1 day', ends_at = starts_at"
    )
    sql("UPDATE lockstep_llm_call SET at = at - interval '1 day'")
    came_back(10)
    settle(asked, 700)
    assert counters() == [(700, 0), (10, 0)]
    assert drift() == []


def test_when_a_day_ends_its_incident_is_over() -> None:
    tokens(1_000)
    came_back(950)
    assert Alert.objects.filter(resolved_at=None).count() == 1
    sql(
        "UPDATE lockstep_budgets_budgetperiod SET starts_at = starts_at - interval '1 day', ends_at = starts_at"
    )
    came_back(10)
    assert Alert.objects.filter(resolved_at=None).count() == 0
    told, over = Notice.objects.order_by("id")
    assert (over.resolves, over.dedup_key) == (True, told.dedup_key)


def test_an_estimate_holds_what_most_calls_use(price: None) -> None:
    for spent in range(1, 121):
        came_back(spent)
    budget = tokens(100_000, bound="estimated")
    assert sql("SELECT lockstep_budgets_estimate_v1()") == [(2,)]
    reserve()
    assert BudgetPeriod.objects.get(budget=budget).reserved == 119
    settle(reserve()[0], 800)  # above the estimate, within the bound
    assert not Overrun.objects.exists()
    assert drift() == []


def test_of_few_calls_nothing_is_estimated() -> None:
    for _ in range(99):
        came_back(1)
    tokens(100_000, bound="estimated")
    assert sql("SELECT lockstep_budgets_estimate_v1()") == [(0,)]
    reserve()
    assert counters()[0][1] == 1_000
