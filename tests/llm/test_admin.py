"""Calls, spend, prices and features in the admin: for those who may, in as many queries for many rows as for few."""

from __future__ import annotations

import csv
import io
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from lockstep.core.models import Feature
from lockstep.llm.admin import links
from lockstep.llm.admin.days import Days, midnight, period
from lockstep.llm.admin.display import duration, money
from lockstep.llm.admin.spend import OTHERS, spend
from lockstep.llm.models import Call, Price, Rate, Tally

pytestmark = pytest.mark.django_db
MARKUP = '<script>alert("x")</script>'
PAGES = {
    "calls": "admin:lockstep_llm_call_changelist",
    "spend": "admin:lockstep_llm_call_spend",
    "prices": "admin:lockstep_llm_price_changelist",
    "rates": "admin:lockstep_llm_rate_changelist",
    "tallies": "admin:lockstep_llm_tally_changelist",
    "features": "admin:lockstep_core_feature_changelist",
}

MANY = """
INSERT INTO lockstep_llm_call (id, at, operation, feature, cohort, tenant, user_key, prompt, prompt_version, arm,
    provider, endpoint, request_model, response_model, invocation, attempt, run, node, trace_id, state, outcome,
    error_type, finish_reason, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    usage_source, bound_input, bound_output, currency, bound_micros, cost_micros, latency_ms, first_token_ms, tools,
    settled_at, result)
SELECT gen_random_uuid(), now() - n * interval '29 days' / %(count)s, 'chat', 'feature.f' || n %% 8,
    (ARRAY['', 'trial', 'pro', 'enterprise'])[1 + n %% 4], '', md5((n %% 500)::text), 'support-answer',
    md5((n %% 3)::text) || md5((n %% 3)::text), 'a', (ARRAY['openai', 'anthropic', 'local'])[1 + n %% 3],
    'https://models.example/v1', 'model-' || n %% 4, '', gen_random_uuid(), 1, '', '', md5(n::text),
    CASE WHEN n %% 200 = 0 THEN 'lapsed' WHEN n %% 300 = 1 THEN 'refused' ELSE 'settled' END,
    CASE WHEN n %% 200 = 0 THEN 'error' WHEN n %% 300 = 1 THEN 'refused' WHEN n %% 29 = 0 THEN 'error' ELSE 'ok' END,
    '', 'stop', 800, 100, 0, 0, 0, 'provider', 2000, 4096, 'GBP', 9000,
    CASE WHEN n %% 50 = 7 THEN NULL WHEN n %% 300 = 1 THEN 0 ELSE 800 + n %% 9000 END, 300 + n %% 5000, 200,
    '[]', now(),
    CASE WHEN n %% 3 = 0 THEN 'resolved' ELSE '' END
FROM generate_series(1, %(count)s) n
"""


def many(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MANY, {"count": count})
        cursor.execute("ANALYZE lockstep_llm_call")


def call(**changes: Any) -> Call:
    plain: dict[str, Any] = {
        "id": uuid.uuid4(), "at": timezone.now(), "operation": "chat", "feature": "support.answer",
        "provider": "openai", "request_model": "gpt-5-mini", "invocation": uuid.uuid4(), "state": "settled",
        "outcome": "ok", "input_tokens": 1_000, "output_tokens": 500, "usage_source": "provider",
        "bound_input": 2_000, "bound_output": 1_000, "currency": "GBP", "cost_micros": 4_200, "bound_micros": 9_000,
        "latency_ms": 820,
    }  # fmt: skip
    return Call.objects.create(**plain | changes)


def person(*permissions: str, name: str = "carol") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code, answer.headers)
    return answer.content.decode()


def listed(client: Client, **query: str) -> set[Any]:
    """Ids that the list of calls shows."""
    answer = client.get(links.calls(**query))
    assert answer.status_code == 200, answer.headers
    return {row.pk for row in answer.context["cl"].result_list}


@contextmanager
def zone(name: str) -> Iterator[None]:
    with timezone.override(name):
        yield


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_on_an_empty_database(page: str, boss: Client) -> None:
    text(boss, reverse(PAGES[page]))


@pytest.mark.parametrize("by", ["feature", "cohort", "version", "model", "provider", "day"])
@pytest.mark.parametrize("period", ["7", "90", "month", "2026-02"])
def test_every_spend_page_opens(by: str, period: str, boss: Client) -> None:
    many(50)
    text(boss, links.spend(by=by, period=period))


def test_a_nonsense_spend_page_is_the_usual_one(boss: Client) -> None:
    page = text(boss, links.spend(by="<b>", period="9999-99", feature="\0'; DROP TABLE x"))
    assert "No call in this period" in page


QUERIES = {"calls": 5, "spend": 3, "prices": 6, "rates": 6, "tallies": 5, "features": 7}


def test_pages_ask_as_often_for_a_hundred_thousand_calls_as_for_few(boss: Client) -> None:
    def measured() -> tuple[dict[str, int], dict[str, float]]:
        counts, seconds = {}, {}
        for page, name in PAGES.items():
            boss.get(reverse(name))
            began = time.perf_counter()
            with CaptureQueriesContext(connection) as caught:
                text(boss, reverse(name))
            counts[page], seconds[page] = len(caught), time.perf_counter() - began
        return counts, seconds

    Feature.objects.create(name="feature.f1", data_class="internal")
    many(60)
    few, _ = measured()
    for number in range(20):
        Feature.objects.create(name=f"other.f{number}", data_class="internal")
        Rate.objects.create(base="USD", quote="GBP", rate=Decimal("0.8"), on_date="2026-01-01", source="x")
        Price.objects.create(
            provider="openai", model=f"m{number}", source="list", currency="USD", input=1, output=1,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
    many(100_000)
    lots, seconds = measured()
    assert few == QUERIES
    # the planner's guess, beyond the calls that can be paged through
    assert lots == QUERIES | {"calls": QUERIES["calls"] + 1}
    assert max(seconds.values()) < 1.0, seconds  # 0.3 s on an idle machine; this is no benchmark


# --- who may what ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_person_without_permission_sees_nothing(page: str) -> None:
    assert person().get(reverse(PAGES[page])).status_code == 403


def test_to_see_calls_is_enough_for_the_list_the_page_and_the_spend() -> None:
    carol, row = person("view_call"), call()
    text(carol, links.calls())
    text(carol, links.call(row.pk))
    text(carol, links.spend())
    assert carol.get(links.spend(format="csv")).status_code == 200


def test_nobody_writes_the_ledger_by_hand(boss: Client) -> None:
    row = call()
    assert boss.get(reverse("admin:lockstep_llm_call_add")).status_code == 403
    assert (
        boss.post(reverse("admin:lockstep_llm_call_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )
    boss.post(links.call(row.pk), {"cost_micros": 1})
    row.refresh_from_db()
    assert row.cost_micros == 4_200


@pytest.mark.parametrize("name", ["price", "rate"])
def test_to_add_prices_is_a_permission_of_its_own(name: str) -> None:
    carol = person(f"view_{name}")
    assert carol.get(reverse(f"admin:lockstep_llm_{name}_add")).status_code == 403
    assert (
        person(f"view_{name}", f"add_{name}", name="dan")
        .get(reverse(f"admin:lockstep_llm_{name}_add"))
        .status_code
        == 200
    )


def test_an_id_that_is_none_is_not_found(boss: Client) -> None:
    assert boss.get(links.call(uuid.uuid4())).status_code == 404
    assert boss.get(links.call("nonsense")).status_code == 404


# --- the list -------------------------------------------------------------------------------------


FOUND_BY = {
    "feature": ("support.answer", {"feature": "other"}),
    "cohort": ("trial", {"cohort": "pro"}),
    "version": ("answer@" + "a" * 64, {"prompt_version": "b" * 64}),
    "model": ("openai:gpt-5-mini", {"request_model": "gpt-5"}),
    "provider": ("openai", {"provider": "local"}),
    "state": ("settled", {"state": "lapsed"}),
    "outcome": ("ok", {"outcome": "error"}),
    "cost": ("mid", {"cost_micros": 999}),
    "latency": ("1s", {"latency_ms": 1_000}),
    "result": ("resolved", {"result": "escalated"}),
    "run": ("run-17", {"run": "run-18"}),
    "day": (str(date(2026, 3, 1)), {"at": datetime(2026, 3, 2, 12, tzinfo=UTC)}),
}


@pytest.mark.parametrize("name", FOUND_BY)
def test_each_filter_finds_what_it_names_and_nothing_else(name: str, boss: Client) -> None:
    facts = {
        "cohort": "trial", "prompt": "answer", "prompt_version": "a" * 64, "result": "resolved", "run": "run-17",
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
    }  # fmt: skip
    value, other = FOUND_BY[name]
    wanted, unwanted = call(**facts), call(**facts | other)
    assert listed(boss) == {wanted.pk, unwanted.pk}
    assert listed(boss, **{name: value}) == {wanted.pk}


def test_a_short_hash_finds_the_calls_of_a_version(boss: Client) -> None:
    row = call(prompt="answer", prompt_version="9f31" + "0" * 60)
    call(prompt="answer", prompt_version="77" * 32)
    assert listed(boss, version="9f31") == {row.pk}


def test_calls_without_a_cohort_can_be_chosen(boss: Client) -> None:
    row = call()
    call(cohort="pro")
    assert listed(boss, cohort="") == {row.pk}


def test_an_unpriced_call_is_flagged_and_found(boss: Client) -> None:
    row = call(cost_micros=None)
    call(cost_micros=None, state="reserved", outcome="")
    assert listed(boss, cost="unpriced") == {row.pk}
    assert "unpriced</span>" in text(boss, links.calls(cost="unpriced"))


@pytest.mark.parametrize(
    "query", [{"day": "yesterday"}, {"day": "2026-02-30"}, {"day": "9999-12-31"}, {"state": "x"}]
)
def test_a_filter_that_cannot_be_read_is_dropped(query: dict[str, str], boss: Client) -> None:
    assert boss.get(links.calls(**query)).url.endswith("?e=1")


@pytest.mark.parametrize("field", ["id", "run", "trace_id", "user_key"])
def test_a_call_is_found_by_what_identifies_it(field: str, boss: Client) -> None:
    row = call(run="run-17", trace_id="0af7651916cd43dd8448eb211c80319c", user_key="ab" * 32)
    call(run="run-18", trace_id="1af7651916cd43dd8448eb211c80319c", user_key="cd" * 32)
    assert listed(boss, q=str(getattr(row, field))) == {row.pk}
    assert listed(boss, q="nothing") == set()


def test_the_list_pages_through_the_newest_and_says_how_many_there_may_be(
    boss: Client, monkeypatch: Any
) -> None:
    monkeypatch.setattr("lockstep.core.paging.REACH", 100)
    many(500)
    page = text(boss, links.calls())
    assert "The newest 100 of about " in page
    with CaptureQueriesContext(connection) as caught:
        text(boss, links.calls(p="2"))
    assert [query for query in caught if "COUNT(*)" in query["sql"] and "LIMIT 101" not in query["sql"]] == []


# --- a call ---------------------------------------------------------------------------------------


@pytest.fixture
def price() -> Price:
    return Price.objects.create(
        provider="openai", model="gpt-5-mini", source="contract", currency="USD", input=Decimal(2),
        output=Decimal(8), cache_read=Decimal("0.5"), valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


@pytest.fixture
def rate() -> Rate:
    return Rate.objects.create(
        base="USD", quote="GBP", rate=Decimal("0.8"), on_date="2026-01-01", source="ECB"
    )


def test_the_arithmetic_of_a_call_is_spelled_out_and_agrees(boss: Client, price: Price, rate: Rate) -> None:
    row = call(price_id=price.pk, rate_id=rate.pk, cache_read_tokens=400, cost_micros=4_320)
    page = text(boss, links.call(row.pk))
    for said in ("0.0012", "0.0002", "0.004", "0.0054", "0.8<", "£0.004320", "agrees with the ledger"):
        assert said in page
    call(price_id=price.pk, rate_id=rate.pk, cache_read_tokens=400, cost_micros=4_321, id=uuid.UUID(int=7))
    assert "the ledger has £0.004321" in text(boss, links.call(uuid.UUID(int=7)))


def test_a_call_that_is_charged_at_its_bound_says_so_with_its_arithmetic(
    boss: Client, price: Price, rate: Rate
) -> None:
    row = call(
        price_id=price.pk, rate_id=rate.pk, state="lapsed", outcome="error", usage_source="bound",
        cost_micros=9_600, bound_micros=9_600, input_tokens=None, output_tokens=None, latency_ms=None,
    )  # fmt: skip
    page = text(boss, links.call(row.pk))
    assert "agrees with the ledger" in page
    assert "lapsed</span>" in page
    assert "could have cost at most" in page


def test_arithmetic_agrees_with_every_figure_of_the_golden_table(db: None) -> None:
    from lockstep.llm.admin.arithmetic import account
    from lockstep.llm.money import lookup

    price = Price.objects.create(
        provider="p", model="m", source="list", currency="USD", input=Decimal("1.1"), output=Decimal("3.3"),
        cache_read=Decimal("0.000000005"), cache_write=Decimal("1.375"), per_request=Decimal("0.0000005"),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    rate = Rate.objects.create(
        base="USD", quote="GBP", rate=Decimal("0.7333"), on_date="2026-01-01", source="x"
    )
    for number in range(60):
        used = {"input_tokens": number * 37, "output_tokens": number * 11, "cache_read_tokens": number * 5}
        used["cache_write_tokens"] = number * 3
        for rate_id in (rate.pk, 0):
            recorded = lookup.cost_micros(price.pk, rate_id, **used)
            row = Call(
                usage_source="provider", price_id=price.pk, rate_id=rate_id, cost_micros=recorded, **used
            )
            made = account(row, "default")
            assert made is not None
            assert made.agrees


def test_a_call_under_way_shows_what_it_may_cost_at_most(boss: Client, price: Price, rate: Rate) -> None:
    row = call(
        price_id=price.pk, rate_id=rate.pk, state="reserved", outcome="", usage_source="", cost_micros=None,
        bound_micros=9_600, input_tokens=None, output_tokens=None, latency_ms=None,
        expires_at=timezone.now() + timedelta(minutes=15),
    )  # fmt: skip
    page = text(boss, links.call(row.pk))
    for said in ("What it may cost at most", "agrees with the ledger", "unless it comes back", "≤ £0.0096"):
        assert said in page


def test_pages_open_in_a_project_without_time_zones(boss: Client, settings: Any) -> None:
    row = call(result="resolved")
    settings.USE_TZ = False
    for url in (
        links.calls(),
        links.call(row.pk),
        links.spend(),
        links.spend(by="day"),
        reverse(PAGES["prices"]),
    ):
        text(boss, url)
    assert listed(boss, day=str(Days(date(2026, 1, 1), date(2199, 1, 1)))) == {row.pk}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"cost_micros": None}, "No price of openai:gpt-5-mini"),
        ({"cost_micros": None, "price_id": 1}, "No exchange rate into GBP"),
        ({"cost_micros": 0, "usage_source": "none"}, "the call is free"),
        ({"price_id": 999, "rate_id": 0}, "not in this database"),
    ],
)
def test_a_call_without_arithmetic_says_why(facts: dict[str, Any], said: str, boss: Client) -> None:
    assert said in text(boss, links.call(call(**facts).pk))


def test_a_call_shows_its_attempts_its_tools_and_its_result_and_that_no_content_is_kept(boss: Client) -> None:
    shared = uuid.uuid4()
    first = call(id=shared, invocation=shared, outcome="error", error_type="RateLimited")
    tools = [
        {"id": "1", "name": MARKUP, "ok": False},
        {"id": "2", "name": "b", "ok": True},
        {"name": "c", "ok": None},
    ]
    second = call(
        invocation=shared, attempt=2, tools=tools, result="resolved", result_value=3, result_at=timezone.now()
    )
    page = text(boss, links.call(second.pk))
    for said in (
        links.call(first.pk),
        "RateLimited",
        "worked",
        "failed",
        "not reported",
        "resolved",
        "keeps no content",
    ):
        assert said in page
    assert MARKUP not in page


def test_a_call_leads_to_its_feature_and_its_prompt_version_for_those_who_may_see_them(boss: Client) -> None:
    row = call(prompt="support-answer", prompt_version="9" * 64)
    version = reverse("admin:lockstep_prompts_prompt_version", args=["support-answer", "9" * 64])
    feature = reverse("admin:lockstep_core_feature_change", args=["support.answer"])
    page = text(boss, links.call(row.pk))
    assert version in page
    assert feature in page
    page = text(person("view_call"), links.call(row.pk))
    assert version not in page
    assert feature not in page


@pytest.mark.parametrize(
    "field", ["feature", "cohort", "request_model", "provider", "prompt", "error_type", "run"]
)
def test_names_with_markup_stay_text_on_every_page(field: str, boss: Client) -> None:
    row = call(**{"prompt": "p", field: MARKUP})
    pages = [links.calls(), links.call(row.pk)]
    pages += [links.spend(by=by) for by in ("feature", "cohort", "version", "model", "provider")]
    pages += [links.spend(feature=MARKUP, version=MARKUP), links.calls(feature=MARKUP, cohort=MARKUP)]
    for url in pages:
        assert "<script>alert" not in text(boss, url)


# --- spend ----------------------------------------------------------------------------------------


def figures(by: str = "feature", days: int = 7, **only: str) -> Any:
    return spend(period(str(days))[1], by, only=only, currency="GBP", using="default")


def test_spend_adds_up() -> None:
    for cost, latency in ((1_000, 100), (2_000, 200), (3_000, 3_000)):
        call(cost_micros=cost, latency_ms=latency, result="resolved" if cost < 3_000 else "escalated")
    call(cost_micros=None)
    call(state="lapsed", outcome="error", cost_micros=500, latency_ms=None)
    call(state="refused", outcome="refused", cost_micros=0, latency_ms=None, input_tokens=None)
    call(state="reserved", outcome="", cost_micros=None, latency_ms=None)
    call(outcome="error", cost_micros=0)
    call(feature="other", cost_micros=70, currency="USD")
    made = figures()
    assert list(made.groups) == ["support.answer", "other"]
    sums = made.groups["support.answer"]
    assert (sums.calls, sums.errors, sums.lapsed, sums.refused, sums.under_way, sums.unpriced) == (
        7,
        1,
        1,
        1,
        1,
        1,
    )
    assert (sums.cost, sums.reported, sums.resolved) == (6_500, 3, 2)
    assert sums.per_call == pytest.approx(6_500 / 5)
    assert sums.per_resolved == pytest.approx(3_250)
    other = made.groups["other"]
    assert (other.cost, other.foreign, other.per_call) == (0, 1, None)
    assert made.total.calls == 8


def test_percentiles_are_right_within_three_percent() -> None:
    many(3_000)
    waits = sorted(Call.objects.exclude(latency_ms=None).values_list("latency_ms", flat=True))
    total = figures(days=30).total
    for share in (0.5, 0.95):
        assert total.latency_ms(share) == pytest.approx(waits[int(share * len(waits)) - 1], rel=0.03)


@pytest.mark.parametrize("by", ["feature", "cohort", "version", "model", "provider", "day"])
def test_a_row_leads_to_exactly_the_calls_that_it_counts(by: str, boss: Client) -> None:
    many(300)
    page = boss.get(links.spend(by=by)).context["page"]
    assert sum(row.sums.calls for row in page.rows) == page.spend.total.calls == 299
    for row in page.rows[:6]:
        assert boss.get(row.url).context["cl"].result_count == row.sums.calls
        for name, said, url in row.cells:
            if url:
                assert boss.get(url).context["cl"].result_count == int(said.replace(",", "")), name
    segments = list(page.segments)
    for segment, url in [*segments[:4], *segments[-2:]]:
        assert boss.get(url).context["cl"].result_count > 0
        assert segment.said


def test_the_chart_has_six_groups_of_its_own_and_the_rest_as_one(boss: Client) -> None:
    for number in range(9):
        call(feature=f"f{number}", cost_micros=1_000 * (number + 1))
    page = boss.get(links.spend()).context["page"]
    assert [label for _, label, _ in page.chart.legend] == ["f8", "f7", "f6", "f5", "f4", "f3", "others"]
    bar = page.chart.bars[-1]
    assert sum(segment.height for segment in bar.segments) == pytest.approx(45 / 50 * 100)
    html = text(boss, links.spend())
    assert '<title id="chart-title">' in html
    assert '<desc id="chart-desc">' in html


def test_where_nothing_has_a_cost_the_chart_shows_calls(boss: Client) -> None:
    call(cost_micros=None)
    page = text(boss, links.spend())
    assert "Calls (none has a cost) by day" in page
    assert "Nobody knows the cost of 1 call" in page


def test_beyond_a_hundred_groups_the_rest_is_one_row(boss: Client) -> None:
    for number in range(104):
        call(cohort=f"c{number:03}", cost_micros=1_000 + number)
    made = figures(by="cohort")
    assert len(made.groups) == 101
    assert list(made.groups)[-1] == OTHERS
    assert made.groups[OTHERS].calls == 4
    assert made.total.calls == 104
    assert "others" in text(boss, links.spend(by="cohort"))


def test_spend_can_be_narrowed(boss: Client) -> None:
    call(cohort="trial")
    call(cohort="pro", feature="other")
    assert list(figures(by="cohort", feature="other").groups) == ["pro"]
    assert list(figures(by="cohort", provider="openai", model="openai:gpt-5-mini", version="@").groups)
    page = text(boss, links.spend(by="cohort", feature="other"))
    assert "feature: other" in page
    assert "trial" not in page


@pytest.mark.parametrize("name", ["Europe/London", "America/New_York", "Pacific/Kiritimati", "UTC"])
def test_a_call_at_midnight_belongs_to_the_day_that_begins(name: str, boss: Client, settings: Any) -> None:
    settings.TIME_ZONE = name
    with zone(name):
        days = Days(date(2026, 3, 28), date(2026, 3, 30))  # clocks go forward in London on the 29th
        for day in days:
            call(at=midnight(day))
            call(at=midnight(day) - timedelta(microseconds=1))
        made = spend(days, "day", currency="GBP", using="default")
        assert {day: sums.calls for day, sums in made.groups.items()} == {
            "2026-03-28": 2, "2026-03-29": 2, "2026-03-30": 1,
        }  # fmt: skip
        for day, sums in made.groups.items():
            assert len(listed(boss, day=day)) == sums.calls
        assert len(listed(boss, day=str(days))) == 5
        text(boss, links.spend(period="2026-03", by="day"))


def test_days_of_a_changing_clock_have_their_own_length() -> None:
    with zone("Europe/London"):
        bounds = Days(date(2026, 3, 29), date(2026, 3, 29)).bounds()
        assert bounds[1].astimezone(UTC) - bounds[0].astimezone(UTC) == timedelta(hours=23)
        bounds = Days(date(2026, 10, 25), date(2026, 10, 25)).bounds()
        assert bounds[1].astimezone(UTC) - bounds[0].astimezone(UTC) == timedelta(hours=25)


def test_the_csv_has_the_figures_of_the_page_and_no_formulas(boss: Client) -> None:
    call(feature="=HYPERLINK(1)", cost_micros=1_234_567, result="resolved")
    answer = boss.get(links.spend(format="csv"))
    assert answer["Content-Type"].startswith("text/csv")
    assert "spend-feature-" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["feature"] for row in rows] == ["'=HYPERLINK(1)", "total"]
    assert rows[0]["cost_GBP"] == "1.234567"
    assert rows[0]["cost_per_resolved_GBP"] == "1.234567"


def test_the_app_and_the_list_lead_to_the_spend(boss: Client) -> None:
    assert links.spend() in text(boss, reverse("admin:app_list", args=["lockstep_llm"]))
    assert links.spend() in text(boss, links.calls())
    assert links.spend() not in text(person("view_price"), reverse("admin:app_list", args=["lockstep_llm"]))


# --- prices and rates -----------------------------------------------------------------------------


def test_the_price_that_holds_is_marked(boss: Client, price: Price) -> None:
    common = {"provider": "openai", "model": "gpt-5-mini", "currency": "USD", "input": 1, "output": 1}
    Price.objects.create(source="list", valid_from=datetime(2026, 1, 1, tzinfo=UTC), **common)
    Price.objects.create(source="contract", valid_from=datetime(2199, 1, 1, tzinfo=UTC), **common)
    url = reverse(PAGES["prices"])
    assert text(boss, url).count("holds now</span>") == 1
    shown = {
        name: [row.source for row in boss.get(url, {"holds": name}).context["cl"].result_list]
        for name in ("now", "covered", "later", "over")
    }
    assert shown == {"now": ["contract"], "covered": ["list"], "later": ["contract"], "over": []}


def test_a_contract_price_is_added_closes_the_one_before_and_is_logged(boss: Client, price: Price) -> None:
    form = {
        "provider": "openai", "model": "gpt-5-mini", "source": "contract", "currency": "USD", "input": "1.5",
        "output": "6", "note": "contract 17", "since": "2026-06-01T00:00",
    }  # fmt: skip
    with zone("Europe/London"):
        assert boss.post(reverse("admin:lockstep_llm_price_add"), form).status_code == 302
    made = Price.objects.latest("id")
    price.refresh_from_db()
    assert (made.input, made.cache_read, made.note) == (Decimal("1.5"), None, "contract 17")
    assert price.valid_to == made.valid_from
    assert LogEntry.objects.get().change_message.startswith("Added: openai:gpt-5-mini")
    assert "contract 17" in text(boss, reverse("admin:lockstep_llm_price_change", args=[made.pk]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "-1"},
        {"input": "2000000"},
        {"currency": "pou"},
        {"min_input_tokens": "5"},
        {"output": "NaN"},
    ],
)
def test_a_price_that_cannot_be_is_refused_with_a_reason(wrong: dict[str, str], boss: Client) -> None:
    form = {
        "provider": "p",
        "model": "m",
        "source": "contract",
        "currency": "GBP",
        "input": "1",
        "output": "1",
    }
    answer = boss.post(reverse("admin:lockstep_llm_price_add"), form | wrong)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not Price.objects.exists()


def test_a_rate_is_added_and_marked_as_holding(boss: Client, rate: Rate) -> None:
    form = {"base": "USD", "quote": "GBP", "rate": "0.75", "on": "2026-02-01", "source": "ECB"}
    assert boss.post(reverse("admin:lockstep_llm_rate_add"), form).status_code == 302
    assert Rate.objects.latest("id").rate == Decimal("0.75")
    assert text(boss, reverse(PAGES["rates"])).count("holds now</span>") == 1
    assert boss.post(reverse("admin:lockstep_llm_rate_add"), form | {"quote": "USD"}).status_code == 200


@pytest.mark.parametrize("name", ["price", "rate"])
def test_prices_and_rates_are_never_changed(name: str, boss: Client, price: Price, rate: Rate) -> None:
    pk = {"price": price.pk, "rate": rate.pk}[name]
    assert (
        boss.post(reverse(f"admin:lockstep_llm_{name}_change", args=[pk]), {"input": "9"}).status_code == 403
    )
    assert (
        boss.post(reverse(f"admin:lockstep_llm_{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403
    )


# --- tallies --------------------------------------------------------------------------------------


def test_what_was_computed_here_is_listed_and_never_changed(boss: Client) -> None:
    row = Tally.objects.create(
        hour=timezone.now(), operation="embeddings", provider="local", model=MARKUP, calls=4, latency_ms=80
    )
    page = text(boss, reverse(PAGES["tallies"]))
    assert "20 ms" in page
    assert "<script>alert" not in page
    assert (
        boss.post(reverse("admin:lockstep_llm_tally_change", args=[row.pk]), {"calls": "9"}).status_code
        == 403
    )


# --- features -------------------------------------------------------------------------------------


@pytest.fixture
def feature() -> Feature:
    return Feature.objects.create(name="support.answer", owner="support@example.com", data_class="personal")


def switch(feature: Feature) -> str:
    return reverse("admin:lockstep_core_feature_switch", args=[feature.pk])


def test_a_feature_is_switched_off_with_a_reason_that_is_kept(boss: Client, feature: Feature) -> None:
    assert boss.post(switch(feature), {"off": "1", "reason": ""}).status_code == 200
    feature.refresh_from_db()
    assert feature.enabled
    assert boss.post(switch(feature), {"off": "1", "reason": "the bill"}).status_code == 302
    feature.refresh_from_db()
    assert not feature.enabled
    assert LogEntry.objects.get().change_message == "Switched off: the bill"
    page = text(boss, reverse("admin:lockstep_core_feature_change", args=[feature.pk]))
    assert "Switched off: the bill" in page
    assert "switched off" in page
    assert boss.post(switch(feature), {"off": "1", "reason": "again"}).status_code == 302
    assert LogEntry.objects.count() == 1
    assert boss.post(switch(feature), {"on": "1", "reason": "paid"}).status_code == 302
    feature.refresh_from_db()
    assert feature.enabled


def test_the_next_call_obeys_the_switch(boss: Client, feature: Feature) -> None:
    from lockstep.llm.ledger import begin
    from tests.llm.test_ledger import asked

    assert begin(asked()).refused is None
    boss.post(switch(feature), {"off": "1", "reason": "the bill"})
    assert begin(asked()).refused == "feature_off"


def test_to_switch_is_a_permission(feature: Feature) -> None:
    carol = person("view_feature")
    page = text(carol, reverse("admin:lockstep_core_feature_change", args=[feature.pk]))
    assert switch(feature) not in page
    assert carol.post(switch(feature), {"off": "1", "reason": "x"}).status_code == 403
    assert carol.get(switch(feature)).status_code == 403
    dan = person("view_feature", "change_feature", name="dan")
    assert dan.post(switch(feature), {"off": "1", "reason": "x"}).status_code == 302


def test_features_are_neither_added_nor_deleted_nor_edited_here(boss: Client, feature: Feature) -> None:
    assert boss.get(reverse("admin:lockstep_core_feature_add")).status_code == 403
    assert (
        boss.post(
            reverse("admin:lockstep_core_feature_delete", args=[feature.pk]), {"post": "yes"}
        ).status_code
        == 403
    )
    boss.post(reverse("admin:lockstep_core_feature_change", args=[feature.pk]), {"owner": "x", "enabled": ""})
    feature.refresh_from_db()
    assert (feature.owner, feature.enabled) == ("support@example.com", True)


def test_the_list_of_features_shows_what_they_cost_to_those_who_may_see_calls(
    boss: Client, feature: Feature
) -> None:
    call(cost_micros=1_500_000)
    call(at=timezone.now() - timedelta(days=40))
    page = text(boss, reverse(PAGES["features"]))
    assert "£1.50" in page
    assert "Calls, 30 days" in page
    assert "£1.50" not in text(person("view_feature"), reverse(PAGES["features"]))


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("micros", "said"),
    [(0, "£0.00"), (4_200, "£0.0042"), (17, "£0.000017"), (1_234_567_890, "£1,234.57"), (150_000, "£0.1500")],
)
def test_money_is_readable(micros: int, said: str) -> None:
    assert money(micros, "GBP") == said
    assert money(1_000_000, "CHF") == "CHF 1.00"


def test_durations_are_readable() -> None:
    assert [duration(ms) for ms in (820, 1_400, 999.7, 125_000)] == ["820 ms", "1.4 s", "1.0 s", "2 min 5 s"]


# --- in a browser ---------------------------------------------------------------------------------


def sign_in(page: Any, url: str) -> None:
    User.objects.create_superuser("ann", password="secret")
    page.goto(url)
    page.fill("#id_username", "ann")
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")


@pytest.mark.browser
def test_a_person_goes_from_the_spend_by_a_bar_to_a_call_and_its_arithmetic(
    page: Any, live_server: Any, price: Price
) -> None:
    row = call(price_id=price.pk, rate_id=0, cost_micros=6_000)
    sign_in(page, live_server.url + reverse("admin:app_list", args=["lockstep_llm"]))
    page.click("text=What was spent")
    page.click("text=Prompt version")
    page.locator(".lockstep-chart svg a").first.click()
    page.locator("#result_list tbody tr th a").first.click()
    assert page.locator("dd code").first.inner_text() == str(row.pk)
    assert page.locator("text=agrees with the ledger").count() == 1


@pytest.mark.browser
def test_a_person_switches_a_feature_off_and_on_in_a_browser(
    page: Any, live_server: Any, feature: Feature
) -> None:
    sign_in(page, live_server.url + reverse(PAGES["features"]))
    page.click("text=support.answer")
    for verb, enabled in (("off", False), ("on", True)):
        page.click(f"text=Switch {verb} …")
        page.fill("textarea[name=reason]", "the bill")
        page.click(f"input[value='Switch {verb}']")
        assert page.locator(".success, .messagelist li").count() == 1
        feature.refresh_from_db()
        assert feature.enabled is enabled


@pytest.mark.browser
@pytest.mark.parametrize("width", [1360, 390])
def test_no_page_is_wider_than_the_window(width: int, page: Any, live_server: Any, price: Price) -> None:
    many(200)
    row = call(price_id=price.pk, rate_id=0, cost_micros=6_000, user_key="7d" * 32, feature="a" * 90)
    Feature.objects.create(name="a" * 90, data_class="internal")
    page.set_viewport_size({"width": width, "height": 844})
    sign_in(page, live_server.url + links.calls())
    urls = [reverse(name) for name in PAGES.values()]
    urls += [
        links.call(row.pk),
        reverse("admin:lockstep_llm_price_add"),
        reverse("admin:lockstep_core_feature_change", args=["a" * 90]),
    ]
    urls.append(reverse("admin:lockstep_core_feature_switch", args=["a" * 90]))
    for url in urls:
        page.goto(live_server.url + url)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"{url}: {over} pixels"
        for field in page.locator(".lockstep-card input, .lockstep-card textarea").all():
            box, card = field.bounding_box(), page.locator(".lockstep-card").first.bounding_box()
            assert box["x"] + box["width"] <= card["x"] + card["width"], url
