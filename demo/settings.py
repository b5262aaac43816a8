"""Settings of the demo shop. ``DATABASE_URL`` names its PostgreSQL, ``REDIS_URL`` its Redis; ``bin/demo`` sets them."""

import os

from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

if not os.environ.get("DATABASE_URL"):
    raise ImproperlyConfigured(
        "DATABASE_URL is not set. Start the shop with bin/demo, which brings PostgreSQL."
    )

_database = conninfo_to_dict(os.environ["DATABASE_URL"])
_name = _database.pop("dbname", "lockstep_demo")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _name,
        "USER": _database.pop("user", ""),
        "PASSWORD": _database.pop("password", ""),
        "HOST": _database.pop("host", ""),
        "PORT": _database.pop("port", ""),
        "OPTIONS": _database,
        "TEST": {"NAME": f"test_{_name}_demo"},  # apart from the database of the package's own tests
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
    "demo.shop",
    "demo.orders",
]

_providers = {
    "openai": {"BACKEND": "lockstep.llm.providers.openai.OpenAI"},
    "anthropic": {"BACKEND": "lockstep.llm.providers.anthropic.Anthropic"},
    "standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"},
}
DEMO_MODEL = os.environ.get("LOCKSTEP_MODEL") or "standin:quoting"
"""``openai:gpt-5-mini``, ``anthropic:…``, or the base URL of a server with OpenAI's API and a model of it:
``http://127.0.0.1:11434/v1#llama3.2``. With none, a stand-in quotes the passages."""
if DEMO_MODEL.startswith(("http://", "https://")):
    _base_url, _, _served = DEMO_MODEL.partition("#")
    DEMO_MODEL = f"local:{_served or 'default'}"
    _providers["local"] = {
        "BACKEND": "lockstep.llm.providers.openai.OpenAI",
        "OPTIONS": {"base_url": _base_url, "api_key_env": "LOCKSTEP_MODEL_KEY"},
    }

LOCKSTEP = {
    "llm": {"providers": _providers, "max_output_tokens": 600},
    "search": {
        "embedders": {
            "default": {"BACKEND": "lockstep.search.embedders.minilm.MiniLM"},
        },
    },
    "workflows": {"site_url": os.environ.get("DEMO_URL", "")},
}

CELERY_BROKER_URL = os.environ.get("REDIS_URL", "").replace("unix://", "redis+socket://")
CELERY_TASK_DEFAULT_QUEUE = "larkrise"

BANK_URL = os.environ.get("BANK_URL", "http://127.0.0.1:1/")
"""Where ``demo/bank.py`` listens; ``bin/demo`` starts it."""

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
if os.environ.get("DEMO_MAIL"):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = os.environ["DEMO_MAIL"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "demo.shop.personas.PersonaMiddleware",
    "demo.shop.security.content_security_policy",
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
                "demo.shop.personas.personas",
            ],
        },
    },
]

DEBUG = bool(os.environ.get("DEMO_DEBUG"))
SECRET_KEY = "of a demo that answers on this machine only"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", "testserver"]
ROOT_URLCONF = "demo.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "Europe/London"
USE_TZ = True
LOGIN_URL = "admin:login"
SESSION_COOKIE_NAME = "larkrise_session"
CSRF_COOKIE_NAME = "larkrise_csrf"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.server": {"level": "WARNING"}},  # a line a request would bury the tour of bin/demo
}
