"""What a POST to the page of a question does, wherever the page stands."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import QueryDict

from lockstep.workflows.answers import answer, answer_input, why_not
from lockstep.workflows.changes import changes
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import InvalidAnswer, MayNotAnswer, StateTooLarge
from lockstep.workflows.models import Wait
from lockstep.workflows.reviews.forms import AnswerForm, ReviewForm, form_of

__all__ = ["decided"]

UNSAVED = "You changed something: choose 'Approve with changes', or undo it."


def decided(wait: Wait, data: QueryDict, user: Any) -> Wait | ReviewForm | AnswerForm:
    """The question as it is answered now, or the form, which says what is wrong.

    Raises:
        MayNotAnswer, NotAnswerable: as ``answers.answer`` does.
    """
    if reason := why_not(wait, user):
        raise MayNotAnswer(reason)
    form = form_of(wait, data)
    decision: Any = next((name for name in ("approve", "edit", "reject") if name in data), "")
    if isinstance(form, ReviewForm) and decision == "reject":
        form = form_of(wait, data, changes=False)  # whatever was written there
    if not form.is_valid():
        return form
    if isinstance(form, ReviewForm) and not decision:
        form.add_error(None, "Approve or reject.")
        return form
    if isinstance(form, ReviewForm) and decision == "approve" and changes(form.proposal, form.made):
        form.add_error(None, UNSAVED)
        return form
    try:
        with transaction.atomic(using=settings().database):
            return _answer(wait, form, decision, user)
    except (InvalidAnswer, StateTooLarge) as error:
        form.blame(getattr(error, "problems", []), str(error))
        return form


def _answer(wait: Wait, form: ReviewForm | AnswerForm, decision: Any, user: Any) -> Wait:
    digest = form.cleaned_data["digest"]
    if isinstance(form, AnswerForm):
        return answer_input(wait, form.cleaned_data["value"], by=user, digest=digest)
    return answer(
        wait,
        decision,
        by=user,
        args=form.made if decision == "edit" else None,
        comment=form.cleaned_data["comment"],
        digest=digest,
    )
