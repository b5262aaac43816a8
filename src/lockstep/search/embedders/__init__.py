"""Backends that turn text into vectors; ``get_embedder(alias)`` builds the one that the settings name."""

from lockstep.search.embedders.base import BaseEmbedder, Embedder, Vector
from lockstep.search.embedders.registry import get_embedder

__all__ = ["BaseEmbedder", "Embedder", "Vector", "get_embedder"]
