"""The project that the tests run in. ``DATABASE_URL`` names its PostgreSQL; bin/test sets it."""

import os

from psycopg.conninfo import conninfo_to_dict

_database = conninfo_to_dict(os.environ.get("DATABASE_URL") or "postgresql:///lockstep")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.pop("dbname", "lockstep"),
        "USER": _database.pop("user", ""),
        "PASSWORD": _database.pop("password", ""),
        "HOST": _database.pop("host", ""),
        "PORT": _database.pop("port", ""),
        "OPTIONS": _database,
        # None is Django's own choice; bin/test --mutants runs several beside each other
        "TEST": {"NAME": os.environ.get("LOCKSTEP_TEST_DATABASE")},
    }
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "lockstep.core",
    "lockstep.llm",
    "lockstep.budgets",
    "lockstep.privacy",
    "lockstep.prompts",
    "lockstep.search",
    "lockstep.workflows",
    "tests.testapp",
    "tests.archive",
    "tests.people",
    "tests.flows",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for tests only"
USE_TZ = True

LOCKSTEP = {
    "search": {
        "embedders": {
            "default": {
                "BACKEND": "lockstep.search.embedders.hashing.Hashing",
                "OPTIONS": {"dimensions": 64},
            },
        },
    },
}
