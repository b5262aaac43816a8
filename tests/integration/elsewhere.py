"""What runs in a process of its own, on a database that was restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.search.workers import set_up

__all__ = ["answer", "go_on"]


def answer(asked: list[str], file: Path) -> None:
    """Write what each question finds: keys and scores of ten articles and ten notes."""
    set_up({})
    from tests.testapp.models import Article, Note

    def ten(query: str) -> list[Any]:
        hits = [hit for model in (Article, Note) for hit in model.objects.hybrid_search(query, top_n=10)]
        assert not any(hit.search_detail["degraded"] for hit in hits)
        return [[str(hit.pk), hit.search_score] for hit in hits]

    file.write_text(json.dumps([ten(query) for query in asked]))


def go_on(articles: int) -> None:
    """Write in every way; the records that waited when the dump was made are embedded now."""
    set_up({})
    from django.core.management import call_command

    from tests.search.oracle import in_step
    from tests.testapp.models import Article, Note

    call_command("lockstep_reembed", "testapp.Note", verbosity=0)
    Article.objects.create(title="new", sku="NEW-1")
    Article.objects.filter(sku="XR-0003").update(body="changed")
    Article.objects.filter(sku="XR-0004").delete()
    assert in_step(Article, Note)
    assert Article.objects.count() == articles
