"""The admin: what is live at a glance, one form to release, one reason to go back; and only for those who may."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from lockstep.prompts.diff import compare
from lockstep.prompts.exceptions import ReleaseRefused
from lockstep.prompts.files import parse
from lockstep.prompts.models import GateDecision, Prompt, PromptVersion, Release
from lockstep.prompts.releases import live, release
from tests.prompts.conftest import version

pytestmark = pytest.mark.django_db
NAME = "support-answer"
PAGES = ["change", "version", "diff", "release", "roll_back", "write"]


def url(page: str, *arguments: Any, name: str = NAME, **query: str) -> str:
    return reverse(f"admin:lockstep_prompts_prompt_{page}", args=[name, *arguments], query=query)


def place(page: str) -> str:
    first = PromptVersion.objects.filter(prompt=NAME).earliest("id")
    return url(page, *{"version": [first.key], "override": [first.key], "roll_back": [1]}.get(page, []))


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


@pytest.fixture
def two() -> list[PromptVersion]:
    rows = [version(text=text) for text in ("Be brief. {question}", "Be kind. {question}")]
    for row in rows:
        release(NAME, row.key, actor="bob", reason=f"because of {row.short}")
    return rows


def arms(*rows: tuple[str, str, Any], expected: int = 2, **values: Any) -> dict[str, Any]:
    form = {"arms-TOTAL_FORMS": len(rows) + 1, "arms-INITIAL_FORMS": 0, "expected": expected}
    form |= {"reason": "a trial", "ticket": "", f"arms-{len(rows)}-version": ""}
    for number, (name, key, weight) in enumerate(rows):
        form |= {f"arms-{number}-name": name, f"arms-{number}-version": key, f"arms-{number}-weight": weight}
    return form | values


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_each_page_opens(page: str, boss: Client, two: list[PromptVersion]) -> None:
    answer = boss.get(place(page))
    assert answer.status_code == 200
    assert two[1].short in answer.content.decode() or page == "write"


def many(count: int) -> None:
    for number in range(count):
        for prompt in (f"prompt-{number:03}", NAME):
            row = version(prompt, text=f"Text {number} {{question}}")
            release(prompt, row.key, actor="bob", reason="r")
            GateDecision.objects.create(version=row, passed=bool(number % 2), source="suite")


@pytest.mark.parametrize("page", ["changelist", *PAGES])
def test_a_page_asks_as_often_for_many_rows_as_for_few(page: str, boss: Client) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        target = reverse("admin:lockstep_prompts_prompt_changelist") if page == "changelist" else place(page)
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert boss.get(target).status_code == 200
        return len(caught)

    many(3)
    few = queries()
    many(40)
    assert queries() == few
    assert few <= 12


def test_the_list_shows_what_is_live_and_who_released_it(boss: Client, two: list[PromptVersion]) -> None:
    version("unreleased-one", text="x {question}")
    page = boss.get(reverse("admin:lockstep_prompts_prompt_changelist")).content.decode()
    assert two[1].short in page
    assert two[0].short not in page
    assert "by bob" in page
    assert "not released" in page


def test_text_of_a_prompt_is_escaped_and_variables_are_marked(boss: Client) -> None:
    row = version(text="<script>alert(1)</script> {question} {{literal}}")
    page = boss.get(url("version", row.key)).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert '<mark class="lockstep-variable">question</mark>' in page
    assert "{literal}" in page


@pytest.mark.parametrize("style", ["side", "unified"])
def test_the_comparison_marks_what_changed(style: str, boss: Client, two: list[PromptVersion]) -> None:
    page = boss.get(url("diff", a=two[0].key, b=two[1].key, style=style)).content.decode()
    assert '<span class="lockstep-word">brief</span>' in page
    assert '<span class="lockstep-word">kind</span>' in page


@pytest.mark.parametrize(
    ("page", "arguments"),
    [("version", ["f" * 64]), ("roll_back", [99]), ("diff", [])],
)
def test_what_does_not_exist_is_not_found(page: str, arguments: list[Any], boss: Client) -> None:
    Prompt.objects.create(name=NAME)
    assert boss.get(url(page, *arguments)).status_code == 404
    assert boss.get(url("change", name="no-such")).status_code == 404


def test_names_with_every_allowed_letter_have_pages(boss: Client) -> None:
    name = "a_b.c-d9"
    row = version(name, text="x {question}")
    release(name, row.key, actor="bob", reason="r")
    listing = boss.get(reverse("admin:lockstep_prompts_prompt_changelist")).content.decode()
    target = listing.split('<th class="field-name">')[1].split('href="')[1].split('"')[0]
    page = boss.get(target).content.decode()
    for link in [part.split('"')[0] for part in page.split('href="/admin/lockstep_prompts/prompt/')[1:]]:
        assert boss.get(f"/admin/lockstep_prompts/prompt/{link.replace('&amp;', '&')}").status_code == 200


# --- releases -------------------------------------------------------------------------------------


def test_the_form_offers_what_is_live_and_releases_what_is_sent(
    boss: Client, two: list[PromptVersion]
) -> None:
    page = boss.get(url("release", version=two[0].key)).content.decode()
    for row in two:
        assert f'value="{row.key}" selected' in page
    answer = boss.post(url("release"), arms(("a", two[1].key, 90), ("b", two[0].key, 10), ticket="T-1"))
    assert answer.status_code == 302
    made = live(NAME)
    assert made is not None
    assert [(arm.name, arm.version, arm.weight) for arm in made.split] == [
        ("a", two[1].key, 90),
        ("b", two[0].key, 10),
    ]
    assert (made.number, made.actor, made.reason, made.ticket) == (3, "ann", "a trial", "T-1")
    assert "Release 3 is live" in boss.get(answer["Location"]).content.decode()
    assert "Release 3 is live" in boss.get(url("history")).content.decode()


def test_the_form_names_what_is_live_however_old_it_is(
    boss: Client, two: list[PromptVersion], monkeypatch: Any
) -> None:
    monkeypatch.setattr("lockstep.prompts.admin.OFFERED", 1)
    release(NAME, two[0].key, actor="bob", reason="the older one")
    page = boss.get(url("release")).content.decode()
    assert f'value="{two[0].key}" selected' in page
    answer = boss.post(url("release"), arms(("a", two[0].key, 90), ("b", two[1].key, 10), expected=3))
    assert answer.status_code == 302


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": " "}, "This field is required"),
        ({"arms-0-weight": "0"}, "greater than or equal to 1"),
        ({"arms-0-weight": "-4"}, "greater than or equal to 1"),
        ({"arms-0-weight": ""}, "Needed for an arm"),
        ({"arms-0-name": ""}, "Needed for an arm"),
        ({"arms-0-name": "Ä !"}, "is no name of an arm"),
        ({"arms-0-version": "f" * 64}, "Select a valid choice"),
        ({"arms-0-version": ""}, "at least one arm"),
        ({"expected": "1"}, "Somebody released meanwhile"),
    ],
)
def test_a_wrong_form_comes_back_with_the_reason(
    change: dict[str, str], said: str, boss: Client, two: list[PromptVersion]
) -> None:
    answer = boss.post(url("release"), arms(("a", two[0].key, 100)) | change)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Release.objects.count() == 2


def test_other_variables_are_released_only_when_somebody_says_that_the_code_passes_them(
    boss: Client, two: list[PromptVersion]
) -> None:
    odd = version(text="{question} {tone}", variables=("question", "tone"))
    answer = boss.post(url("release"), arms(("a", odd.key, 100)))
    assert "differ in the variables: tone" in answer.content.decode()
    assert boss.post(url("release"), arms(("a", odd.key, 100), other_variables="on")).status_code == 302


def test_a_roll_back_takes_one_reason(boss: Client, two: list[PromptVersion]) -> None:
    assert "This field is required" in boss.post(url("roll_back", 1), {"reason": ""}).content.decode()
    assert Release.objects.count() == 2
    assert boss.post(url("roll_back", 1), {"reason": "worse answers", "expected": 2}).status_code == 302
    made = live(NAME)
    assert made is not None
    assert (made.number, made.actor, made.reason) == (3, "ann", "worse answers")
    assert made.split[0].version == two[0].key


def test_a_roll_back_decided_on_another_release_is_refused(boss: Client, two: list[PromptVersion]) -> None:
    answer = boss.post(url("roll_back", 1), {"reason": "worse answers", "expected": 1})
    assert "Somebody released meanwhile" in answer.content.decode()
    assert Release.objects.count() == 2


def test_what_is_expected_is_looked_at_under_the_lock(two: list[PromptVersion]) -> None:
    """A release between the look of the form and its row would be lost without a word."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as caught:
        release(NAME, two[0].key, actor="ann", reason="r", expected=2)
    said = [query["sql"] for query in caught]
    locked = next(place for place, sql in enumerate(said) if "FOR NO KEY UPDATE" in sql)
    looked = [place for place, sql in enumerate(said) if "SELECT" in sql and "prompts_release" in sql]
    assert looked
    assert locked < looked[0]
    with pytest.raises(ReleaseRefused, match="Somebody released meanwhile"):
        release(NAME, two[1].key, actor="bob", reason="r", expected=2)


def test_a_gated_prompt_needs_a_verdict_or_a_second_person(boss: Client, two: list[PromptVersion]) -> None:
    row = version(text="Unjudged {question}")
    assert boss.post(url("policy"), {"release_policy": "gated"}).status_code == 302
    assert "Release policy: open before, gated now." in boss.get(url("history")).content.decode()
    assert "has no decision" in boss.post(url("release"), arms(("a", row.key, 1))).content.decode()
    other = person("view_prompt", "override_gate", name="dora")
    other.post(url("override", row.key), {"reason": ""})
    assert not GateDecision.objects.exists()
    other.post(url("override", row.key), {"reason": "the suite is down"})
    assert boss.post(url("release"), arms(("a", row.key, 1))).status_code == 302
    made = live(NAME)
    assert made is not None
    assert (made.override_by, made.override_reason) == ("dora", "the suite is down")
    page = boss.get(url("change")).content.decode()
    assert "Gate overridden by dora" in page


# --- versions -------------------------------------------------------------------------------------


def test_a_version_written_in_the_admin_remembers_its_parent_and_author(
    boss: Client, two: list[PromptVersion]
) -> None:
    page = boss.get(url("write", **{"from": two[0].key}))
    text = page.context["form"].initial["text"]
    assert parse(text).key == two[0].key
    answer = boss.post(
        url("write", **{"from": two[0].key}), {"text": text.replace("brief", "short"), "note": "shorter"}
    )
    made = PromptVersion.objects.latest("id")
    assert answer["Location"] == url("version", made.key)
    assert (made.parent, made.author, made.source, made.note) == (two[0], "ann", "admin", "shorter")
    assert made.content.messages[0].text == "Be short. {question}"
    assert live(NAME).number == 2  # type: ignore[union-attr]
    refused = boss.post(url("write"), {"text": "# user\n{question.__class__}"})
    assert "is no variable" in refused.content.decode()


def test_a_new_prompt_begins_with_its_first_version(boss: Client) -> None:
    target = reverse("admin:lockstep_prompts_prompt_add")
    assert boss.get(target).status_code == 200
    assert "Lower-case" in boss.post(target, {"name": "A b", "text": "# user\nhi"}).content.decode()
    assert boss.post(target, {"name": "new-one", "text": "# user\r\nhi"}).status_code == 302
    assert PromptVersion.objects.get().content.messages[0].text == "hi"


# --- who may --------------------------------------------------------------------------------------


def test_who_may_only_look_sees_everything_and_changes_nothing(two: list[PromptVersion]) -> None:
    client = person("view_prompt")
    for page in ("change", "version", "diff"):
        answer = client.get(place(page))
        assert answer.status_code == 200
        text = answer.content.decode()
        assert "/release/" not in text
        assert "/roll-back/" not in text
        assert "/write/" not in text
    for page in ("release", "roll_back", "write"):
        assert client.get(place(page)).status_code == 403
        assert client.post(place(page), {"reason": "r"}).status_code == 403
    assert client.post(place("override"), {"reason": "r"}).status_code == 403
    assert client.post(url("policy"), {"release_policy": "gated"}).status_code == 403
    assert Release.objects.count() == 2


def test_who_may_not_look_sees_nothing(two: list[PromptVersion]) -> None:
    client = person("release_prompt", "override_gate", "add_promptversion")
    for page in [*PAGES, "override"]:
        assert client.get(place(page)).status_code == 403


def test_the_right_to_release_is_not_the_right_to_write(two: list[PromptVersion]) -> None:
    client = person("view_prompt", "release_prompt")
    assert client.get(place("release")).status_code == 200
    assert client.get(place("write")).status_code == 403
    assert client.get(reverse("admin:lockstep_prompts_prompt_add")).status_code == 403


def test_nothing_is_deleted_in_the_admin(boss: Client, two: list[PromptVersion]) -> None:
    assert boss.post(url("delete"), {"post": "yes"}).status_code == 403
    assert Prompt.objects.exists()


# --- comparison -----------------------------------------------------------------------------------


def test_long_stretches_without_a_change_are_folded() -> None:
    old = [f"line {number}" for number in range(100)]
    new = [*old[:50], "other", *old[51:]]
    rows = compare("\n".join(old), "\n".join(new))
    assert [row.kind for row in rows] == ["skipped", *["same"] * 3, "changed", *["same"] * 3, "skipped"]
    assert (rows[0].skipped, rows[-1].skipped) == (47, 46)
    assert len(compare("\n".join(old), "\n".join(new), whole=True)) == 100


def test_repeated_words_and_lines_cost_no_minutes() -> None:
    began = time.perf_counter()
    compare("a b c d\n" * 900, "d c b a\n" * 900)
    compare(("a b c d " * 240 + "\n") * 400, ("b d a c " * 240 + "\n") * 400)
    compare("a\nb\nc\nd\n" * 499, "d\nc\nb\na\n" * 499)
    assert time.perf_counter() - began < 20


def test_lines_that_come_and_go_stand_alone() -> None:
    assert [
        (row.kind, row.old and row.old.number, row.new and row.new.number) for row in compare("a\nb", "b\nc")
    ] == [
        ("removed", 1, None),
        ("same", 2, 1),
        ("added", None, 2),
    ]
    assert compare("", "") == []


# --- in a browser ---------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_person_releases_and_rolls_back_in_a_browser(live_server: Any, page: Any) -> None:
    rows = [version(text=text) for text in ("Be brief. {question}", "Be kind. {question}")]
    release(NAME, rows[0].key, actor="bob", reason="first")
    User.objects.create_superuser("ann", password="secret")
    page.goto(live_server.url + url("change"))
    page.fill("#id_username", "ann")
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")
    page.click("text=New release")
    page.get_by_label("Version", exact=True).first.select_option(rows[1].key)
    page.fill("textarea[name=reason]", "kinder")
    page.click("input[value=Release]")
    assert live(NAME).split[0].version == rows[1].key  # type: ignore[union-attr]
    page.click("text=Roll back to release 1")
    page.fill("textarea[name=reason]", "too kind")
    page.click("input[value='Roll back']")
    assert page.locator(".success").count() == 1
    assert live(NAME).split[0].version == rows[0].key  # type: ignore[union-attr]
