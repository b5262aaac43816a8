"""A sentence-embedding model of nine words, in the files that real ones have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

__all__ = ["TABLE", "WORDS", "model_bytes", "write_folder"]

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "passage", ":", "one", "two", "three"]
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), 8)).astype(np.float32)


def model_bytes(*, inputs: Sequence[str] = ("input_ids", "attention_mask"), pooled: bool = False) -> bytes:
    """A model that looks each token up in a table; ``pooled`` answers one vector a text: its first token's."""
    table = numpy_helper.from_array(TABLE, "table")
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    name = "last_hidden_state"
    shape: list[str | int] = ["texts", "tokens", 8]
    tensors = [table]
    if pooled:
        tensors.append(numpy_helper.from_array(np.array(0, np.int64), "first"))
        nodes.append(helper.make_node("Gather", [name, "first"], ["sentence_embedding"], axis=1))
        name, shape = "sentence_embedding", ["texts", 8]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(each, TensorProto.INT64, ["texts", "tokens"]) for each in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def write_folder(folder: Path, model: bytes, *, at: str = "model.onnx", **config: Any) -> Path:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_padding(length=128)  # as MiniLM's own file has it: must not count
    tokenizer.enable_truncation(4)
    (folder / at).parent.mkdir(parents=True, exist_ok=True)
    (folder / at).write_bytes(model)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(
        json.dumps({"hidden_size": 8, "max_position_embeddings": 32} | config)
    )
    return folder
