"""A BERT sentence encoder as an ONNX graph over the weights of a safetensors file.

The graph names the file and the place of each tensor in it, which is what ONNX calls external data: ONNX
Runtime maps the file, and processes share its pages. Nothing is converted or written.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

__all__ = ["read_header", "sentence_encoder"]

FLOAT_BYTES = 4
MASKED = -1e9


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Tensors of a safetensors file: name -> dtype, shape and ``offset`` and ``length`` in bytes.

    Source: https://github.com/huggingface/safetensors#format
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, Any]] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    for tensor in header.values():
        start, end = tensor.pop("data_offsets")
        tensor |= {"offset": 8 + size + start, "length": end - start}
    return header


def sentence_encoder(weights: Path, config: Mapping[str, Any]) -> bytes:
    """The serialised model: ``input_ids`` and ``attention_mask`` (texts x tokens) to ``embedding``
    (texts x hidden size, mean-pooled over the mask, of length 1).

    Args:
        weights: safetensors file with the tensors of a ``BertModel``, float32.
        config: ``num_hidden_layers``, ``num_attention_heads``, ``hidden_size``, ``layer_norm_eps``.

    Source: Devlin et al., BERT, NAACL 2019; GELU by the error function, as ``hidden_act: gelu`` says.
    """
    return _Graph(weights, config).model()


class _Graph:
    def __init__(self, weights: Path, config: Mapping[str, Any]) -> None:
        self.file = weights.name
        self.header = read_header(weights)
        self.layers: int = config["num_hidden_layers"]
        self.heads: int = config["num_attention_heads"]
        self.hidden: int = config["hidden_size"]
        self.epsilon: float = config["layer_norm_eps"]
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}

    def model(self) -> bytes:
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        x = self.embeddings()
        hidden_from_attention = self.hide(mask)
        for number in range(self.layers):
            x = self.layer(x, f"encoder.layer.{number}.", hidden_from_attention)
        self.node("LpNormalization", self.masked_sum(x, mask), name="embedding", axis=-1, p=2)
        inputs = [_shaped(name, TensorProto.INT64, "tokens") for name in ("input_ids", "attention_mask")]
        output = _shaped("embedding", TensorProto.FLOAT, self.hidden)
        tensors = list(self.tensors.values())
        graph = helper.make_graph(self.nodes, "sentence_encoder", inputs, [output], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        serialised: bytes = model.SerializeToString()
        return serialised

    def embeddings(self) -> str:
        words = self.node("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        tokens = self.node("Shape", "input_ids", start=1, end=2)
        zero, one = self.constant("zero", [0]), self.constant("one", [1])
        positions = self.node("Slice", self.weight("embeddings.position_embeddings.weight"), zero, tokens)
        kind = self.node("Slice", self.weight("embeddings.token_type_embeddings.weight"), zero, one)
        return self.norm(self.node("Add", self.node("Add", words, positions), kind), "embeddings.LayerNorm")

    def hide(self, mask: str) -> str:
        """What to add to attention scores: 0 for tokens, a very negative number for padding."""
        absent = self.node("Sub", self.number("present", 1.0), mask)
        spread = self.node("Unsqueeze", absent, self.constant("heads_and_queries", [1, 2]))
        return self.node("Mul", spread, self.number("masked", MASKED))

    def layer(self, x: str, prefix: str, hidden_from_attention: str) -> str:
        seen = self.attention(x, prefix + "attention.self.", hidden_from_attention)
        seen = self.linear(seen, prefix + "attention.output.dense")
        x = self.norm(self.node("Add", seen, x), prefix + "attention.output.LayerNorm")
        inner = self.node("Gelu", self.linear(x, prefix + "intermediate.dense"), approximate="none")
        return self.norm(
            self.node("Add", self.linear(inner, prefix + "output.dense"), x), prefix + "output.LayerNorm"
        )

    def attention(self, x: str, prefix: str, hidden_from_attention: str) -> str:
        query = self.split(self.linear(x, prefix + "query"), [0, 2, 1, 3])
        key = self.split(self.linear(x, prefix + "key"), [0, 2, 3, 1])
        value = self.split(self.linear(x, prefix + "value"), [0, 2, 1, 3])
        scale = self.number("scale", float((self.hidden // self.heads) ** -0.5))
        scores = self.node("Mul", self.node("MatMul", query, key), scale)
        shares = self.node("Softmax", self.node("Add", scores, hidden_from_attention), axis=-1)
        joined = self.node("Transpose", self.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", joined, self.constant("join", [0, 0, self.hidden]))

    def split(self, x: str, order: list[int]) -> str:
        """From texts x tokens x hidden to one matrix a text and head."""
        shape = self.constant("split", [0, 0, self.heads, self.hidden // self.heads])
        return self.node("Transpose", self.node("Reshape", x, shape), perm=order)

    def linear(self, x: str, name: str) -> str:
        turned = self.node("Transpose", self.weight(f"{name}.weight"), perm=[1, 0])  # folded when loaded
        return self.node("Add", self.node("MatMul", x, turned), self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=self.epsilon)

    def masked_sum(self, x: str, mask: str) -> str:
        """The mean but for its length, which normalising takes away anyway."""
        present = self.node("Mul", x, self.node("Unsqueeze", mask, self.constant("hidden_axis", [2])))
        return self.node("ReduceSum", present, self.constant("token_axis", [1]), keepdims=0)

    # --- parts of a graph -------------------------------------------------------------------------

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def weight(self, name: str) -> str:
        if name not in self.tensors:
            place = self.header[name]
            if place["dtype"] != "F32" or place["length"] != FLOAT_BYTES * int(np.prod(place["shape"])):
                raise ValueError(f"{name} in {self.file} is not float32.")
            self.tensors[name] = _external(name, self.file, place)
        return name

    def constant(self, name: str, values: list[int]) -> str:
        self.tensors[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def number(self, name: str, value: float) -> str:
        self.tensors[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return name


def _external(name: str, file: str, place: Mapping[str, Any]) -> Any:
    tensor = TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=place["shape"], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": file, "offset": place["offset"], "length": place["length"]}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _shaped(name: str, kind: int, width: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, ["texts", width])
