from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lockstep.prompts import port
from lockstep.prompts.body import Body, Message
from lockstep.prompts.models import PromptVersion


@pytest.fixture(autouse=True)
def no_memory_of_another_database() -> Iterator[None]:
    yield
    port.forget()


def body(text: str = "Answer: {question}", **facts: Any) -> Body:
    facts.setdefault("variables", ("question",))
    return Body(messages=(Message("user", text),), **facts)


def version(prompt: str = "support-answer", text: str = "Answer: {question}", **facts: Any) -> PromptVersion:
    return PromptVersion.objects.add(prompt, body(text, **facts))[0]
