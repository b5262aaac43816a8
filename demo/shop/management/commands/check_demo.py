from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from demo.shop import questions
from demo.shop.models import FOUND
from demo.shop.personas import PERSONAS
from demo.shop.questions import Answered
from demo.shop.visits import Visitor

MOST_MISSED = 2
LEAST_USUALLY_MISSED = 12
"""Out of the 40 committed questions."""


class Command(BaseCommand):
    help = (
        "Ask the committed questions of the usual way of search and of this one; fail unless this one puts the"
        " expected record among the first three, all but twice. With URL, visit the running site's pages too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "url", nargs="?", help="Address of the running shop, such as http://127.0.0.1:8000/"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        answers = questions.ask_all()
        self.table(answers)
        missed = [answer for answer in answers if not answer.found]
        usually_missed = [answer for answer in answers if not answer.usually_found]
        self.stdout.write(
            f"\nOf {len(answers)} questions, the usual way of search misses {len(usually_missed)},"
            f" this one {len(missed)}."
        )
        if len(missed) > MOST_MISSED:
            raise CommandError(f"Missed {len(missed)} questions; {MOST_MISSED} are the most.")
        if len(usually_missed) < LEAST_USUALLY_MISSED:
            raise CommandError(
                f"The usual way misses only {len(usually_missed)}: the questions prove little."
            )
        if options["url"]:
            self.visit(options["url"], [answer for answer in answers if answer.found])

    def table(self, answers: Sequence[Answered]) -> None:
        self.stdout.write(f"{'asked':<58}  {'expected':<34}  {'usual':>5}  {'here':>4}")
        for answer in answers:
            self.stdout.write(
                f"{shortened(answer.text, 58):<58}  {shortened(answer.expects, 34):<34}"
                f"  {place(answer.usual_place):>5}  {place(answer.place):>4}"
            )

    def visit(self, url: str, answers: Sequence[Answered]) -> None:
        """The running site shows what the table says, and nothing of the staff's to a customer."""
        visitors = {name: Visitor(url, name) for name in PERSONAS}
        visitors["alice"].page("questions/")
        for answer in answers:
            visitor = visitors[answer.asked_by]
            shown = visitor.keys(answer.text).get(answer.shelf.name, [])
            if answer.expects not in shown[:FOUND]:
                raise CommandError(
                    f"{answer.text!r} on the page: {answer.expects} is not among {shown[:FOUND]}."
                )
            record = answer.shelf.model.objects.get(**{answer.shelf.key: answer.expects})
            visitor.page(record.get_absolute_url())
            if answer.kind in questions.STAFF_ONLY and str(record) in visitors["alice"].page(
                "", q=answer.text
            ):
                raise CommandError(f"{answer.text!r}: Alice is shown {record}, which is for staff only.")
        self.stdout.write(
            f"{len(answers)} answers stand on the pages of {url}, each among the first {FOUND}."
        )


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def place(number: int | None) -> str:
    return "-" if number is None else str(number)
