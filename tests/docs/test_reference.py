"""The reference names everything that there is, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from lockstep.core.conf import _sections
from lockstep.search import conf  # noqa: F401  (registers its section)
from tests.docs.pages import DOCS

SOURCE = DOCS.parent / "src" / "lockstep"
REFERENCE = DOCS / "reference"


def test_every_setting_is_documented_under_its_section() -> None:
    text = (REFERENCE / "settings.md").read_text()
    for name, section in _sections.items():
        part = text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
        documented = set(re.findall(r"^\| `(\w+)`", part, re.M))
        assert documented == {field.name for field in dataclasses.fields(section.schema)}


def test_every_check_has_a_heading_and_every_heading_a_check() -> None:
    used = {
        found
        for path in SOURCE.rglob("checks.py")
        for found in re.findall(r'="(lockstep_\w+\.[EWI]\d{3})"', path.read_text())
    }
    headings = re.findall(r"^## (lockstep_\w+\.[EWI]\d{3})$", (REFERENCE / "checks.md").read_text(), re.M)
    assert sorted(headings) == sorted(used)


def test_every_command_has_a_heading() -> None:
    commands = {
        path.stem for path in SOURCE.rglob("management/commands/*.py") if not path.stem.startswith("_")
    }
    headings = set(re.findall(r"^## (\w+)$", (REFERENCE / "commands.md").read_text(), re.M))
    assert headings == commands


def test_every_option_of_a_command_is_documented() -> None:
    text = (REFERENCE / "commands.md").read_text()
    for path in SOURCE.rglob("management/commands/*.py"):
        for option in re.findall(r'"(--[a-z-]+)"', Path(path).read_text()):
            assert option in text, f"{path.stem} {option}"
