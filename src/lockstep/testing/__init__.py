"""Fakes and assertions for your own tests. Nothing here is imported by the rest of the package."""
