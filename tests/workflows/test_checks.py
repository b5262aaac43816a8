"""What ``manage.py check`` says about runs."""

from __future__ import annotations

from typing import Any

import pytest

from lockstep.workflows import checks
from lockstep.workflows.checks import check_database, check_langgraph, check_times, check_types


def with_section(settings: Any, **section: Any) -> None:
    settings.LOCKSTEP = settings.LOCKSTEP | {"workflows": section}


class Elsewhere:
    """A router that reads runs from a replica."""

    def db_for_read(self, model: Any, **_: Any) -> str | None:
        return "replica" if model._meta.app_label == "lockstep_workflows" else None


def test_a_sound_project_hears_nothing() -> None:
    assert [*check_database(), *check_types(), *check_times(), *check_langgraph()] == []


def test_a_database_that_is_not_there_or_not_postgres_or_not_where_runs_are(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connections

    settings.DATABASE_ROUTERS = [Elsewhere()]
    [elsewhere] = check_database()
    assert (elsewhere.id, "lockstep_workflows.Run is kept in 'replica'" in elsewhere.msg) == (
        "lockstep_workflows.E002", True,
    )  # fmt: skip
    settings.DATABASE_ROUTERS = []
    with_section(settings, database="defualt")
    [unknown] = check_database()
    assert (unknown.id, unknown.hint) == ("lockstep_workflows.E001", "Did you mean 'default'?")
    with_section(settings)
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")
    [other] = check_database()
    assert "no PostgreSQL" in other.msg


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("shop.agents.Refund", "No module named"), ("decimal.Decimals", "cannot be imported"),
        ("os.path", "no class but module"), ("nonsense", "cannot be imported"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_read_back_is_named(name: str, why: str, settings: Any) -> None:
    with_section(settings, types=("fractions.Fraction", name))
    [found] = check_types()
    assert found.id == "lockstep_workflows.E003"
    assert repr(name) in found.msg
    assert why in found.msg


def test_another_langgraph_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "version", lambda name: "1.3.0")
    assert [one.id for one in check_langgraph()] == ["lockstep_workflows.W001"]


def test_moments_have_a_time_zone(settings: Any) -> None:
    settings.USE_TZ = False
    [found] = check_times()
    assert found.id == "lockstep_workflows.E005"
