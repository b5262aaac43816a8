"""The committed questions: which record should answer each, and where both searches put it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from demo.shop import content, usual_way
from demo.shop.models import GROUPS, Question, is_found
from demo.shop.shelves import SHELVES, Shelf

DEPTH = 10
"""How far down its place is looked for."""

PER_GROUP = 4
"""Examples of each group on the search page."""

STAFF_ONLY = ("staff", "hidden")
"""Kinds of which a customer learns nothing, not even that the question exists."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Where the record that answers a question came in each search; None below the tenth place."""

    text: str
    shelf: Shelf
    expects: str
    kind: str
    asked_by: str
    place: int | None
    usual_place: int | None

    @property
    def found(self) -> bool:
        return is_found(self.place)

    @property
    def usually_found(self) -> bool:
        return is_found(self.usual_place)


def ask_all() -> list[Answered]:
    """Put each committed question to both searches, as the person who asks it."""
    return [ask(row) for row in content.questions()]


def ask(row: dict[str, str]) -> Answered:
    shelf = SHELVES[row["shelf"]]
    visible = shelf.model.objects.visible_to(_person(row["as"]))
    return Answered(
        text=row["question"],
        shelf=shelf,
        expects=row["expects"],
        kind=row["kind"],
        asked_by=row["as"],
        place=shelf.place_of(row["expects"], visible.find(row["question"], top_n=DEPTH)),
        usual_place=shelf.place_of(row["expects"], usual_way.search(visible, row["question"], top_n=DEPTH)),
    )


def _person(name: str) -> Any:
    return get_user_model().objects.get(username=name)


def visible_questions(user: Any) -> QuerySet[Question]:
    """The questions that this person may read."""
    return Question.objects.all() if user.is_staff else Question.objects.exclude(kind__in=STAFF_ONLY)


def grouped(user: Any) -> dict[str, list[Question]]:
    """The questions that this person may read, by group."""
    asked = list(visible_questions(user).order_by("pk"))
    groups = {
        title: [question for question in asked if question.kind in kinds] for title, kinds in GROUPS.items()
    }
    return {title: found for title, found in groups.items() if found}


def examples_for(user: Any) -> dict[str, list[Question]]:
    """A few questions of each group, those first that the usual way gets wrong."""
    return {
        title: sorted(asked, key=lambda question: question.is_usually_found)[:PER_GROUP]
        for title, asked in grouped(user).items()
    }
