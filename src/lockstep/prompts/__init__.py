"""Prompts with an address: immutable versions, releases by one audited row, reports of what is live."""
