"""Adapters to third parties, one folder each. Nothing below knows of them."""
