"""Evidence of retention and legal holds in the admin of core, over the table that privacy brings."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lockstep.core.retention.holds import hold, release
from lockstep.core.retention.models import ExpiringTable, LegalHold, Purge
from lockstep.core.retention.sweeping import sweep
from lockstep.privacy.models import Payload
from tests.privacy.rows import TABLE, kept, put
from tests.privacy.test_admin import look

EVIDENCE = "admin:lockstep_core_expiringtable_changelist"
HOLDS = "admin:lockstep_core_legalhold_changelist"
ADD = "admin:lockstep_core_legalhold_add"
PURGES = "admin:lockstep_core_purge_changelist"


def person(*permissions: str) -> Client:
    User.objects.filter(username="bob").delete()
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def of(one: LegalHold, name: str = "change") -> str:
    return reverse(f"admin:lockstep_core_legalhold_{name}", args=[one.pk])


def shown(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return str(answer.content.decode())


def placed(subject: str = "p-17") -> LegalHold:
    return hold(actor="ann", reason="case 1", subject=subject)


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


# --- evidence -------------------------------------------------------------------------------------


def test_the_page_says_what_is_there_and_that_nothing_expired_can_be_read(boss: Client) -> None:
    kept()
    put(-3, count=5)
    text = shown(boss.get(reverse(EVIDENCE)))
    assert "0 expired and readable" in text
    assert "nobody purges" in text
    assert "30 days usually, 90 days at most" in text
    assert "statement_timestamp() AND NOT EXISTS" in text
    list(sweep(TABLE, "default"))
    text = shown(boss.get(reverse(EVIDENCE)))
    assert "nobody purges" not in text
    assert "1 day, 5 rows" in text


def test_an_open_table_and_a_hold_are_seen_at_once(boss: Client) -> None:
    put(-3, subject="p-17")
    put(-3, subject="p-18")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY")
    text = shown(boss.get(reverse(EVIDENCE)))
    assert "2 expired and readable" in text
    assert "1 not guarded" in text
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    placed()
    assert "1 legal hold<" in shown(boss.get(reverse(EVIDENCE)))


def test_an_auditor_takes_it_along_as_json_and_csv_and_can_prove_it(boss: Client) -> None:
    kept()
    put(-3, count=5)
    list(sweep(TABLE, "default"))
    answer = boss.get(reverse(EVIDENCE), {"format": "json"})
    assert "attachment" in answer["Content-Disposition"]
    (table,) = [one for one in json.loads(answer.content)["tables"] if one["table"] == TABLE]
    assert (table["expired_and_readable"], table["rows"], table["rows_dropped"]) == (0, 1, 5)
    assert [(one["rows"], one["held"]) for one in table["purges"]] == [(5, 0)]
    with connection.cursor() as cursor:
        cursor.execute(table["proof"], None)
        assert cursor.fetchone() == (0,)
    lines = list(csv.DictReader(boss.get(reverse(EVIDENCE), {"format": "csv"}).content.decode().splitlines()))
    assert [(line["table"], line["expired_and_readable"], line["days_dropped"]) for line in lines].count(
        (TABLE, "0", "1")
    ) == 1
    assert shown(boss.get(reverse(PURGES))).count("pages_app") or Purge.objects.get().by


def test_evidence_asks_as_often_for_many_rows_as_for_few(boss: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(boss.get(reverse(EVIDENCE)))
        return len(queries)

    kept()
    few = asked()
    for _ in range(30):
        kept()
    put(-2, count=50)
    list(sweep(TABLE, "default"))
    assert asked() == few
    assert few <= 8 + 11 * ExpiringTable.objects.count()


# --- holds ----------------------------------------------------------------------------------------


def test_a_hold_is_placed_and_released_with_a_reason_and_both_are_logged(boss: Client) -> None:
    call = kept(subject="p-17")
    form = {"table": TABLE, "key": call.upper(), "subject": "", "reason": "case <b>2026/114</b>"}
    answer = boss.post(reverse(ADD), form, follow=True)
    one = LegalHold.objects.get()
    assert (one.table_name, one.key, one.actor) == (TABLE, call, "ann")
    assert "case &lt;b&gt;2026/114&lt;/b&gt;" in shown(answer)
    with pytest.raises(IntegrityError, match="under legal hold"), transaction.atomic():
        Payload.objects.filter(pk=call).delete()
    answer = boss.post(of(one, "release"), {"reason": "settled"}, follow=True)
    assert "is released" in shown(answer)
    one.refresh_from_db()
    assert (one.released_by, one.release_reason) == ("ann", "settled")
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "Placed: case <b>2026/114</b>",
        "Released: settled",
    ]
    assert shown(boss.get(reverse(HOLDS), {"state": "released"})).count("case &lt;b&gt;") == 1
    assert "case &lt;b&gt;" not in shown(boss.get(reverse(HOLDS), {"state": "in-force"}))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"table": TABLE, "key": "", "subject": ""}, "of one row (key) or of one person"),
        ({"table": TABLE, "key": "a", "subject": "b"}, "of one row (key) or of one person"),
        ({"table": "", "key": "a", "subject": ""}, "name the model"),
        ({"table": TABLE, "key": "no uuid", "subject": ""}, "is no key of"),
        ({"table": "auth_user", "key": "1", "subject": ""}, "Select a valid choice"),
        ({"table": "", "key": "", "subject": "p-17", "reason": ""}, "This field is required"),
        ({"table": "", "key": "", "subject": "p-17", "reason": "  "}, "This field is required"),
        ({"table": "", "key": "", "subject": "p\0", "reason": "r"}, "Null characters are not allowed"),
        ({"table": "", "key": "", "subject": "p" * 201, "reason": "r"}, "at most 200 characters"),
    ],
)
def test_a_hold_of_nothing_is_refused_in_words(form: dict[str, str], said: str, boss: Client) -> None:
    assert said in shown(boss.post(reverse(ADD), {"reason": "case 1"} | form))
    assert not LegalHold.objects.exists()
    assert not LogEntry.objects.exists()


def test_who_is_second_to_release_is_told(boss: Client) -> None:
    one = placed()
    release(one.pk, actor="carol", reason="settled")
    answer = boss.post(of(one, "release"), {"reason": "again"}, follow=True)
    assert "Somebody released it meanwhile" in shown(answer)
    assert LegalHold.objects.get().released_by == "carol"
    assert not LogEntry.objects.exists()


def test_who_may_what(db: None) -> None:
    one = placed()
    form = {"table": "", "key": "", "subject": "p-18", "reason": "r"}
    nobody = person()
    for url in (
        reverse(EVIDENCE),
        reverse(HOLDS),
        reverse(PURGES),
        reverse(ADD),
        of(one),
        of(one, "release"),
    ):
        assert nobody.get(url).status_code == 403, url
    assert nobody.get(reverse(EVIDENCE), {"format": "json"}).status_code == 403
    assert nobody.post(reverse(ADD), form).status_code == 403
    assert nobody.post(of(one, "release"), {"reason": "r"}).status_code == 403
    reader = person("view_expiringtable", "view_legalhold", "view_purge")
    assert reverse(HOLDS) in shown(reader.get(reverse(EVIDENCE)))
    assert "Place a legal hold" not in shown(reader.get(reverse(HOLDS)))
    assert "Release" not in shown(reader.get(of(one)))
    assert reader.post(reverse(ADD), form).status_code == 403
    assert reader.post(of(one, "release"), {"reason": "r"}).status_code == 403
    assert reader.post(of(one, "delete"), {"post": "yes"}).status_code == 403
    assert reverse(HOLDS) not in shown(person("view_expiringtable").get(reverse(EVIDENCE)))
    assert person("add_legalhold").post(reverse(ADD), form, follow=True).status_code == 200
    assert LegalHold.objects.count() == 2
    assert person("change_legalhold").post(of(one, "release"), {"reason": "r"}).status_code == 302
    assert LegalHold.objects.in_force().count() == 1
    for wrong in ("x", "0", "9" * 30):
        url = of(one).replace(f"/{one.pk}/", f"/{wrong}/")
        assert person("view_legalhold").get(url).status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1360, "light"), (1360, "dark"), (390, "light")])
def test_a_person_holds_and_releases_in_a_browser_and_no_page_is_wider_than_the_window(
    width: int, scheme: str, page: Any, live_server: Any
) -> None:
    kept()
    put(-3, count=5)
    put(-2, count=7)
    list(sweep(TABLE, "default"))
    put(-1)
    long = hold(actor="a" * 100, reason="r" * 300, subject="p" * 200)
    User.objects.create_superuser("ann", password="secret")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(live_server.url + reverse(HOLDS))
    page.fill("#id_username", "ann")
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")
    page.click("text=Place a legal hold")
    page.fill("#id_subject", "p-17")
    page.fill("#id_reason", "case 2026/114")
    look(page, f"holds-form-{scheme}-{width}")
    page.click("input[value='Place the hold']")
    look(page, f"holds-placed-{scheme}-{width}")
    page.click("text=Release …")
    page.fill("#id_reason", "settled")
    look(page, f"holds-release-{scheme}-{width}")
    page.click("input[value=Release]")
    assert page.locator(".success").count() == 1
    assert LegalHold.objects.in_force().get() == long
    for name, url in {"evidence": EVIDENCE, "holds": HOLDS, "purges": PURGES}.items():
        page.goto(live_server.url + reverse(url))
        look(page, f"{name}-{scheme}-{width}")
