"""What the page of a question shows."""

from __future__ import annotations

from typing import Any

from django.utils.safestring import SafeString

from lockstep.core.links import soft
from lockstep.core.pills import Tone, pill
from lockstep.workflows.answers import name_of, why_not
from lockstep.workflows.exceptions import Unreadable
from lockstep.workflows.models import Wait
from lockstep.workflows.reviews import shown
from lockstep.workflows.reviews.forms import AnswerForm, ReviewForm, form_of

__all__ = ["DECIDED", "context", "find", "state", "title"]

TONES: dict[str, Tone] = {"open": "warn", "answered": "good", "expired": "bad"}
DECIDED = {"approve": "approved", "edit": "approved with changes", "reject": "rejected"}
WORDS = {"review": "Review", "input": "Question", "event": "Event", "timer": "Moment"}


def find(key: Any) -> Wait | None:
    from lockstep.workflows.conf import settings

    return Wait.objects.using(settings().database).select_related("run").filter(pk=key).first()


def title(wait: Wait) -> str:
    return f"{WORDS[wait.kind]}: {shown.visible(wait.name)}" if wait.name else WORDS[wait.kind]


def state(wait: Wait) -> SafeString:
    text = DECIDED.get(wait.decision, wait.status)
    return pill(text, "bad" if wait.decision == "reject" else TONES.get(wait.status, ""))


def context(wait: Wait, user: Any, form: ReviewForm | AnswerForm | None = None) -> dict[str, Any]:
    """For ``lockstep/workflows/question.html``."""
    asked = wait.proposal if wait.kind == Wait.Kind.REVIEW else _question(wait)
    is_open = wait.status == Wait.Status.OPEN and wait.kind in (Wait.Kind.REVIEW, Wait.Kind.INPUT)
    refused = why_not(wait, user) if is_open else ""
    return {
        "wait": wait,
        "title": title(wait),
        "state": state(wait),
        "asked": shown.rows(asked) if asked is not None else [],
        "note": shown.visible(str((wait.payload or {}).get("note", ""))) if wait.kind == "review" else "",
        "form": (form or form_of(wait)) if is_open and not refused else None,
        "refused": refused,
        "unapprovable": "" if refused or not is_open else why_not(wait, user, "approve"),
        "by": name_of(wait.answered_by),
        "comment": shown.visible(wait.comment),
        "changes": shown.changed(wait.changes),
        "answer": shown.rows(wait.answer) if wait.answer is not None and wait.kind != "review" else [],
        "run_url": soft("lockstep_workflows", "run", "change", user, str(wait.run_id), verbs="view"),
    }


def _question(wait: Wait) -> Any:
    """What the graph asks, or as it is kept where this deploy does not know its types."""
    try:
        return None if wait.payload is None else wait.run.codec.decode(wait.payload)
    except Unreadable:
        return wait.payload
