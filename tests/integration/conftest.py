"""The embedder that counts, as in the tests of the search."""

from tests.search.conftest import embed_with, embedder

__all__ = ["embed_with", "embedder"]
