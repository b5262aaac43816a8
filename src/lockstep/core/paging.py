"""Pages of tables that grow without end: nobody counts a million rows to show fifty."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

__all__ = ["REACH", "Bounded"]

REACH = 10_000
"""Rows that can be paged through; who looks for older ones filters."""


class Bounded(AnyPaginator):
    """Counts no further than one can page; beyond that the planner's guess will do."""

    object_list: QuerySet[Any]

    @cached_property
    def _counted(self) -> int:
        return self.object_list.order_by()[: REACH + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self._counted, REACH)

    @cached_property
    def about(self) -> int | None:
        """How many there may be; None when they are all counted."""
        if self._counted <= REACH:
            return None
        plan = json.loads(self.object_list.order_by().explain(format="json"))
        return max(int(plan[0]["Plan"]["Plan Rows"]), REACH)
