"""Whether the database that an app's section of ``LOCKSTEP`` names can hold what it must."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connections, router

from lockstep.core.conf import nearest

__all__ = ["misplaced"]


def misplaced(
    section: str, alias: str, effects: Mapping[type[Any], str], *, unusable: str, elsewhere: str
) -> Iterator[CheckMessage]:
    """What is wrong with ``LOCKSTEP[section]["database"]``.

    Args:
        effects: model that has to be in it -> what happens where a router keeps it in another.
        unusable: id of the message that it is no alias of a PostgreSQL.
        elsewhere: id of the message about a router.
    """
    setting = f'LOCKSTEP["{section}"]["database"]'
    if alias not in connections:
        hint = nearest(alias, set(connections))
        yield Error(f"{setting} = {alias!r} names no database of DATABASES.", hint=hint, id=unusable)
        return
    if connections[alias].vendor != "postgresql":
        hint = "Name the alias of a PostgreSQL database: what is in it is written by functions of its own."
        yield Error(f"{setting} = {alias!r} is no PostgreSQL.", hint=hint, id=unusable)
        return
    for model, effect in effects.items():
        label, app = model._meta.label, model._meta.app_label
        for other in sorted({router.db_for_read(model), router.db_for_write(model)} - {alias}):
            yield Error(
                f"{label} is kept in {other!r}, and {setting} is {alias!r}: {effect}.",
                hint=f"Let a router of DATABASE_ROUTERS answer {alias!r} to db_for_read and db_for_write for the app"
                f" {app}, or set the alias to {other!r}; then migrate that database.",
                id=elsewhere,
            )
