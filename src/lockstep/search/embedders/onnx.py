"""Any sentence-embedding model exported to ONNX, run from a local folder by ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from lockstep.search.embedders.base import BaseEmbedder, Deadline, encodable
from lockstep.search.embedders.process import PerProcess
from lockstep.search.exceptions import EmbedderMisconfigured

__all__ = ["OnnxEmbedder"]

Floats = npt.NDArray[np.float32]
Pooling = Literal["mean", "cls"]

#: Padded tokens of one run: keeps activations below some 100 MB and the deadline responsive.
RUN_TOKENS = 2048
#: WordPiece reads at most 100 characters as one token, so that characters beyond this many a token
#: cannot reach the model; cutting first spares the tokeniser a pasted megabyte.
CHARACTERS_PER_TOKEN = 128


class OnnxEmbedder(BaseEmbedder):
    """Embeds with a folder that holds ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``.

    What the folder says about itself (``config.json``, ``1_Pooling/config.json``,
    ``sentence_bert_config.json``) is used unless an option says otherwise. The session is made at first
    use, in each process.

    Args:
        folder: the model's folder.
        model: name to record beside the vectors; the folder's name when left out.
        revision: edition to record; when left out, the digest of the model file.
        file: path of the ONNX file inside the folder.
        pooling: ``mean`` of the token vectors or the first (``cls``); a model that answers one vector
            a text needs none.
        max_tokens: tokens read of one text, special ones included.
        document_prefix, query_prefix: as the model card says ("passage: ", "query: ").
        batch_size: most texts a run; small batches of equal length are fastest on CPUs.
        threads: of one run; None takes the CPUs that this process may use.
        providers: of ONNX Runtime, best first.

    Raises:
        EmbedderMisconfigured: a file is missing, or the folder does not say what an option must then say.
    """

    provider = "onnx"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        model: str | None = None,
        revision: str = "",
        file: str | None = None,
        pooling: Pooling | None = None,
        dimensions: int | None = None,
        max_tokens: int | None = None,
        document_prefix: str = "",
        query_prefix: str = "",
        batch_size: int = 16,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        super().__init__(document_prefix=document_prefix, query_prefix=query_prefix, revision=revision)
        self.folder = Path(folder)
        self.model = model or self.folder.name
        self._file = self._existing(file) if file else self._model_file()
        self._tokenizer_file = self._existing("tokenizer.json")
        self.pooling: Pooling = _checked_pooling(pooling or self._folder_pooling())
        self.dimensions = dimensions or self._folder_dimensions()
        self.max_tokens = max_tokens or self._folder_max_tokens()
        self.batch_size = batch_size
        self.threads = threads or _usable_cpus()
        self.providers = list(providers)
        self._session = PerProcess(self._load_session)
        self._tokenizers = PerProcess(self._load_tokenizers)

    @cached_property
    def revision(self) -> str:
        return self._revision or file_digest(self._file)[:12]

    def count_tokens(self, text: str) -> int:
        whole, _ = self._tokenizers.get()
        return len(whole.encode(encodable(self.document_prefix + text)).ids)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        whole, _ = self._tokenizers.get()
        offsets: list[tuple[int, int]] = whole.encode(encodable(text), add_special_tokens=False).offsets
        return offsets

    # --- running ----------------------------------------------------------------------------------

    def _embed(self, texts: Sequence[str], deadline: Deadline) -> list[list[float]]:
        with self.measure() as usage:
            encodings = self._encode(texts)
            usage.items = len(texts)
            usage.input_tokens = sum(len(encoding.ids) for encoding in encodings)
            rows: list[list[float]] = [[]] * len(texts)
            for batch in self._batches(encodings):
                deadline.check()  # a run that has begun is not interrupted; it takes some 100 ms
                vectors = self._run([encodings[at] for at in batch])
                for at, vector in zip(batch, vectors.tolist(), strict=True):
                    rows[at] = vector
            return rows

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        # one by one: the tokeniser's own batches start threads that a later fork could not stand
        _, cut = self._tokenizers.get()
        longest = self.max_tokens * CHARACTERS_PER_TOKEN
        return [cut.encode(text[:longest]) for text in texts]

    def _batches(self, encodings: Sequence[Encoding]) -> Iterator[list[int]]:
        """Positions of texts that run together: of similar length, so that little padding is computed."""
        batch: list[int] = []
        for at in sorted(range(len(encodings)), key=lambda at: len(encodings[at].ids)):
            padded = (len(batch) + 1) * len(encodings[at].ids)
            if batch and (len(batch) == self.batch_size or padded > RUN_TOKENS):
                yield batch
                batch = []
            batch.append(at)
        if batch:
            yield batch

    def _run(self, encodings: Sequence[Encoding]) -> Floats:
        feeds = _padded(encodings)
        session = self._session.get()
        wanted = {node.name: feeds[node.name] for node in session.get_inputs()}
        return self._pooled(session.run(None, wanted), feeds["attention_mask"])

    def _pooled(self, outputs: Sequence[Floats], mask: npt.NDArray[np.int64]) -> Floats:
        """One row a text: an output that is so already, else the pooled token vectors of the first."""
        for output in outputs:
            if output.ndim == 2:
                return output
        tokens = outputs[0]
        if self.pooling == "cls":
            return np.asarray(tokens[:, 0])
        weights = mask[:, :, None].astype(np.float32)
        return np.asarray((tokens * weights).sum(axis=1) / weights.sum(axis=1))

    # --- loading ----------------------------------------------------------------------------------

    def _load_session(self) -> onnxruntime.InferenceSession:
        session = self._open(str(self._file))
        known = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
        unknown = {node.name for node in session.get_inputs()} - known
        if unknown:
            raise EmbedderMisconfigured(
                f"{self._file} wants inputs that a text cannot fill: {', '.join(sorted(unknown))}. "
                "Export the model for feature extraction (sentence embeddings)."
            )
        return session

    def _open(self, model: str | bytes, **config: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3  # errors
        # waiting threads that spin win little here and take the CPU from the web workers beside them
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for key, value in config.items():
            options.add_session_config_entry(f"session.{key}", value)
        return onnxruntime.InferenceSession(model, options, providers=self.providers)

    def _load_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """One that reads whole texts, and one that cuts at ``max_tokens`` as the model does."""
        whole, cut = (Tokenizer.from_file(str(self._tokenizer_file)) for _ in range(2))
        for tokenizer in (whole, cut):
            tokenizer.no_padding()
        whole.no_truncation()
        cut.enable_truncation(self.max_tokens)
        return whole, cut

    # --- what the folder says ---------------------------------------------------------------------

    def _existing(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise EmbedderMisconfigured(
                f"There is no {name} in {self.folder}: folder= is the model's own folder."
            )
        return path

    def _model_file(self) -> Path:
        nested = self.folder / "onnx" / "model.onnx"
        return nested if nested.is_file() else self._existing("model.onnx")

    def _folder_pooling(self) -> str:
        return "cls" if self._says("1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"

    def _folder_dimensions(self) -> int:
        said = self._says("1_Pooling/config.json").get("word_embedding_dimension")
        size = said or self._says("config.json").get("hidden_size")
        if not isinstance(size, int):
            raise EmbedderMisconfigured(
                f"{self.folder} does not say its dimensions: set OPTIONS['dimensions']."
            )
        return size

    def _folder_max_tokens(self) -> int:
        said = self._says("sentence_bert_config.json").get("max_seq_length")
        size = said or self._says("config.json").get("max_position_embeddings")
        return size if isinstance(size, int) else 512

    def _says(self, name: str) -> Mapping[str, Any]:
        path = self.folder / name
        if not path.is_file():
            return {}
        said: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        return said


def _padded(encodings: Sequence[Encoding]) -> dict[str, npt.NDArray[np.int64]]:
    """The inputs of a run: texts x tokens, filled up to the longest; the mask is 0 where nothing stands."""
    shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
    ids, types, mask = (np.zeros(shape, np.int64) for _ in range(3))
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        ids[row, :length] = encoding.ids
        types[row, :length] = encoding.type_ids
        mask[row, :length] = 1
    positions = np.broadcast_to(np.arange(shape[1], dtype=np.int64), shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "position_ids": positions}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_pooling(pooling: str) -> Pooling:
    if pooling not in ("mean", "cls"):
        raise EmbedderMisconfigured(f"pooling={pooling!r}: take 'mean' or 'cls'.")
    return "cls" if pooling == "cls" else "mean"


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
