"""What the commands share: naming indexes on the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from lockstep.core.conf import nearest
from lockstep.search.declaration import Declaration, all_indexes


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "indexes", nargs="*", metavar="app.Model.attribute", help="Which indexes; all when none."
    )
    parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Alias of the database.")


def chosen(options: dict[str, Any]) -> list[Declaration]:
    """The indexes that were named, by ``app.Model`` or ``app.Model.attribute``."""
    using = options["database"]
    if using not in connections:
        raise CommandError(f"No database {using!r}. {nearest(using, set(connections))}")
    known = {index.label.lower(): index for index in all_indexes()}
    if not known:
        raise CommandError("No model declares a SearchIndex. See docs/tutorial/first-search.md.")
    if not options["indexes"]:
        return list(known.values())
    return [found for wanted in options["indexes"] for found in _matching(wanted, known)]


def _matching(wanted: str, known: dict[str, Declaration]) -> list[Declaration]:
    lowered = wanted.lower()
    found = [
        index for label, index in known.items() if label == lowered or label.rsplit(".", 1)[0] == lowered
    ]
    if not found:
        raise CommandError(f"No index {wanted!r}. {nearest(lowered, set(known))}")
    return found
