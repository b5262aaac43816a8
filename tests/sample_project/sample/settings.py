"""Settings as ``startproject`` writes them, with a second database."""

import os
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

BASE_DIR = Path(__file__).resolve().parent.parent
place = conninfo_to_dict(os.environ["DATABASE_URL"])
name = os.environ.get("SAMPLE_DATABASE", "sample")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": place.get("dbname", "postgres"),
        "USER": place.get("user", ""),
        "PASSWORD": place.get("password", ""),
        "HOST": place.get("host", ""),
        "PORT": place.get("port", ""),
        "TEST": {"NAME": f"test_{name}"},
        "ATOMIC_REQUESTS": True,
    },
    "archive": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "lockstep.core",
    "lockstep.privacy",
    "lockstep.search",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "sample.urls"
ALLOWED_HOSTS = ["*"]
SECRET_KEY = "a sample"
STATIC_URL = "static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOCKSTEP = {
    "search": {
        "embedders": {
            "default": {"BACKEND": "lockstep.search.embedders.hashing.Hashing", "OPTIONS": {"dimensions": 32}}
        }
    }
}
