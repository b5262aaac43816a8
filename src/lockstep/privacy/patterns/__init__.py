"""The pattern pack: identifiers that can be told by their form, their check digit or the words beside them."""

from __future__ import annotations

from lockstep.privacy.patterns.pattern import Pattern
from lockstep.privacy.patterns.table import PAIR, PATTERNS, VERSION

__all__ = ["PAIR", "PATTERNS", "VERSION", "Pattern"]
