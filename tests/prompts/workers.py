"""What runs in processes of its own: callers that ask the database which version is live."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["ask_until", "call_until", "release_at_once"]


def ask_until(stop: str, output: str) -> None:
    """Ask as the door does until the file ``stop`` exists; write ``began ended version`` lines, times by one clock."""
    import django

    django.setup()
    from django.db import connection

    stopped, lines = Path(stop), []
    with connection.cursor() as cursor:
        number = 0
        while number < 20 or not stopped.exists():
            number += 1
            began = time.monotonic()
            cursor.execute("SELECT prompt_version FROM lockstep_llm_resolve_v1('f', 'support-answer', 'u')")
            (version,) = cursor.fetchone()
            lines.append(f"{began:.6f} {time.monotonic():.6f} {version}")
            if number == 20:
                Path(output).write_text("")  # it is under way
    Path(output).write_text("\n".join(lines))


def call_until(stop: str, output: str) -> None:
    """The same through the door, with a model that answers at once; the version is what the ledger's row names."""
    import django
    from django.conf import settings

    providers = {"standin": {"BACKEND": "lockstep.llm.providers.standin.Standin"}}
    settings.LOCKSTEP = {**settings.LOCKSTEP, "llm": {"providers": providers}}
    django.setup()
    from lockstep.llm import feature
    from lockstep.llm.models import Call

    support = feature(
        "tests.switching", owner="ann@example.com", model="standin:quoting", prompt="support-answer"
    )
    stopped, calls = Path(stop), []
    while len(calls) < 5 or not stopped.exists():
        began = time.monotonic()
        reply = support.invoke({"question": "why?"})
        calls.append((began, time.monotonic(), reply.call))
        if len(calls) == 5:
            Path(output).write_text("")
    versions = dict(Call.objects.values_list("id", "prompt_version"))
    named = {str(key): version for key, version in versions.items()}
    Path(output).write_text(
        "\n".join(f"{began:.6f} {ended:.6f} {named[call]}" for began, ended, call in calls)
    )


def release_at_once(keys: list[str], start_at: float, who: str) -> None:
    """Release each version in turn, as fast as can be, beginning with others at one moment."""
    import django

    django.setup()
    from lockstep.prompts.releases import release

    while time.time() < start_at:
        time.sleep(0.001)
    for number, key in enumerate(keys):
        release("support-answer", key, actor=who, reason=f"{who} {number}")
