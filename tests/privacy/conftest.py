"""A feature with known people, and what every test of redaction asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lockstep.core import features
from lockstep.privacy import declared
from lockstep.privacy.redaction import redact

FEATURE = "surgery.answer"


@pytest.fixture
def feature() -> Iterator[str]:
    """Declared for internal data, so that its content is redacted and kept."""
    features.declare(FEATURE, owner="ann@example.org")
    yield FEATURE
    features.forget(FEATURE)
    declared.forget(FEATURE)


@pytest.fixture
def kept(feature: str) -> Callable[..., str]:
    """The text that may be kept of a content."""

    def kept(content: Any, **how: Any) -> str:
        copy = redact(feature, content, **how)
        assert copy is not None
        return copy.text

    return kept
