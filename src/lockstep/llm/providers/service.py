"""What providers over HTTP have in common: an address that may be written down, and an SDK that is quiet."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

__all__ = ["checked_endpoint", "quiet"]


def checked_endpoint(url: str) -> str:
    """The base URL without its last slash. It stands in the ledger, in errors and in logs.

    Raises:
        ValueError: it is no http(s) URL, or holds a secret: a password, or a query, which often has the key.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "base_url holds credentials or a query, and it is written to the ledger: name the key's variable in"
            " api_key_env, and give other parameters as default_query."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url {url!r} is no http(s) URL: write https://host/v1.")
    return url.rstrip("/")


def quiet(sdk: str) -> None:
    """Keep an SDK's DEBUG lines out of a log whose root is at DEBUG: they hold whole requests, prompts included.

    Whoever sets the level of that logger in ``LOGGING`` has the last word.
    """
    logger = logging.getLogger(sdk)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
