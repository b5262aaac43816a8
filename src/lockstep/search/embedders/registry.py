"""Embedders by alias, built from ``LOCKSTEP["search"]["embedders"]`` once for the process."""

from __future__ import annotations

from lockstep.core.backends import Backends
from lockstep.search.conf import settings
from lockstep.search.embedders.base import Embedder
from lockstep.search.exceptions import EmbedderMisconfigured

__all__ = ["get_embedder", "reset"]

_embedders: Backends[Embedder] = Backends(
    'LOCKSTEP["search"]["embedders"]',
    lambda: settings().embedders,
    EmbedderMisconfigured,
    extras={"httpx": "http", "numpy": "onnx", "onnxruntime": "onnx", "tokenizers": "onnx", "onnx": "onnx"},
)


def get_embedder(alias: str = "default") -> Embedder:
    """The embedder of an alias. Building one opens nothing and loads no model; its first use does.

    Raises:
        EmbedderMisconfigured: the alias is unknown, or its entry cannot be used; the text says why.
    """
    return _embedders.get(alias)


def reset() -> None:
    """Forget every built embedder and close its connections."""
    _embedders.reset()
