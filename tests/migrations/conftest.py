"""Throw-away projects, each with a database that has everything but their own tables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.migrations.project import Project, fresh_database
from tests.migrations.texts import FILL, INDEXED


@pytest.fixture(scope="session")
def base(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[str]:
    """Name of a database where only the apps of Django and of lockstep are migrated."""
    name = f"lockstep_base_{os.getpid()}"
    with django_db_blocker.unblock(), fresh_database(name) as url:
        Project(tmp_path_factory.mktemp("base"), url, apps=()).manage("migrate", "-v0")
        yield name


@pytest.fixture
def project(db: None, base: str, tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Makes projects: ``project()`` has one app, ``project("shop", "blog")`` two."""
    with ExitStack() as stack:

        def make(*apps: str, template: str | None = base) -> Project:
            url = stack.enter_context(
                fresh_database(f"lockstep_project_{os.getpid()}", template or "template1")
            )
            return Project(tmp_path / "project", url, apps or ("shop",))

        yield make


@pytest.fixture(scope="session")
def filled(base: str, tmp_path_factory: Any, django_db_blocker: Any) -> Iterator[tuple[Path, str]]:
    """Folder and database of a project with an index and three records in step."""
    name = f"lockstep_filled_{os.getpid()}"
    with django_db_blocker.unblock(), fresh_database(name, base) as url:
        made = Project(tmp_path_factory.mktemp("filled") / "project", url)
        made.fill(INDEXED, FILL)
        yield made.folder, name


@pytest.fixture
def shop(filled: tuple[Path, str], db: None, tmp_path: Path) -> Iterator[Project]:
    """A copy of it, to change."""
    folder, template = filled
    with fresh_database(f"lockstep_shop_{os.getpid()}", template) as url:
        shutil.copytree(folder, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
        made = Project.__new__(Project)
        made.folder, made.database = tmp_path / "shop", url
        yield made
