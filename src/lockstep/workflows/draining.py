"""Whether this process shall let go of its runs at their next transition.

One shared byte, made before a pool of workers forks: the parent hears of the shutdown, its children do the work.
"""

from __future__ import annotations

import mmap

__all__ = ["ask", "asked", "forget"]

_flag = mmap.mmap(-1, 1)


def ask() -> None:
    """From now on runs stop at their next transition, here and in processes that were forked from here."""
    _flag[0] = 1


def asked() -> bool:
    return _flag[0] == 1


def forget() -> None:
    """Work goes on."""
    _flag[0] = 0
