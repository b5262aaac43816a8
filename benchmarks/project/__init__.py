"""The small Django project that all benchmarks use, written as a customer would."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

EMBEDDER = "LOCKSTEP_BENCH_EMBEDDER"
"""The entry of ``LOCKSTEP["search"]["embedders"]`` as JSON; worker processes read it too."""


def start(embedder: Mapping[str, Any]) -> None:
    """Configure Django on the scratch database with one embedder, and make the tables."""
    import django
    from django.core.management import call_command

    os.environ[EMBEDDER] = json.dumps(embedder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
