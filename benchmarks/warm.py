"""``python -m benchmarks.warm DIR ...``: embed BEIR collections into the cache ahead of time; may be stopped.

Takes queries, then chunks, then whole texts (for the naive table), with the default embedder. Needs no
database.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import beir
from benchmarks.exceptions import MalformedData
from benchmarks.loading import batches, progress
from benchmarks.paths import called_from
from benchmarks.texts import rendered
from benchmarks.vectors import CachedEmbedder

BATCH = 64


def main(folders: list[Path]) -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure()
        django.setup()
    embedder = CachedEmbedder(inner="lockstep.search.embedders.minilm.MiniLM", options={"threads": 1})
    for kind in (queries, chunks, whole_texts):
        for folder in folders:
            embed(embedder, kind(folder, embedder), f"{folder.name}, {kind.__name__.replace('_', ' ')}")


def embed(embedder: CachedEmbedder, texts: Iterable[str], noun: str) -> None:
    missing = sorted({text for text in texts if text not in embedder.store}, key=len)
    for some in batches(progress(missing, len(missing), noun), BATCH):
        embedder.embed_documents(some)


def queries(folder: Path, _: CachedEmbedder) -> Iterator[str]:
    for path in sorted((folder / "qrels").glob("*.tsv")):
        try:
            yield from (query.text for query in beir.load(folder, split=path.stem).queries)
        except MalformedData:
            continue  # a split that judges nothing above 0


def chunks(folder: Path, embedder: CachedEmbedder) -> Iterator[str]:
    from lockstep.search.chunking import chunk

    for text in whole_texts(folder, embedder):
        yield from (text[part.start : part.end] for part in chunk(text, embedder=embedder))


def whole_texts(folder: Path, _: CachedEmbedder) -> Iterator[str]:
    return filter(None, (rendered(document.title, document.text) for document in beir.documents(folder)))


if __name__ == "__main__":
    main([called_from(name) for name in sys.argv[1:]])
