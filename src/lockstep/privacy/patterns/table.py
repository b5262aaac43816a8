"""What the pack finds: one row for each form. Sources stand with the checks."""

from __future__ import annotations

import re

from lockstep.privacy.patterns import dates, documents, iban, network, numbers, secrets
from lockstep.privacy.patterns.checksums import utr
from lockstep.privacy.patterns.pattern import AFTER, BEFORE, Pattern

__all__ = ["PAIR", "PATTERNS", "VERSION"]

VERSION = "uk-1"
"""Changes with every change of what is found."""

S = r"[ \t\r\n-]{0,3}"
"""What may stand between the groups of a number that is written in several."""
T = r"[ .\-()/]{0,3}"
"""The same in telephone numbers."""
EXTENSION = r"(?: ?(?:x|ext\.?|extension) ?\d{1,6})?"
#: no part of an amount or a decimal: not after a currency sign or a point, not before a point and a digit
NUMBER = (r"(?<![A-Za-z0-9£$€])(?<!\d[.,])", r"(?![A-Za-z0-9]|[.,]\d)")
PLUS = (r"(?<![A-Za-z0-9+])", AFTER)
RUN = r"\d(?:[ \t\r\n.-]{0,3}\d)"
LOCAL = re.compile(r"[\w!#$%&*+.~^{|}-][\w!#$%&*+.'~^{|}-]*\Z")
"""What may stand before the @; a slash, an equals sign or an opening quote is where a list or a query begins."""

BANK = r"sort(?:[ -]?codes?)?|s/c"
ACCOUNT = r"account|acct|acc|a/c|acc?ount no|ac no"
PAIR = re.compile(r"\d\d-\d\d-\d\d[ ,/;]{1,3}\d{8}")
"""Two values that are told by each other: no stream is cut between them."""
PHONE = r"(?:tele)?phone|tel|mobile|mob|cell(?:phone)?|fax|landline|whatsapp|hotline|helpline|voicemail|dial|handy"
#: verbs count only when nothing but such words stands between them and the number
REACH = (
    r"(?:call|calls|calling|ring|text|texts|sms|contact|reach|answering|messages?)"
    r"(?:[\s,:]{1,2}(?:me|us|him|her|them|you|back|on|at|to|from|via|is|my|your|our|his|their|the|this|registered|office|"
    r"number|no))*[\s.:#]{0,3}$"
)
PHONE_STEMS = (
    "phone", "tel", "mob", "cell", "fax", "land", "whats", "line", "mail", "dial", "handy", "call", "ring", "text",
    "sms", "contact", "reach", "answer", "messag", "office", "desk",
)  # fmt: skip
VEHICLE = (
    r"reg(?:istration)?|vehicle|car|van|lorry|number ?plates?|plates?|vr[mn]|keeper|mot|dvla|licen[cs]e plate"
)

PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "EMAIL",
        r"@(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}|[^\W\d_]{2,63})",
        needs=("@",),
        back=LOCAL,
        border=("", r"(?![A-Za-z0-9_-])"),
    ),
    Pattern(
        "URL_LOGIN",
        r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/?#@:]{0,256}:[^\s/?#@]{1,512}@[^\s\"'<>]{1,2048}",
        needs=("://",),
        border=(BEFORE, ""),
    ),
    Pattern(
        "URL",
        r"(?:https?|ftp|wss?)://[^\s\"'<>`|\\^{}]{1,2048}(?<![.,;:!?)\]])",
        needs=("://",),
        border=(BEFORE, ""),
        flags=re.I,
    ),
    Pattern(
        "URL",
        r"www\.[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{2,250}(?:[/?#][^\s\"'<>`|\\^{}]{0,2048})?(?<![.,;:!?)\]])",
        needs=("www.",),
        border=(BEFORE, ""),
    ),
    Pattern(
        "API_KEY", secrets.KEYS, needs=secrets.MARKS, border=(r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-])")
    ),
    Pattern("API_KEY", secrets.PEM, needs=("private key",), border=("", "")),
    Pattern(
        "API_KEY",
        secrets.ASSIGNED,
        check=secrets.is_secret,
        whole=True,
        label=secrets.LABEL,
        near=24,
        needs=secrets.WORDS,
        border=(r"(?<![A-Za-z0-9_.~+/-])", r"(?![A-Za-z0-9_~+/=-])"),
    ),
    Pattern(
        "IP",
        network.IPV4,
        least=4,
        border=(r"(?<![A-Za-z0-9])(?<!\d\.)", r"(?![A-Za-z0-9]|\.\d)"),
        unless=r"version|release|v|build|ver|rev|section|clause|chapter|firmware",
    ),
    Pattern(
        "IP",
        network.IPV6,
        check=network.is_address,
        whole=True,
        needs=(":",),
        border=(r"(?<![A-Za-z0-9:.])", r"(?![A-Za-z0-9:]|\.\d)"),
    ),
    Pattern(
        "IP",
        "::",
        label=r"ip(?:v6)?|address|unspecified",
        needs=("::",),
        border=(r"(?<![A-Za-z0-9:.])", r"(?![A-Za-z0-9:.])"),
    ),
    Pattern(
        "CARD",
        r"\d{13,19}|\d{4}(?:[ \t\r\n.-]{1,3}\d{4}){3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{4,5}|\d(?: \d){12,18}",
        check=numbers.is_card,
        sure=True,
        least=13,
        border=NUMBER,
    ),
    Pattern(
        "CARD",
        RUN + "{11,40}",
        digits=(12, 19),
        check=numbers.is_number_of_card,
        sure=True,
        least=12,
        border=NUMBER,
        label=r"card|cc|credit|debit|visa|mastercard|maestro|amex|pan",
        stems=("card", "cc", "credit", "debit", "visa", "maestro", "amex", "pan"),
    ),
    Pattern("IBAN", iban.REGEX, check=iban.is_iban, sure=True, letters=(2, 2), begins="A"),
    Pattern(
        "NHS",
        rf"\d{{10}}|\d{{3}}{S}\d{{3}}{S}\d{{4}}|\d(?: \d){{9}}|\d{{6}}[ -]\d{{4}}",
        check=documents.is_nhs_alone,
        sure=True,
        least=10,
        border=NUMBER,
    ),
    Pattern(
        "NHS",
        RUN + "{9,30}",
        digits=(10, 10),
        least=10,
        check=documents.is_nhs,
        sure=True,
        border=NUMBER,
        label=r"nhs|chi|h&c|health (?:and|&) care|patient",
        alone=True,
    ),
    Pattern(
        "NINO",
        rf"[A-Za-z]{{2}}{S}\d\d{S}\d\d{S}\d\d{S}[A-Da-d]",
        check=documents.is_nino,
        letters=(2, 2),
        begins="A",
    ),
    Pattern(
        "NINO",
        rf"[A-Za-z]{{2}}{S}\d\d{S}\d\d{S}\d\d(?:{S}[A-Za-z])?",
        letters=(2, 2),
        begins="A",
        stems=("nino", "ni n", "nat"),
        label=r"nino|ni (?:no|number)|national insurance",
    ),
    Pattern(
        "POSTCODE",
        r"[A-Za-z]{1,2}\d[A-Za-z\d]?\s{1,2}(?!\d(?:st|nd|rd|th)\b)\d[ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{2}|"
        r"[A-Z]{1,2}\d[A-Z\d]?\d[ABD-HJLNP-UW-Z]{2}|[Gg][Ii][Rr] ?0[Aa]{2}",
        check=documents.is_postcode,
        letters=(1, 3),
        begins="A",
    ),
    Pattern(
        "POSTCODE",
        r"[A-Za-z]{1,2}\d[A-Za-z\d]?\s{0,2}\d[ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{2}",
        check=documents.is_postcode,
        letters=(1, 2),
        begins="A",
        label=r"post ?code|postal|address|zip",
        alone=True,
    ),
    Pattern(
        "SORT_CODE",
        r"\d{2}[ -]?\d{2}[ -]?\d{2}",
        label=BANK,
        near=32,
        least=6,
        stems=("sort", "s/c"),
        border=NUMBER,
    ),
    Pattern("SORT_CODE", r"\d\d-\d\d-\d\d(?=[ ,/;]{1,3}\d{8}(?!\d))", least=14),
    Pattern(
        "ACCOUNT",
        r"\d{6,8}|\d{4}[ -]\d{4}|\d\d(?: \d\d){3}",
        check=numbers.is_spread,
        label=ACCOUNT,
        near=32,
        least=6,
        stems=("acc", "a/c", "ac no"),
        border=NUMBER,
    ),
    Pattern(
        "ACCOUNT",
        r"(?:(?<=\d\d-\d\d-\d\d[ ,/;])|(?<=\d\d-\d\d-\d\d[,;/] )|(?<=\d\d-\d\d-\d\d / ))\d{8}",
        least=8,
    ),
    Pattern(
        "UTR",
        r"\d(?:[ \t-]?\d){9}[Kk]?",
        check=utr,
        sure=True,
        least=10,
        border=NUMBER,
        stems=("utr", "tax", "self"),
        label=r"utr|unique tax(?:payer)? ref\w*|tax(?:payer)? ref\w*|self[ -]assessment",
    ),
    Pattern(
        "UTR",
        r"\d(?:[ \t-]?\d){9}[Kk]?",
        least=10,
        border=NUMBER,
        stems=("utr", "tax", "self"),
        label=r"utr|unique tax(?:payer)? ref\w*",
    ),
    Pattern(
        "PASSPORT",
        r"\d{9}|\d{3} \d{3} \d{3}|[A-Za-z]{1,2}[ -]?\d{7,8}",
        letters=(1, 2),
        begins="A9",
        least=9,
        stems=("passport",),
        label=r"passports?",
        border=NUMBER,
    ),
    Pattern("PASSPORT", r"[A-Za-z]{2}\d{7}", letters=(2, 2), begins="A", label=r"passports?", alone=True),
    Pattern(
        "DRIVING_LICENCE",
        r"[A-Za-z9]{5}[ -]?\d{6}[ -]?[A-Za-z9]{2}\d[A-Za-z]{2}(?: ?\d\d)?",
        check=documents.is_driving_licence,
        letters=(1, 5),
        begins="A",
    ),
    Pattern(
        "DRIVING_LICENCE",
        r"\d{8}",
        least=8,
        stems=("licen",),
        label=r"driv(?:ing|er'?s?) licen[cs]e|licen[cs]e n(?:o|umber)",
    ),
    Pattern(
        "VEHICLE",
        r"[A-Za-z]{2}\d\d[ -]?[A-Za-z]{3}|[A-Z]\d{3}[A-Z]{3}|[A-Z]{3}\d{3}[A-Z]",
        check=documents.is_registration,
        letters=(1, 3),
        begins="A",
    ),
    Pattern(
        "VEHICLE",
        r"[A-Za-z]{2}\d\d ?[A-Za-z]{3}|[A-Za-z]\d{1,3} ?[A-Za-z]{3}|[A-Za-z]{3} ?\d{1,3} ?[A-Za-z]|"
        r"[A-Z]{1,3} ?\d{1,4}|\d{1,4} ?[A-Z]{1,3}",
        check=documents.is_registration,
        letters=(1, 3),
        begins="A9",
        stems=("reg", "vehicle", "car", "van", "lorry", "plate", "vr", "keeper", "mot", "dvla"),
        label=VEHICLE,
        near=24,
    ),
    Pattern(
        "PHONE",
        rf"(?:\+|00[ -]?)(?:44(?:{T}\(0\))?(?:{T}\d){{9,10}}|1(?:{T}\d){{10}}){EXTENSION}",
        check=numbers.is_e164,
        begins="+9",
        least=11,
        border=PLUS,
    ),
    Pattern(
        "PHONE",
        rf"\+[2-9](?:{T}\d){{7,14}}{EXTENSION}",
        check=numbers.is_e164,
        begins="+",
        least=8,
        border=PLUS,
    ),
    Pattern(
        "PHONE",
        rf"00[ -]?[2-9](?:\d{{0,3}}[ .\-/()]{{1,3}}\d)(?:{T}\d){{6,13}}",
        check=numbers.is_e164,
        least=10,
        border=NUMBER,
    ),
    Pattern(
        "PHONE",
        rf"\(?0(?:{T}\d){{7,10}}{EXTENSION}",
        check=numbers.is_uk_phone,
        begins="(9",
        least=8,
        border=NUMBER,
    ),
    Pattern(
        "PHONE",
        rf"(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])[2-9]\d\d[-.]\d{{4}}{EXTENSION}",
        check=numbers.is_nanp,
        begins="(9",
        least=10,
        border=NUMBER,
    ),
    Pattern(
        "PHONE",
        rf"\(?\d(?:{T}\d){{6,13}}{EXTENSION}",
        check=numbers.is_phone_alike,
        whole=True,
        begins="(9",
        least=7,
        stems=PHONE_STEMS,
        label=f"{PHONE}|{REACH}",
        label_after=r"office|fax|mobile|cell|desk|tel|phone|landline",
        border=NUMBER,
    ),
    Pattern(
        "PHONE",
        r"\(?0\d{1,4}\)?[ -]\d{5,8}",
        begins="(9",
        least=8,
        label=r"numbers?|no",
        near=16,
        border=NUMBER,
    ),
    Pattern(
        "DATE_OF_BIRTH",
        dates.REGEX,
        check=dates.is_birthday,
        whole=True,
        begins="9M",
        stems=("birth", "dob", "d.o", "born"),
        label=r"date of birth|birth ?dates?|birthdays?|d\.?o\.?b\.?|born",
        border=NUMBER,
    ),
)
