from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from demo.shop import questions
from demo.shop.models import Question

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def test_the_usual_way_misses_twelve_of_forty_and_this_one_two_at_most():
    answers = questions.ask_all()
    assert len(answers) == 40
    assert sum(not answer.usually_found for answer in answers) >= 12
    assert [answer.text for answer in answers if not answer.found][2:] == []


def test_every_part_number_is_found_first_however_it_is_typed():
    kinds = ("exact_code", "no_separators", "spaced", "ean")
    answers = [answer for answer in questions.ask_all() if answer.kind in kinds]
    assert {answer.text: answer.place for answer in answers} == {answer.text: 1 for answer in answers}


def test_check_demo_prints_a_line_for_each_question_and_the_totals():
    out = StringIO()
    call_command("check_demo", stdout=out)
    lines = out.getvalue().splitlines()
    assert sum(" XR-2000A " in line for line in lines) == 1
    assert lines[-1].startswith("Of 40 questions, the usual way of search misses")


def test_check_demo_visits_the_running_site(site):
    out = StringIO()
    call_command("check_demo", site, stdout=out)
    assert "answers stand on the pages of" in out.getvalue()


def test_check_demo_fails_when_search_is_worse_than_promised(monkeypatch):
    monkeypatch.setattr("demo.shop.management.commands.check_demo.MOST_MISSED", -1)
    with pytest.raises(CommandError, match="Missed"):
        call_command("check_demo", stdout=StringIO())


def test_the_places_that_pages_show_are_those_that_were_measured():
    stored = {question.text: (question.place, question.usual_place) for question in Question.objects.all()}
    assert stored == {answer.text: (answer.place, answer.usual_place) for answer in questions.ask_all()}
