"""The port's implementation: a notice is a row of the caller's transaction."""

from __future__ import annotations

from django.db import router

from lockstep.core import ports
from lockstep.core.conf import nearest
from lockstep.core.notify import texts
from lockstep.core.settings import LEVELS

__all__ = ["Outbox", "database"]


def database() -> str:
    """Alias of the database that notices are in."""
    from lockstep.core.models import Notice

    return router.db_for_write(Notice)


class Outbox:
    """Writes notices where ``lockstep_notify`` and the Celery task find them. Rolled back with the caller's work."""

    def send(self, notice: ports.Notice) -> None:
        """Write it down. Whatever the texts hold, it does not fail: what a database cannot keep is left out.

        Raises:
            ValueError: the severity is none.
        """
        from lockstep.core.models import Notice

        if notice.severity not in LEVELS:
            raise ValueError(f"No severity: {notice.severity!r}. {nearest(notice.severity, LEVELS)}")
        Notice.objects.using(database()).create(
            topic=texts.line(notice.topic, 100),
            subject=texts.line(notice.subject, 300),
            body=texts.text(notice.body),
            severity=notice.severity,
            dedup_key=texts.key(notice.dedup_key),
            resolves=notice.resolves,
            facts=texts.plain(notice.facts),
        )
