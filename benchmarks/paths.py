"""Paths on the command line mean the folder the person was in, which bin/bench leaves."""

from __future__ import annotations

import os
from pathlib import Path


def called_from(value: str) -> Path:
    return Path(os.environ.get("LOCKSTEP_CALLED_FROM", ".")) / value
