"""Telephone and card numbers by the plans they are issued from."""

from __future__ import annotations

import re

from lockstep.privacy.patterns.checksums import luhn

__all__ = ["is_card", "is_e164", "is_nanp", "is_number_of_card", "is_phone_alike", "is_spread", "is_uk_phone"]

#: country codes that the ITU has assigned (E.164 list)
CALLING_CODE = re.compile(
    r"1|7|2[07]|2[1-69]\d|3[0-469]|3[578]\d|4[013-9]|42[0-3]|5[1-8]|5[09]\d|6[0-6]|6[789]\d|8[1246]|8[0578]\d|"
    r"9[0-58]|9[679]\d"
)
#: first digits and number of digits in the UK, the leading 0 included (Ofcom, National Telephone Numbering Plan)
UK_PLAN = re.compile(
    r"01[1-9]\d{8}|01[2-9]\d{7,8}|02[03489]\d{8}|03[0347]\d{8}|05[56]\d{8}|0500\d{6}|07[0-9]\d{8}|"
    r"0800\d{6,7}|08001111|080[08]\d{7}|08[47]\d{8}|09[018]\d{8}"
)
NANP = re.compile(r"[2-9](?!11)\d\d[2-9](?!11)\d{6}")
DATE = re.compile(r"\d{4}[-./]\d\d?[-./]\d\d?|\d\d?[-./]\d\d?[-./](?:\d{4}|\d\d)")
#: issuer identification numbers and the lengths that their schemes use
CARD_PLAN = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d+(?<=^.{16})|"
    r"3[47]\d{13}|3(?:0[0-5]|095|[689]\d)\d{11,16}|(?:2131|1800)\d{11}|35(?:2[89]|[3-8]\d)\d{12,15}|"
    r"6(?:011|4[4-9]\d|5\d\d)\d{12,15}|62\d{14,17}|(?:5[0678]|6[0-9])\d{10,17}|"
    r"(?:8[1]\d\d|9792|220[0-4])\d{12,15}"
)


def is_e164(value: str) -> bool:
    """An international number: an assigned country code and 8 to 15 digits; a bracketed trunk 0 may come on top."""
    digits = without_extension(value).removeprefix("00")
    code = CALLING_CODE.match(digits)
    return code is not None and 8 <= len(digits) <= 16


def is_uk_phone(value: str) -> bool:
    return UK_PLAN.fullmatch(without_extension(value)) is not None


def is_nanp(value: str) -> bool:
    """North American: area code and exchange begin with 2 to 9 and are no service code (N11)."""
    return NANP.fullmatch(without_extension(value)) is not None


def is_phone_alike(value: str) -> bool:
    """Beside a word that names it: not a date, not one digit over and over."""
    return is_spread(value) and DATE.fullmatch(value) is None


def without_extension(value: str) -> str:
    return re.split("[A-Za-z]", value, maxsplit=1)[0]


def is_card(value: str) -> bool:
    """Luhn, and a length that the scheme of its first digits issues."""
    return CARD_PLAN.fullmatch(value) is not None and luhn(value)


def is_number_of_card(value: str) -> bool:
    """Beside a word that names it: Luhn is enough, schemes issue from new ranges."""
    return luhn(value) and is_spread(value)


def is_spread(value: str) -> bool:
    """Not one digit over and over, as in examples and rulers."""
    return len(set(value)) > 1
