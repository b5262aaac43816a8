"""Reads a labelled collection in the BEIR layout.

``corpus.jsonl`` or ``corpus.jsonl.gz`` (``_id``, ``title``, ``text``, ``metadata``), ``queries.jsonl[.gz]``
(``_id``, ``text``, ``metadata``) and ``qrels/<split>.tsv`` (``query-id``, ``corpus-id``, ``score``).

Source: Thakur et al., "BEIR", NeurIPS Datasets and Benchmarks 2021.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from benchmarks.exceptions import MalformedData

IDENTIFIER_KEYS: dict[str, tuple[str, ...]] = {
    "part_number": ("part_number", "mpn", "sku", "model_number", "article_number", "code"),
    "ean": ("ean", "gtin", "upc", "isbn", "barcode"),
    "brand": ("brand", "manufacturer"),
}
"""Field of the benchmark's ``Doc`` -> the keys of ``metadata`` whose values a shop would put there."""


@dataclass(frozen=True, slots=True)
class Document:
    key: str
    title: str
    text: str
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """``part_number``, ``ean``, ``brand`` -> values; a name without values is absent."""


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    key: str
    text: str
    kind: str | None = None
    """``metadata.kind``: the group under which ``by_kind`` reports it."""


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    documents: tuple[Document, ...]
    queries: tuple[LabelledQuery, ...]
    """Only queries with at least one document judged above 0, in file order."""
    qrels: Mapping[str, Mapping[str, int]]
    """Query key -> document key -> score."""
    warnings: tuple[str, ...] = ()


def load(
    data: Path, *, queries: Path | None = None, split: str = "test", limit: int | None = None
) -> Collection:
    """Read one split of a collection.

    Args:
        data: folder with the corpus, and with queries and qrels unless ``queries`` is given.
        queries: another folder to take ``queries.jsonl`` and ``qrels/`` from.
        split: file name in ``qrels/`` without ``.tsv``.
        limit: at most this many queries, the first in file order; None for all.

    Raises:
        MalformedData: a file is missing or a line does not follow the layout.
    """
    labelled = queries or data
    for folder in (data, labelled):
        if not folder.is_dir():
            raise MalformedData(
                f"{folder} is not a folder: give one with corpus.jsonl[.gz], queries.jsonl and qrels/"
            )
    corpus = documents(data)
    texts = _unique(_read_queries(_existing(labelled, "queries")), "query")
    qrels = read_qrels(_qrels_file(labelled, split))
    judged = tuple(q for q in texts.values() if any(score > 0 for score in qrels.get(q.key, {}).values()))
    if not judged:
        raise MalformedData(f"qrels/{split}.tsv judges no query of {labelled} above 0: nothing to measure")
    chosen = judged[:limit]
    return Collection(
        name=data.resolve().name,
        documents=corpus,
        queries=chosen,
        qrels={q.key: qrels[q.key] for q in chosen},
        warnings=tuple(_strangers(qrels, texts, {document.key for document in corpus})),
    )


def shrink(collection: Collection, *, queries: int, characters: int) -> Collection:
    """A smaller collection for ``--quick``: the first queries, what they find, then other documents.

    Args:
        queries: how many queries to keep. characters: stop adding documents beyond this many characters of
        text; documents judged above 0 for a kept
            query always stay, and a query whose documents alone exceed the budget is left out.
    """
    kept: list[LabelledQuery] = []
    wanted: set[str] = set()
    size = {d.key: len(d.title) + len(d.text) for d in collection.documents}
    spent = 0
    for query in collection.queries:
        new = {k for k, s in collection.qrels[query.key].items() if s > 0 and k in size} - wanted
        cost = sum(size[k] for k in new)
        if kept and spent + cost > characters * 0.6:
            continue
        kept.append(query)
        wanted |= new
        spent += cost
        if len(kept) == queries:
            break
    for document in collection.documents:
        if document.key not in wanted and spent + size[document.key] <= characters:
            wanted.add(document.key)
            spent += size[document.key]
    return Collection(
        name=f"{collection.name} (quick)",
        documents=tuple(d for d in collection.documents if d.key in wanted),
        queries=tuple(kept),
        qrels={
            q.key: {k: s for k, s in collection.qrels[q.key].items() if k in wanted or k not in size}
            for q in kept
        },
        warnings=collection.warnings,
    )


def documents(folder: Path) -> tuple[Document, ...]:
    """Only the corpus of a collection."""
    return tuple(_unique(_read_documents(_existing(folder, "corpus")), "document").values())


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query key -> document key -> score; the header line may be missing."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 3:
            raise MalformedData(
                f"{path.name}:{number}: {len(cells)} columns, expected query-id, corpus-id, score"
            )
        query, document, score = (cell.strip() for cell in cells)
        if number == 1 and not _is_integer(score):
            continue
        if not _is_integer(score):
            raise MalformedData(f"{path.name}:{number}: score {score!r} is not a whole number")
        judged = qrels.setdefault(query, {})
        if judged.setdefault(document, int(score)) != int(score):
            raise MalformedData(
                f"{path.name}:{number}: {query} and {document} are judged twice, with different scores"
            )
    return qrels


def _read_documents(path: Path) -> Iterator[tuple[str, Document]]:
    for where, row in _rows(path):
        yield (
            where,
            Document(
                key=_key(row, where),
                title=_text(row, "title", where, default=""),
                text=_text(row, "text", where),
                identifiers=_identifiers(_metadata(row, where), where),
            ),
        )


def _read_queries(path: Path) -> Iterator[tuple[str, LabelledQuery]]:
    for where, row in _rows(path):
        kind = _metadata(row, where).get("kind")
        yield where, LabelledQuery(_key(row, where), _text(row, "text", where), str(kind) if kind else None)


def _identifiers(metadata: Mapping[str, Any], where: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, keys in IDENTIFIER_KEYS.items():
        values = [v for key in keys for v in _as_values(metadata.get(key), key, where)]
        if values:
            found[name] = tuple(dict.fromkeys(values))
    return found


def _as_values(value: Any, key: str, where: str) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [v for item in value for v in _as_values(item, key, where)]
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return [_clean(str(value))]
    raise MalformedData(
        f"{where}: metadata.{key} is {type(value).__name__}, expected a string, a number or a list"
    )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in _lines(path):
        where = f"{path.name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise MalformedData(f"{where}: not a JSON object: {error}") from None
        if not isinstance(row, dict):
            raise MalformedData(f"{where}: a JSON {type(row).__name__}, expected an object with _id and text")
        yield where, row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank. Not ``splitlines``: texts may hold U+2028."""
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise MalformedData(f"{path.name} is not UTF-8: {error}") from None
    except (OSError, EOFError) as error:
        raise MalformedData(f"{path.name} cannot be read: {error}") from None


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _existing(folder: Path, stem: str) -> Path:
    for suffix in (".jsonl", ".jsonl.gz"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise MalformedData(f"{folder} has neither {stem}.jsonl nor {stem}.jsonl.gz")


def _qrels_file(folder: Path, split: str) -> Path:
    path = folder / "qrels" / f"{split}.tsv"
    if path.is_file():
        return path
    splits = sorted(p.stem for p in (folder / "qrels").glob("*.tsv"))
    raise MalformedData(f"{folder} has no qrels/{split}.tsv; its splits: {', '.join(splits) or 'none'}")


def _unique(rows: Iterator[tuple[str, Any]], noun: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for where, row in rows:
        if row.key in found:
            raise MalformedData(f"{where}: {noun} {row.key!r} appears twice")
        found[row.key] = row
    if not found:
        raise MalformedData(f"no {noun} at all: the file is empty")
    return found


def _strangers(
    qrels: Mapping[str, Mapping[str, int]], queries: Mapping[str, Any], known: Set[str]
) -> Iterator[str]:
    unknown_queries = qrels.keys() - queries.keys()
    if unknown_queries:
        yield f"{len(unknown_queries)} judged queries have no text and are left out"
    unknown = {k for judged in qrels.values() for k in judged if k not in known}
    if unknown:
        yield f"{len(unknown)} judged documents are not in the corpus; they count as never found"


def _key(row: Mapping[str, Any], where: str) -> str:
    value = row.get("_id")
    if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    raise MalformedData(f"{where}: _id is missing or empty")


def _text(row: Mapping[str, Any], name: str, where: str, *, default: str | None = None) -> str:
    value = row.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise MalformedData(f"{where}: {name} is {'missing' if value is None else 'not a string'}")
    return _clean(value)


def _metadata(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise MalformedData(f"{where}: metadata is not an object")
    return metadata


def _clean(text: str) -> str:
    """Postgres text cannot hold NUL; nor can UTF-8 hold a lone surrogate."""
    return text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")


def _is_integer(cell: str) -> bool:
    return cell.lstrip("-").isdigit()
