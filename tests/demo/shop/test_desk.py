"""The support desk: an answer from passages that this person may see, and the row that it made."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from demo.shop import answering
from demo.shop.models import Article
from lockstep.llm.models import Call
from lockstep.prompts.models import Release
from lockstep.testing.llm import ProviderFailure, assert_calls, fake_models

pytestmark = pytest.mark.django_db
QUESTION = "The glass of my wood burner goes black, why?"


def ask(client, question=QUESTION):
    return client.post(reverse("answer"), {"q": question})


def test_an_answer_cites_the_passages_it_was_given_and_shows_its_row(client):
    page = ask(client).content.decode()
    row = Call.objects.get()
    assert 'href="#passage-1"' in page
    assert "Stand-in, no model" in page
    assert str(row.pk) in page
    assert (row.feature, row.outcome, row.cost_micros) == ("support.answer", "ok", 0)
    assert len(row.prompt_version) == 64
    assert row.prompt_version[:12] in page
    assert row.user_key


def test_what_a_customer_may_not_see_is_no_passage(client, as_bob, alice, bob):
    hidden = Article.objects.exclude(audience="public").first()
    for user, found in ((bob, True), (alice, False)):
        passages = answering.found(hidden.title, user)
        assert (hidden in [passage.article for passage in passages]) is found


def test_a_citation_of_no_passage_is_called_out(client):
    with fake_models("It is soot [1], or witchcraft [9]."):
        page = ask(client).content.decode()
    assert "The answer cites 9" in page
    assert 'href="#passage-1"' in page
    assert 'href="#passage-9"' not in page


def test_an_answer_brings_no_markup_of_its_own(client):
    with fake_models("<script>alert(1)</script> [1]"):
        page = ask(client).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_a_provider_that_fails_is_said_and_recorded(client):
    with fake_models(ProviderFailure(400)):
        page = ask(client).content.decode()
    assert "refuses the request" in page
    assert_calls(1, outcome="error", error_type="400")


def test_the_question_reaches_the_model_with_the_passages_and_nobody_elses_ledger(client):
    with fake_models("So.") as models:
        ask(client)
    assert QUESTION in models.requests[0].messages[-1].text
    assert "[1] " in models.requests[0].messages[0].text
    assert QUESTION not in str(Call.objects.values().get())


@pytest.mark.parametrize("question", ["", " ", "x" * 501])
def test_no_question_is_no_call(client, question):
    assert ask(client, question).status_code == 400
    assert not Call.objects.exists()


def test_loading_twice_releases_once():
    before = Release.objects.count()
    call_command("load_shop", verbosity=0)
    assert Release.objects.count() == before


def test_a_spent_budget_is_said_and_recorded(client):
    call_command(
        "lockstep_budgets", "set", "support.answer", "0", "--tokens", "--period", "day", stdout=StringIO()
    )
    page = ask(client).content.decode()
    assert "support.answer, 0 tokens a day" in page
    assert_calls(1, state="refused", error_type="budget_exhausted")
