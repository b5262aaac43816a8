"""One ``LOCKSTEP`` dict, a section an app, faults named with the nearest right word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from lockstep.core import conf
from lockstep.core.checks import check_settings
from lockstep.core.conf import Section, nearest


@dataclass(frozen=True)
class Toys:
    size: int = 3
    colour: str = "red"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size must not be negative.")


@pytest.fixture
def section(monkeypatch: Any) -> Section[Toys]:
    """A section of an app that a test invents."""
    monkeypatch.setattr(conf, "_sections", {})
    monkeypatch.setattr(conf, "APPS", ("search", "toys"))
    return Section("toys", Toys)


def test_values_that_are_not_given_take_their_defaults(section: Section[Toys], settings: Any) -> None:
    settings.LOCKSTEP = {"toys": {"size": 5}}
    assert section.get() == Toys(size=5)
    settings.LOCKSTEP = {}
    assert section.get() == Toys()
    assert section.get() is section.get()


FAULTS: dict[str, Any] = {
    "LOCKSTEP must be a dict of sections, not list": [],
    "unknown section 'toyz'": {"toyz": {}},
    "Did you mean 'toys'?": {"toyz": {}},
    "must be a dict, not int": {"toys": 3},
    "Did you mean 'colour'?": {"toys": {"color": "blue"}},
    "Known: colour, size.": {"toys": {"zzz": 1}},
    "size must not be negative": {"toys": {"size": -1}},
    "'<' not supported": {"toys": {"size": "big"}},
}


@pytest.mark.parametrize("text", FAULTS)
def test_each_fault_is_told_by_the_check_with_a_hint(
    text: str, section: Section[Toys], settings: Any
) -> None:
    settings.LOCKSTEP = FAULTS[text]
    (message,) = check_settings()
    assert text in f"{message.msg} {message.hint}"
    assert message.id == "lockstep_core.E001"
    assert message.hint


@pytest.mark.parametrize("value", [[], {"toys": 3}, {"toys": {"color": "blue"}}, {"toys": {"size": -1}}])
def test_using_a_faulty_setting_is_refused(value: Any, section: Section[Toys], settings: Any) -> None:
    settings.LOCKSTEP = value
    with pytest.raises(ImproperlyConfigured):
        section.get()


def test_sections_of_apps_that_are_not_installed_are_fine(section: Section[Toys], settings: Any) -> None:
    settings.LOCKSTEP = {"search": {"anything": 1}}
    assert check_settings() == []


def test_a_sound_setting_has_nothing_to_hear() -> None:
    assert check_settings() == []


def test_nearest_names_what_was_meant_or_what_there_is() -> None:
    assert nearest("serach", ("search", "llm")) == "Did you mean 'search'?"
    assert nearest("xyz", ("search", "llm")) == "Known: llm, search."
