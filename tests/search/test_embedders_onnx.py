"""A model folder as others export it: what it says about itself is believed, what it lacks is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lockstep.search.embedders.onnx import OnnxEmbedder
from lockstep.search.exceptions import EmbedderMisconfigured, EmbedderTimeout
from tests.search.tiny_model import TABLE, WORDS, model_bytes, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tiny", model_bytes())


def direction(*tokens: str) -> list[float]:
    """The mean of some rows of the table, of length 1."""
    mean = TABLE[[WORDS.index(token) for token in tokens]].mean(axis=0)
    return [float(number) for number in mean / np.linalg.norm(mean)]


def test_a_text_is_the_mean_of_its_tokens_and_padding_does_not_count(folder: Path) -> None:
    long, short = OnnxEmbedder(folder).embed_documents(["one two three", "two"])
    assert short.tolist() == pytest.approx(direction("[CLS]", "two", "[SEP]"), abs=1e-6)
    assert long.tolist() == pytest.approx(direction("[CLS]", "one", "two", "three", "[SEP]"), abs=1e-6)


def test_cls_pooling_takes_the_first_token(folder: Path) -> None:
    vector = OnnxEmbedder(folder, pooling="cls").embed_query("one")
    assert vector.tolist() == pytest.approx(direction("[CLS]"), abs=1e-6)


def test_the_folder_says_how_to_pool_and_how_much_to_read(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_cls_token": True, "word_embedding_dimension": 8})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 5}))
    embedder = OnnxEmbedder(folder)
    assert (embedder.pooling, embedder.max_tokens, embedder.dimensions) == ("cls", 5, 8)


def test_a_model_that_answers_one_vector_a_text_needs_no_pooling(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, model_bytes(pooled=True))
    assert OnnxEmbedder(folder).embed_query("one").tolist() == pytest.approx(direction("[CLS]"), abs=1e-6)


def test_only_the_inputs_that_the_model_has_are_filled(tmp_path: Path) -> None:
    known = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    folder = write_folder(tmp_path, model_bytes(inputs=known))
    assert len(OnnxEmbedder(folder).embed_query("one")) == 8


def test_a_model_with_inputs_that_no_text_can_fill_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, model_bytes(inputs=("input_ids", "past_key_values")))
    with pytest.raises(EmbedderMisconfigured, match="past_key_values"):
        OnnxEmbedder(folder).embed_query("one")


def test_the_prefix_is_embedded_and_counted(folder: Path) -> None:
    embedder = OnnxEmbedder(folder, document_prefix="passage: ")
    (vector,) = embedder.embed_documents(["one"])
    assert vector.tolist() == pytest.approx(direction("[CLS]", "passage", ":", "one", "[SEP]"), abs=1e-6)
    assert embedder.count_tokens("one two") == 6
    assert embedder.token_spans("one two") == [(0, 3), (4, 7)]


def test_tokens_beyond_the_limit_change_nothing(folder: Path) -> None:
    embedder = OnnxEmbedder(folder, max_tokens=4)
    assert embedder.embed_query("one two three") == embedder.embed_query("one two")


def test_order_survives_batches_by_length(folder: Path) -> None:
    texts = ["one two three", "one", "two two", "three", "one one one one", "two"]
    embedder = OnnxEmbedder(folder, batch_size=2)
    together = embedder.embed_documents(texts)
    for text, vector in zip(texts, together, strict=True):
        assert vector.tolist() == pytest.approx(embedder.embed_query(text).tolist(), abs=1e-6)


def test_the_model_may_lie_in_the_onnx_folder_as_hubs_keep_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, model_bytes(), at="onnx/model.onnx")
    assert len(OnnxEmbedder(folder).embed_query("one")) == 8


def test_the_digest_of_the_model_is_its_revision_unless_one_is_given(folder: Path) -> None:
    other = write_folder(folder.parent / "other", model_bytes(pooled=True))
    assert len(OnnxEmbedder(folder).revision) == 12
    assert OnnxEmbedder(folder).revision != OnnxEmbedder(other).revision
    assert OnnxEmbedder(folder, revision="2026-01").revision == "2026-01"


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named_when_the_embedder_is_built(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(EmbedderMisconfigured, match=f"no {missing}"):
        OnnxEmbedder(folder)


def test_a_folder_that_does_not_say_its_dimensions_needs_the_option(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(EmbedderMisconfigured, match=r"OPTIONS\['dimensions'\]"):
        OnnxEmbedder(folder)
    assert len(OnnxEmbedder(folder, dimensions=8).embed_query("one")) == 8


def test_an_unknown_pooling_is_refused(folder: Path) -> None:
    with pytest.raises(EmbedderMisconfigured, match="'mean' or 'cls'"):
        OnnxEmbedder(folder, pooling="max")  # type: ignore[arg-type]


def test_no_time_left_is_a_timeout(folder: Path) -> None:
    with pytest.raises(EmbedderTimeout):
        OnnxEmbedder(folder).embed_documents(["one"], timeout_s=0)
