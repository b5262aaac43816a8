"""What tests of runs share."""

from __future__ import annotations

import pytest

from lockstep.workflows import flushing, saver


@pytest.fixture
def in_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker whose nodes are quick: what tasks write is committed with the state that comes of it."""
    monkeypatch.setattr(saver, "under_test_runner", lambda: False)
    monkeypatch.setattr(flushing, "soon", lambda flush: None)
