"""Settings of the benchmark project. Needs the database and the embedder that ``benchmarks.database`` and
``benchmarks.project.start`` put into the environment.
"""

import json
import os

from psycopg.conninfo import conninfo_to_dict

_database = conninfo_to_dict(os.environ["LOCKSTEP_BENCH_DATABASE_URL"])

SECRET_KEY = "benchmarks only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "lockstep.core",
    "lockstep.llm",
    "lockstep.budgets",
    "lockstep.privacy",
    "lockstep.prompts",
    "lockstep.search",
    "lockstep.workflows",
    "benchmarks.project.catalogue",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.pop("dbname"),
        "USER": _database.pop("user", ""),
        "PASSWORD": _database.pop("password", ""),
        "HOST": _database.pop("host", ""),
        "PORT": _database.pop("port", ""),
        "OPTIONS": _database,
        "CONN_MAX_AGE": None,  # peers keep theirs, too
    }
}
LOCKSTEP = {
    "search": {"embedders": {"default": json.loads(os.environ["LOCKSTEP_BENCH_EMBEDDER"])}},
    "llm": json.loads(os.environ.get("LOCKSTEP_BENCH_LLM", "{}")),
    "workflows": json.loads(os.environ.get("LOCKSTEP_BENCH_WORKFLOWS", "{}")),
}
