"""The queryset of an indexed model: bulk writes that keep step, and hybrid search."""

from __future__ import annotations

from typing import TypeVar

from django.db import models

from lockstep.search.query.queryset import HybridMixin
from lockstep.search.writes import InStepMixin

__all__ = ["SearchQuerySet"]

M = TypeVar("M", bound=models.Model)


class SearchQuerySet(HybridMixin[M], InStepMixin[M]):  # type: ignore[override]
    """Use as the default manager: ``objects = SearchQuerySet.as_manager()``."""
