"""Whether a dict's keys come back from jsonb as they went in.

jsonb keeps keys by length in bytes, then by bytes. A prompt that is rendered from a dict in another order
is another prompt.
"""

from __future__ import annotations

from enum import Enum
from itertools import pairwise

from lockstep.workflows.codec.leaves import UNSAFE

__all__ = ["Keys", "look_at"]

REMEMBERED = 1024
LONGEST = 32


class Keys(Enum):
    COME_BACK = 1
    """Plain text, in jsonb's order, and none of them the tag."""
    IN_ANOTHER_ORDER = 2
    UNSAFE = 3
    """jsonb cannot hold one of them."""


_known: dict[tuple[str, ...], Keys] = {}
"""The same few sets of keys come with every transition."""


def look_at(keys: tuple[str, ...]) -> Keys:
    known = _known.get(keys)
    if known is None:
        known = _look_at(keys)
        if len(keys) <= LONGEST:
            if len(_known) >= REMEMBERED:
                _known.clear()
            _known[keys] = known
    return known


def _look_at(keys: tuple[str, ...]) -> Keys:
    if any(UNSAFE.search(key) for key in keys):
        return Keys.UNSAFE
    encoded = [key.encode() for key in keys]
    ordered = all((len(a), a) < (len(b), b) for a, b in pairwise(encoded))
    return Keys.COME_BACK if ordered and "$t" not in keys else Keys.IN_ANOTHER_ORDER
