"""The bar of a budget: spent, held, and the mark at which people are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from lockstep.budgets.reports import Standing

__all__ = ["bar"]


def bar(one: Standing) -> SafeString:
    """As SVG, whose lengths are attributes: a content security policy forbids inline styles."""
    spent = min(one.percent, 100.0)
    held = min(one.held_percent, 100.0 - spent)
    return format_html(
        '<svg class="lockstep-bar lockstep-bar-{}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img"'
        ' aria-label="{} per cent spent, {} held"><rect class="lockstep-bar-all" width="100" height="8"/>'
        '<rect class="lockstep-bar-held" x="{}" width="{}" height="8"/>'
        '<rect class="lockstep-bar-spent" width="{}" height="8"/>'
        '<rect class="lockstep-bar-mark" x="{}" width="0.6" height="8"/></svg>',
        one.state, *(f"{value:.1f}" for value in (one.percent, held, spent, held, spent, one.budget.soft_percent)),
    )  # fmt: skip
