"""How the templates show prices, numbers and highlights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from demo.shop import markdown
from demo.shop.forms import titled
from demo.shop.searching import Part

register = template.Library()


@register.filter
def pounds(pence: int) -> str:
    return f"£{pence / 100:,.2f}"


@register.filter
def money(micros: int, currency: str) -> str:
    """Millionths of a currency, with as many digits as the amount has."""
    amount = f"{micros / 1_000_000:.6f}".rstrip("0")
    whole, _, part = amount.partition(".")
    return f"{currency} {whole}.{part.ljust(2, '0')}"


register.filter("titled", titled)
register.filter("markdown", markdown.render, is_safe=True)


@register.filter
def percent(part: float) -> str:
    return f"{part:.0%}"


@register.filter
def is_key_of(key: str, record: Any) -> bool:
    """Whether a question names this record."""
    return key in (getattr(record, "sku", None), getattr(record, "slug", None))


@register.filter
def leg_score(hit: Any) -> str:
    """The raw score of a hit that one leg alone has found."""
    return ", ".join(f"{leg['score']:.2f}" for leg in hit.search_detail["legs"].values())


@register.simple_tag
def bar(parts: Sequence[Part]) -> SafeString:
    """The contributions of the legs as one bar; SVG, since the page allows no inline styles."""
    stretches = format_html_join(
        "",
        '<rect class="{}" x="{}" width="{}" height="10"/>',
        ((part.name, f"{part.start:.2f}", f"{part.width:.2f}") for part in parts),
    )
    return format_html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        stretches,
    )
