"""The ``search`` section of ``LOCKSTEP``."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from lockstep.core.checks import check_settings
from lockstep.search.conf import SearchSettings
from lockstep.search.conf import settings as search_settings
from lockstep.search.embedders import get_embedder
from lockstep.search.vectors import memory
from tests.search.conftest import with_embedder


def test_an_empty_section_takes_the_defaults(settings: Any) -> None:
    settings.LOCKSTEP = {"search": {}}
    found = search_settings()
    assert found == SearchSettings()
    assert found.embedders["default"]["BACKEND"].endswith("minilm.MiniLM")


BAD: dict[str, dict[str, Any]] = {
    "embedders must be a dict": {"embedders": ["minilm"]},
    "embedders['default'] must be": {"embedders": {"default": "minilm"}},
    "config must be the name": {"config": None},
    "atomic_timeout_s must be a positive": {"atomic_timeout_s": 0},
    "write_timeout_s must be a positive": {"write_timeout_s": "5"},
    "batch_size must be a whole": {"batch_size": 2.5},
    "max_chunks must be a whole": {"max_chunks": 0},
    "vector_memory must be a whole": {"vector_memory": "many"},
    "Did you mean 'batch_size'": {"batchsize": 3},
}


@pytest.mark.parametrize("text", BAD)
def test_a_value_that_cannot_be_used_is_named_by_the_check_and_on_use(text: str, settings: Any) -> None:
    settings.LOCKSTEP = {"search": BAD[text]}
    with pytest.raises(ImproperlyConfigured) as caught:
        search_settings()
    assert text in str(caught.value)
    (message,) = check_settings()
    assert text in f"{message.msg} {message.hint}"


def test_an_override_is_obeyed_at_once_and_forgets_embedders_and_vectors(settings: Any) -> None:
    settings.LOCKSTEP = with_embedder(search={"batch_size": 7})
    first = get_embedder()
    memory.put("space", {})
    assert search_settings().batch_size == 7
    settings.LOCKSTEP = with_embedder(dimensions=32)
    assert search_settings().batch_size == 64
    assert get_embedder() is not first
    assert get_embedder().dimensions == 32
