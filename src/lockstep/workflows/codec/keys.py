"""Whether a dict's keys come back from jsonb as they went in.

jsonb keeps keys by length in bytes, then by bytes. A prompt that is rendered from a dict in another order
is another prompt.
"""

from __future__ import annotations

from itertools import pairwise

from lockstep.workflows.codec.leaves import UNSAFE

__all__ = ["come_back"]

REMEMBERED = 1024
LONGEST = 32

_known: dict[tuple[str, ...], bool] = {}
"""The same few sets of keys come with every transition."""


def come_back(keys: tuple[str, ...]) -> bool:
    """Are these keys, all of them plain text, in jsonb's order, and none of them the tag?"""
    known = _known.get(keys)
    if known is None:
        known = _look(keys)
        if len(keys) <= LONGEST:
            if len(_known) >= REMEMBERED:
                _known.clear()
            _known[keys] = known
    return known


def _look(keys: tuple[str, ...]) -> bool:
    if "$t" in keys or any(UNSAFE.search(key) for key in keys):
        return False
    encoded = [key.encode() for key in keys]
    return all((len(a), a) < (len(b), b) for a, b in pairwise(encoded))
