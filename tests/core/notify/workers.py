"""What runs in processes of its own: deliverers, outside any test runner."""

from __future__ import annotations

from typing import Any

__all__ = ["follow", "on_sqlite", "once"]


def set_up(sinks: dict[str, Any], **notify: Any) -> None:
    import django
    from django.conf import settings

    core = {"notify": {"sinks": sinks, "timeout_s": 5.0, "poll_s": 0.05, **notify}}
    settings.LOCKSTEP = settings.LOCKSTEP | {"core": core}
    django.setup()


def follow(sinks: dict[str, Any]) -> None:
    set_up(sinks)
    from django.core.management import call_command

    call_command("lockstep_notify", "--follow")


def once(sinks: dict[str, Any]) -> None:
    set_up(sinks)
    from django.core.management import call_command

    call_command("lockstep_notify", "--once")


def on_sqlite(file: str, sinks: dict[str, Any]) -> None:
    """Core alone on another database: plain ORM, no row locks."""
    from django.conf import settings

    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}}
    settings.INSTALLED_APPS = ["django.contrib.contenttypes", "lockstep.core"]
    set_up(sinks)
    from django.core.management import call_command
    from django.db import transaction

    from lockstep.core import ports
    from lockstep.core.models import Delivery, SinkState

    call_command("migrate", verbosity=0)
    with transaction.atomic():
        ports.notify.get().send(ports.Notice("t", "lost"))
        transaction.set_rollback(True)
    for subject, resolves in (("on", False), ("off", True)):
        ports.notify.get().send(ports.Notice("t", subject, dedup_key="k", resolves=resolves, facts={"a": 1}))
    for _ in range(2):
        call_command("lockstep_notify")
    assert list(Delivery.objects.values_list("state", flat=True)) == ["sent", "sent"]
    assert SinkState.objects.get().held_by is None
