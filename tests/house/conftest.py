"""Rooms for servers that a test starts: short-lived, with a space in the path, open to the service's account."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that every account may enter, unlike pytest's own, which only we may."""
    folder = Path(tempfile.mkdtemp(prefix="lockstep room ", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
