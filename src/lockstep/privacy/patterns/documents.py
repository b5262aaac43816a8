"""Identifiers that public bodies issue in the United Kingdom, by their published formats."""

from __future__ import annotations

import re

from lockstep.privacy.patterns.checksums import nhs

__all__ = ["is_driving_licence", "is_nhs", "is_nhs_alone", "is_nino", "is_postcode", "is_registration"]

#: gov.uk, NIM39110: letters that are not used, prefixes that are not allocated
NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]?")
#: every postcode area that Royal Mail has, BFPO's BF and Crown dependencies included
AREAS = frozenset(
    [
        "AB", "AL", "B", "BA", "BB", "BD", "BF", "BH", "BL", "BN", "BR", "BS", "BT", "CA", "CB", "CF", "CH", "CM",
        "CO", "CR", "CT", "CV", "CW", "DA", "DD", "DE", "DG", "DH", "DL", "DN", "DT", "DY", "E", "EC", "EH", "EN",
        "EX", "FK", "FY", "G", "GL", "GU", "GY", "HA", "HD", "HG", "HP", "HR", "HS", "HU", "HX", "IG", "IM", "IP",
        "IV", "JE", "KA", "KT", "KW", "KY", "L", "LA", "LD", "LE", "LL", "LN", "LS", "LU", "M", "ME", "MK", "ML",
        "N", "NE", "NG", "NN", "NP", "NR", "NW", "OL", "OX", "PA", "PE", "PH", "PL", "PO", "PR", "RG", "RH", "RM",
        "S", "SA", "SE", "SG", "SK", "SL", "SM", "SN", "SO", "SP", "SR", "SS", "ST", "SW", "SY", "TA", "TD", "TF",
        "TN", "TQ", "TR", "TS", "TW", "UB", "W", "WA", "WC", "WD", "WF", "WN", "WR", "WS", "WV", "YO", "ZE",
    ]
)  # fmt: skip
OUTWARD = re.compile(r"([A-Z]{1,2})(?:\d{1,2}|\d[A-HJKP-Y])")
#: DVLA INF104: current style to 2029, with age identifiers from 02 and 51; prefix and suffix styles
REGISTRATION = re.compile(
    r"[A-HJ-PR-Y][A-HJ-PR-Y](?:0[2-9]|[12]\d|5[1-9]|[67]\d)[A-HJ-PR-Z]{3}|"
    r"[A-HJ-NP-TV-Y][1-9]\d{0,2}[A-HJ-PR-Y]{3}|[A-HJ-PR-Y]{3}[1-9]\d{0,2}[A-HJ-NPR-TV-Y]|"
    r"[A-Z]{1,3}[1-9]\d{0,3}|[1-9]\d{0,3}[A-Z]{1,3}"
)
#: DVLA: five of the surname (9 fills up), decade, month (+50 for women), day, year, two initials, three to check
DRIVER = re.compile(
    r"(?=[A-Z])[A-Z]{0,5}9{0,4}(?<=^.{5})\d(?:0[1-9]|1[0-2]|5[1-9]|6[0-2])(?:0[1-9]|[12]\d|3[01])\d"
    r"[A-Z9]{2}\d[A-Z]{2}(?:\d\d)?"
)
ALLOCATED = re.compile(r"[467]|3[2-9]|0|(?:[012]\d|3[01])(?:0[1-9]|1[0-2])|9")


def is_nino(value: str) -> bool:
    return NINO.fullmatch(value) is not None


def is_postcode(value: str) -> bool:
    """An area that exists, and a form that its districts take."""
    if value == "GIR0AA":
        return True
    outward = OUTWARD.fullmatch(value[:-3])
    return outward is not None and outward[1] in AREAS


def is_registration(value: str) -> bool:
    return REGISTRATION.fullmatch(value) is not None


def is_driving_licence(value: str) -> bool:
    return DRIVER.fullmatch(value) is not None


def is_nhs(value: str) -> bool:
    return nhs(value)


def is_nhs_alone(value: str) -> bool:
    """Where no word names it: the check digit, and a range that is in use.

    England, Wales and Man 4, 6, 7; Northern Ireland 32 to 39; Scotland (CHI) begins with a date of birth; 9 for tests
    and temporary numbers. Seconds since 1970, the usual ten digits of a log, begin with 1 and are no date.
    """
    return ALLOCATED.match(value) is not None and nhs(value)
