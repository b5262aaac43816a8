import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import beir
from benchmarks.exceptions import MalformedData

Write = Callable[..., Path]

CORPUS = [
    {"_id": "d1", "title": "Kettle", "text": "Boils water."},
    {
        "_id": "d2",
        "title": "",
        "text": "A lamp",
        "metadata": {"part_number": "XR-2000A", "ean": ["501", 502]},
    },
    {
        "_id": "d3",
        "title": None,
        "text": "",
        "metadata": {"brand": "Kestra", "sku": "K3", "attributes": {"w": 1}},
    },
]
QUERIES = [
    {"_id": "q1", "text": "boiling", "metadata": {"kind": "paraphrase"}},
    {"_id": "q2", "text": "xr2000a"},
    {"_id": "q3", "text": "netflix"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t0\nq2\td2\t1\nq3\td1\t0\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a collection into a folder; any part may be replaced by other rows or by raw text."""

    def collection(
        corpus: Any = CORPUS,
        queries: Any = QUERIES,
        qrels: Mapping[str, str] | None = None,
        name: str = "set",
    ) -> Path:
        folder = tmp_path / name
        (folder / "qrels").mkdir(parents=True)
        for stem, rows in (("corpus", corpus), ("queries", queries)):
            text = rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows)
            (folder / f"{stem}.jsonl").write_text(text, encoding="utf-8")
        for split, text in (qrels or {"test": QRELS}).items():
            (folder / "qrels" / f"{split}.tsv").write_text(text)
        return folder

    return collection


def test_documents_queries_and_judgements_are_read(write: Write) -> None:
    found = beir.load(write())
    assert [d.key for d in found.documents] == ["d1", "d2", "d3"]
    assert found.documents[2].title == ""
    assert found.qrels["q1"] == {"d1": 2, "d3": 0}
    assert found.queries[0].kind == "paraphrase"
    assert found.queries[1].kind is None


def test_queries_without_a_positive_document_are_left_out(write: Write) -> None:
    assert [q.key for q in beir.load(write()).queries] == ["q1", "q2"]


def test_metadata_gives_identifiers_of_any_shape(write: Write) -> None:
    _, lamp, torch = beir.load(write()).documents
    assert lamp.identifiers == {"part_number": ("XR-2000A",), "ean": ("501", "502")}
    assert torch.identifiers == {"part_number": ("K3",), "brand": ("Kestra",)}


def test_a_compressed_corpus_is_read(write: Write) -> None:
    folder = write()
    plain = folder / "corpus.jsonl"
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(beir.load(folder).documents) == 3


def test_queries_may_come_from_another_folder(write: Write) -> None:
    data = write()
    other = write(queries=[{"_id": 7, "text": "lamp"}], qrels={"dev": "7\td2\t1\n"}, name="other")
    found = beir.load(data, queries=other, split="dev")
    assert [(q.key, q.text) for q in found.queries] == [("7", "lamp")]
    assert found.qrels == {"7": {"d2": 1}}


def test_limit_takes_the_first_queries_in_file_order(write: Write) -> None:
    assert [q.key for q in beir.load(write(), limit=1).queries] == ["q1"]


def test_a_text_may_hold_line_separators_and_nul(write: Write) -> None:
    corpus = json.dumps({"_id": "d1", "text": "one\u2028two\x00three"}, ensure_ascii=False)
    found = beir.load(write(corpus=corpus, qrels={"test": "q1\td1\t1\n"}))
    assert found.documents[0].text == "one\u2028two three"


def test_judgements_of_unknown_documents_stay_and_are_reported(write: Write) -> None:
    found = beir.load(write(qrels={"test": "q1\td1\t1\nq1\tgone\t1\nq9\td1\t1\n"}))
    assert found.qrels["q1"] == {"d1": 1, "gone": 1}
    assert found.warnings == (
        "1 judged queries have no text and are left out",
        "1 judged documents are not in the corpus; they count as never found",
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"corpus": '{"_id": "d1", "text": "x"}\n{"_id"'}, "corpus.jsonl:2: not a JSON object"),
        ({"corpus": '["d1", "x"]'}, "corpus.jsonl:1: a JSON list"),
        ({"corpus": [{"title": "x", "text": "y"}]}, "corpus.jsonl:1: _id is missing or empty"),
        ({"corpus": [{"_id": "d1"}]}, "corpus.jsonl:1: text is missing"),
        ({"corpus": [{"_id": "d1", "text": 3}]}, "corpus.jsonl:1: text is not a string"),
        (
            {"corpus": [{"_id": "d1", "text": "x", "metadata": "m"}]},
            "corpus.jsonl:1: metadata is not an object",
        ),
        (
            {"corpus": [{"_id": "d1", "text": "x", "metadata": {"sku": {"a": 1}}}]},
            "corpus.jsonl:1: metadata.sku is dict",
        ),
        ({"corpus": [*CORPUS, CORPUS[0]]}, "corpus.jsonl:4: document 'd1' appears twice"),
        ({"corpus": "\n\n"}, "no document at all"),
        ({"queries": [{"_id": "q1"}]}, "queries.jsonl:1: text is missing"),
        ({"qrels": {"test": "query-id\tcorpus-id\tscore\nq1 d1 1\n"}}, "test.tsv:2: 1 columns"),
        ({"qrels": {"test": "q1\td1\t1\nq1\td3\tgood\n"}}, "test.tsv:2: score 'good' is not a whole number"),
        ({"qrels": {"test": "q1\td1\t1\nq1\td1\t2\n"}}, "test.tsv:2: q1 and d1 are judged twice"),
        ({"qrels": {"test": "q1\td1\t0\n"}}, "qrels/test.tsv judges no query"),
        ({"qrels": {"codes": QRELS, "dev": QRELS}}, "has no qrels/test.tsv; its splits: codes, dev"),
    ],
)
def test_what_is_malformed_is_named_with_its_place(write: Write, parts: dict[str, Any], message: str) -> None:
    folder = write(**parts)
    with pytest.raises(MalformedData) as caught:
        beir.load(folder)
    assert message in str(caught.value)


def test_a_missing_folder_or_file_is_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(MalformedData, match="is not a folder"):
        beir.load(tmp_path / "nowhere")
    folder = write()
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(MalformedData, match=r"neither corpus\.jsonl nor"):
        beir.load(folder)


def test_text_that_is_not_utf8_and_a_broken_archive_are_named(write: Write) -> None:
    folder = write()
    (folder / "queries.jsonl").write_bytes(b'{"_id": "q1", "text": "\xff"}')
    with pytest.raises(MalformedData, match=r"queries\.jsonl is not UTF-8"):
        beir.load(folder)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(b"plain")
    with pytest.raises(MalformedData, match=r"corpus\.jsonl\.gz cannot be read"):
        beir.load(folder)


def test_a_smaller_collection_keeps_what_its_queries_should_find(write: Write) -> None:
    corpus = [{"_id": f"d{n}", "text": "word " * 20} for n in range(50)]
    queries = [{"_id": f"q{n}", "text": "word"} for n in range(50)]
    qrels = "".join(f"q{n}\td{49 - n}\t1\n" for n in range(50))
    full = beir.load(write(corpus=corpus, queries=queries, qrels={"test": qrels}))
    small = beir.shrink(full, queries=5, characters=1_500)
    keys = {d.key for d in small.documents}
    assert len(small.queries) == 5
    assert {k for judged in small.qrels.values() for k in judged} <= keys
    assert 10 <= len(keys) <= 15


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "split", "documents", "queries"),
    [
        ("scifact", "test", 5_183, 300),
        ("cranfield", "test", 1_400, 225),
        ("stackfaq", "test", 125, 1_249),
        ("icecat-products", "test", 19_406, 116),
        ("icecat-products", "codes", 19_406, 360),
        ("npl-vaswani", "test", 11_429, 93),
    ],
)
def test_the_public_sets_are_read_whole(
    labelled_sets: Path, name: str, split: str, documents: int, queries: int
) -> None:
    found = beir.load(labelled_sets / name, split=split)
    assert (len(found.documents), len(found.queries)) == (documents, queries)
    assert found.warnings == ()
