"""The small Django project that all benchmarks use, written as a customer would."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

EMBEDDER = "LOCKSTEP_BENCH_EMBEDDER"
"""The entry of ``LOCKSTEP["search"]["embedders"]`` as JSON; worker processes read it too."""

LLM = "LOCKSTEP_BENCH_LLM"
"""``LOCKSTEP["llm"]`` as JSON."""
WORKFLOWS = "LOCKSTEP_BENCH_WORKFLOWS"
"""``LOCKSTEP["workflows"]`` as JSON."""
HASHING = {"BACKEND": "lockstep.search.embedders.hashing.Hashing", "OPTIONS": {"dimensions": 384}}


def start(embedder: Mapping[str, Any], llm: Mapping[str, Any] | None = None) -> None:
    """Configure Django on the scratch database with one embedder, and make the tables."""
    import django
    from django.core.management import call_command

    os.environ[EMBEDDER] = json.dumps(embedder)
    os.environ[LLM] = json.dumps(llm or {})
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
