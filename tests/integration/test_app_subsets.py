"""Each app stands on what is below it and on nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.migrations.project import ROOT, fresh_database

BELOW = {
    "core": (),
    "llm": ("core",),
    "search": ("core",),
    "prompts": ("llm",),
    "budgets": ("llm",),
    "privacy": ("core",),
    "workflows": ("core",),
}
"""App -> what it imports. A new app has a line here."""
ADMIN = ("admin", "auth", "contenttypes", "messages", "sessions", "staticfiles")

SETTINGS = """
import os
from psycopg.conninfo import conninfo_to_dict
place = conninfo_to_dict(os.environ["PROJECT_DATABASE"])
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.postgresql", "NAME": place.pop("dbname"), "USER": place.pop("user", ""),
    "PASSWORD": place.pop("password", ""), "HOST": place.pop("host", ""), "PORT": place.pop("port", ""),
    "OPTIONS": place}}}}
INSTALLED_APPS = {apps!r}
LOCKSTEP = {lockstep!r}
ROOT_URLCONF = {urls!r}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
] if "django.contrib.admin" in INSTALLED_APPS else []
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {{
    "context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ] if MIDDLEWARE else []}}}}]
ALLOWED_HOSTS = ["testserver"]
STATIC_URL = "/static/"
SECRET_KEY = "throw-away"
USE_TZ = True
"""

SECTIONS = {
    "search": {
        "embedders": {
            "default": {
                "BACKEND": "lockstep.search.embedders.hashing.Hashing",
                "OPTIONS": {"dimensions": 64},
            }
        }
    },
    "llm": {"providers": {"standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"}}},
}


def selections() -> list[tuple[str, ...]]:
    """Each app with no more than it stands on, all but each app and what stands on it, and all."""
    alone = [{name, *_below(name)} for name in BELOW]
    without = [{other for other in BELOW if name not in {other, *_below(other)}} for name in BELOW]
    chosen = {frozenset(names) for names in [*alone, *without, set(BELOW)] if names}
    return sorted(tuple(name for name in BELOW if name in names) for names in chosen)


def _below(name: str) -> set[str]:
    return {*BELOW[name], *(deeper for below in BELOW[name] for deeper in _below(below))}


def start(chosen: tuple[str, ...], contrib: tuple[str, ...], folder: Path) -> None:
    """Run ``tests.integration.alone`` in a process and a database of its own."""
    (folder / "chosen_settings.py").write_text(
        SETTINGS.format(
            apps=[f"django.contrib.{name}" for name in contrib] + [f"lockstep.{name}" for name in chosen],
            lockstep={name: SECTIONS[name] for name in chosen if name in SECTIONS},
            urls="tests.urls" if "admin" in contrib else "tests.no_urls",
        )
    )
    with fresh_database(f"lockstep_subset_{os.getpid()}") as url:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.integration.alone"],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "chosen_settings",
                "PROJECT_DATABASE": url,
                "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src"), str(ROOT)]),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_app_has_its_place_among_them() -> None:
    folder = ROOT / "src" / "lockstep"
    assert {path.parent.name for path in folder.glob("*/apps.py")} == set(BELOW)


@pytest.mark.parametrize("chosen", selections(), ids="+".join)
def test_the_apps_start_migrate_and_show_their_admin(
    chosen: tuple[str, ...], db: None, tmp_path: Path
) -> None:
    start(chosen, ADMIN, tmp_path)


@pytest.mark.parametrize("chosen", [("core",), ("core", "search"), ("core", "llm", "prompts")], ids="+".join)
def test_the_apps_need_no_admin(chosen: tuple[str, ...], db: None, tmp_path: Path) -> None:
    start(chosen, ("contenttypes",), tmp_path)
