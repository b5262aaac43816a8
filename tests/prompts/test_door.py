"""Prompts as the door uses them: one call, one row that names the version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lockstep.core import features
from lockstep.llm import Feature, feature
from lockstep.llm.exceptions import CallRefused
from lockstep.llm.models import Call
from lockstep.prompts.exceptions import VariableError
from lockstep.prompts.releases import release, roll_back
from lockstep.prompts.reports import strangers
from tests.prompts.conftest import version

pytestmark = pytest.mark.django_db


@pytest.fixture
def support(settings: Any) -> Iterator[Feature]:
    providers = {"standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"}}
    settings.LOCKSTEP = {**settings.LOCKSTEP, "llm": {"providers": providers}}
    yield feature("tests.prompted", owner="ann@example.com", model="standin:quoting", prompt="support-answer")
    features.forget("tests.prompted")


def test_each_call_uses_what_is_live_and_its_row_says_so(support: Feature) -> None:
    rows = [version(text=f"{word} words help. {{question}}") for word in ("Short", "Long")]
    seen = []
    for step in (
        lambda: release("support-answer", rows[0].key, actor="ann", reason="r"),
        lambda: release("support-answer", rows[1].key, actor="ann", reason="r"),
        lambda: roll_back("support-answer", actor="bob", reason="r"),
    ):
        made = step()
        call = Call.objects.get(id=support.invoke({"question": "Which words help?"}).call)
        assert (call.prompt, call.release_id, call.arm) == ("support-answer", made.pk, "a")
        seen.append(call.prompt_version)
    assert seen == [rows[0].key, rows[1].key, rows[0].key]
    assert strangers() == []


def test_variables_that_do_not_fit_are_named_and_nothing_is_paid(support: Feature) -> None:
    release("support-answer", version().key, actor="ann", reason="r")
    with pytest.raises(VariableError, match="missing: question; not declared: query"):
        support.invoke({"query": "why?"})
    assert not Call.objects.filter(cost_micros__gt=0).exists()


def test_a_prompt_that_was_never_released_lets_no_call_out(support: Feature) -> None:
    version()
    with pytest.raises(CallRefused):
        support.invoke({"question": "why?"})
    assert Call.objects.get(feature="tests.prompted").state == Call.State.REFUSED
