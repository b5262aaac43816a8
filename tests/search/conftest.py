"""Fixtures of the writing half."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lockstep.core import ports
from lockstep.search.embedders import get_embedder
from lockstep.search.vectors import memory
from tests.committed import transactional_db
from tests.testapp.embedders import Counting

__all__ = ["transactional_db"]

EMBEDDER = "tests.testapp.embedders.Counting"


@pytest.fixture(autouse=True)
def search_alone() -> Iterator[None]:
    """Without the ledger of ``lockstep.llm``: tests/llm sees the two together."""
    with ports.metering.override(ports.NoMetering()):
        yield


def with_embedder(**options: Any) -> dict[str, Any]:
    """``LOCKSTEP`` with an embedder that counts; ``search`` may hold other keys of the section."""
    search = options.pop("search", {})
    backend = {"BACKEND": EMBEDDER, "OPTIONS": {"dimensions": 64, **options}}
    return {"search": {"embedders": {"default": backend}, **search}}


@pytest.fixture
def embed_with(settings: Any) -> Callable[..., Counting]:
    """Change the options of the embedder: ``embed_with(delay_s=1)``."""

    def change(**options: Any) -> Counting:
        settings.LOCKSTEP = with_embedder(**options)
        embedder = get_embedder()
        assert isinstance(embedder, Counting)
        return embedder

    return change


@pytest.fixture
def embedder(embed_with: Callable[..., Counting]) -> Iterator[Counting]:
    """The embedder that counts, with nothing remembered from other tests."""
    yield embed_with()
    memory.clear()
