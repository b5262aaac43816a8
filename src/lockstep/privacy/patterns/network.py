"""Addresses of machines."""

from __future__ import annotations

import re
from ipaddress import ip_interface

__all__ = ["IPV4", "IPV6", "is_address"]

ZONE = re.compile(r"%[^/]*")
OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
IPV4 = rf"{OCTET}(?:\.{OCTET}){{3}}(?:/(?:3[0-2]|[12]?\d)(?!\d))?"
IPV6 = (
    r"(?:[0-9A-Fa-f]{1,4}:|:(?=:))(?:[0-9A-Fa-f]{0,4}:){1,6}(?:[0-9A-Fa-f]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?"
    r"(?:%[A-Za-z0-9]{1,16}(?![A-Za-z0-9]))?(?:/(?:12[0-8]|1[01]\d|[1-9]?\d)(?!\d))?"
)


def is_address(value: str) -> bool:
    """IPv6, with or without zone and prefix length. The unspecified address alone is an operator in many languages."""
    try:
        ip_interface(ZONE.sub("", value))
    except ValueError:
        return False
    return value != "::"
