"""Errors explain themselves, carry facts and survive a trip between processes."""

from __future__ import annotations

import pickle

import pytest

from lockstep.core.exceptions import LockstepError, PortError
from lockstep.search.exceptions import EmbedderTimeout, EmbedderUnavailable


def test_the_first_paragraph_of_the_docstring_is_the_default_message() -> None:
    assert str(PortError()).startswith("The port is taken. Only one app may serve it")
    assert "\n" not in str(LockstepError())


def test_facts_ride_as_attributes() -> None:
    error = EmbedderUnavailable("later", status=503, retry_after_s=2.0)
    assert (error.status, error.retry_after_s, error.retryable) == (503, 2.0, True)
    assert str(error) == "later"


def test_a_caller_who_never_heard_of_lockstep_catches_the_standard_class() -> None:
    with pytest.raises(TimeoutError):
        raise EmbedderTimeout
    with pytest.raises(ConnectionError):
        raise EmbedderUnavailable


def test_an_error_is_the_same_after_pickling() -> None:
    error = pickle.loads(pickle.dumps(EmbedderUnavailable("later", status=503)))
    assert (type(error), str(error), error.status) == (EmbedderUnavailable, "later", 503)
