"""The support desk: passages are found, a model answers from them, and its citations are checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from demo.shop.excerpts import plain
from demo.shop.features import answers
from demo.shop.models import Article
from lockstep.core.exceptions import LockstepError
from lockstep.llm.models import Call
from lockstep.llm.providers.standin import LABEL

PASSAGES = 4
LENGTH = 1_200
"""Characters of one passage at most."""
CITATION = re.compile(r"\[(\d{1,2})\]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a help article, and the number by which an answer names it."""

    number: int
    article: Article
    text: str
    cited: bool = False

    @property
    def shown(self) -> str:
        return plain(self.text)

    def prompt_text(self) -> str:
        """How the prompt shows it; lists of passages are numbered there."""
        return f"{self.article.title}: {self.text}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page shows."""

    question: str
    text: SafeString
    passages: Sequence[Passage]
    call: Call | None
    unknown: Sequence[int] = ()
    """Numbers that the answer names and no passage has."""
    problem: str = ""

    @property
    def is_standin(self) -> bool:
        return self.call is not None and self.call.provider == "standin"

    @property
    def version_url(self) -> str:
        """Page of the prompt's version in the admin."""
        try:
            return reverse("admin:lockstep_prompts_prompt_changelist") if self.call else ""
        except NoReverseMatch:
            return ""


def answer(question: str, user: Any) -> Answer:
    """Ask the door. What this person may not see is not among the passages, so no answer can repeat it."""
    passages = found(question, user)
    try:
        reply = answers.invoke({"passages": passages, "question": question}, user=user)
    except LockstepError as error:
        call = Call.objects.filter(pk=getattr(error, "call", None) or None).first()
        return Answer(question, mark_safe(""), passages, call, problem=str(error))
    cited = {int(number) for number in CITATION.findall(reply.text)}
    known = {passage.number for passage in passages}
    return Answer(
        question,
        linked(reply.text.removeprefix(LABEL).strip(), known),
        [Passage(one.number, one.article, one.text, one.number in cited) for one in passages],
        Call.objects.get(pk=reply.call),
        sorted(cited - known),
    )


def found(question: str, user: Any) -> list[Passage]:
    """The passages that answer best, among those that this person may see."""
    hits = Article.objects.visible_to(user).find(question, top_n=PASSAGES)
    return [Passage(number, hit, passage_of(hit)) for number, hit in enumerate(hits, 1)]


def passage_of(hit: Any) -> str:
    """The chunk whose meaning is nearest, or the beginning of the article."""
    why = hit.explain()
    text = (why.passage or hit.body).removeprefix(hit.title).strip()
    return text[:LENGTH]


def linked(text: str, known: set[int]) -> SafeString:
    """The answer as HTML: each citation leads to its passage."""

    def link(match: re.Match[str]) -> str:
        number = int(match[1])
        return f'<a class="cite" href="#passage-{number}">[{number}]</a>' if number in known else match[0]

    return mark_safe(CITATION.sub(link, str(escape(text))))  # noqa: S308 -- escaped before


def model_in_use() -> str:
    return str(settings.DEMO_MODEL)
