"""Dates as people write them, for dates of birth."""

from __future__ import annotations

import re
from datetime import date

__all__ = ["REGEX", "is_birthday"]

NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?)"
)
DAY = r"\d{1,2}(?:st|nd|rd|th)?"
YEAR = r"(?:\d{4}|'?\d\d)"
REGEX = (
    rf"(?i:\d{{1,2}}[ ]?[./\- ][ ]?\d{{1,2}}[ ]?[./\- ][ ]?{YEAR}|\d{{4}}[./\- ]\d{{1,2}}[./\- ]\d{{1,2}}|\d{{8}}|"
    rf"{DAY}(?: of)?[ \-./]{{0,2}}{MONTH}[,.]?[ \-./]{{0,2}}{YEAR}|{MONTH}[. ]{{1,2}}{DAY},?[ ]{{1,2}}{YEAR})"
)
PARTS = re.compile(r"\d+|[a-z]{3,}")


def is_birthday(value: str) -> bool:
    """A day that exists, between 1900 and today, in any of the orders that are in use."""
    parts = [part for part in PARTS.findall(value.lower()) if part not in ("st", "nd", "rd", "th")]
    if len(parts) == 1 and len(parts[0]) == 8:
        whole = parts[0]
        orders = [(whole[4:], whole[2:4], whole[:2]), (whole[:4], whole[4:6], whole[6:])]
    elif len(parts) == 3:
        first, second, third = parts
        orders = [(third, second, first), (third, first, second), (first, second, third)]
    else:
        return False
    return any(_exists(*order) for order in orders)


def _exists(year: str, month: str, day: str) -> bool:
    if not (year.isdigit() and day.isdigit() and len(day) <= 2):
        return False
    number = NAMES.index(month[:3]) + 1 if month[:3] in NAMES else int(month) if month.isdigit() else 0
    full = int(year) if len(year) == 4 else 2000 + int(year)
    try:
        found = date(full, number, int(day))
    except ValueError:
        return False
    return found.year >= 1900 and (len(year) == 2 or found <= date.today())
