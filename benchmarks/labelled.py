"""Reads texts with labelled personal data, and says what their types mean here.

Lines of JSON: ``_id``, ``text``, ``spans`` (``start``, ``end``, ``type``; code points). Where a line has
``entity_types``, only these were labelled in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.exceptions import MalformedData

#: type in the data -> type of the pack. With a checkable pattern: they make up the figures called structured.
STRUCTURED = {
    "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN", "UK_NHS": "NHS", "UK_NINO": "NINO", "UK_POSTCODE": "POSTCODE",
    "UK_SORT_CODE": "SORT_CODE", "BANK_ACCOUNT": "ACCOUNT", "UK_BANK_ACCOUNT": "ACCOUNT", "UK_UTR": "UTR",
    "UK_PASSPORT": "PASSPORT", "UK_DRIVING_LICENCE": "DRIVING_LICENCE", "UK_VEHICLE_REGISTRATION": "VEHICLE",
    "IP_ADDRESS": "IP", "URL": "URL", "DOMAIN_NAME": "URL", "API_KEY": "API_KEY", "DATE_OF_BIRTH": "DATE_OF_BIRTH",
    **{name: name for name in (
        "EMAIL", "PHONE", "CARD", "IBAN", "NHS", "NINO", "POSTCODE", "SORT_CODE", "ACCOUNT", "UTR", "PASSPORT",
        "DRIVING_LICENCE", "VEHICLE", "IP", "URL_LOGIN",
    )},
}  # fmt: skip
#: types that a finding of the pack may rightly lie in, although not every value of theirs is one
ALLOWED = {
    "DATE_TIME": ("DATE_OF_BIRTH",),
    "ZIP_CODE": ("POSTCODE",),
    "STREET_ADDRESS": ("POSTCODE",),
    "ADDRESS": ("POSTCODE",),
}
#: not claimed: no pattern tells them, or they are another country's
NOT_CLAIMED = frozenset(
    [
        "PERSON", "NAME", "ADDRESS", "STREET_ADDRESS", "GPE", "LOCATION", "ORGANIZATION", "DATE_TIME", "TITLE",
        "AGE", "NRP", "ZIP_CODE", "US_SSN", "US_DRIVER_LICENSE", "ABA_ROUTING_NUMBER", "AU_ABN", "AU_ACN",
        "AU_MEDICARE", "AU_TFN", "CA_SIN", "MEDICAL_LICENSE", "CRYPTO", "DE_BSNR", "DE_HEALTH_INSURANCE",
        "DE_ID_CARD", "DE_LANR", "DE_PASSPORT", "DE_SOCIAL_SECURITY", "DE_TAX_ID", "ES_NIE", "ES_NIF",
        "ES_PASSPORT", "FI_PERSONAL_IDENTITY_CODE", "IN_AADHAAR", "IN_GSTIN", "IN_PAN", "IN_PASSPORT",
        "IN_VEHICLE_REGISTRATION", "IN_VOTER", "IT_DRIVER_LICENSE", "IT_FISCAL_CODE", "IT_IDENTITY_CARD",
        "IT_PASSPORT", "IT_VAT_CODE", "KR_BRN", "KR_DRIVER_LICENSE", "KR_FRN", "KR_PASSPORT", "KR_RRN",
        "MAC_ADDRESS", "NG_NIN", "NG_VEHICLE_REGISTRATION", "PH_MOBILE_NUMBER", "PH_TIN", "PL_PESEL",
        "SE_ORGANISATIONSNUMMER",
        "SE_PERSONNUMMER", "SG_NRIC_FIN", "SG_UEN", "TH_TNIN", "TR_LICENSE_PLATE", "TR_NATIONAL_ID", "TR_PHONE_NUMBER",
        "US_BANK_NUMBER", "US_ITIN", "US_MBI", "US_NPI", "US_PASSPORT", "ZA_ID_NUMBER",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    start: int
    end: int
    type: str
    """As the data calls it."""


@dataclass(frozen=True, slots=True)
class Text:
    key: str
    text: str
    labels: tuple[Label, ...]
    asked: frozenset[str] | None
    """Types of the pack that were labelled in it; None for all."""


def load(path: Path) -> list[Text]:
    """The texts of a file.

    Raises:
        MalformedData: a line does not follow the layout, or a type is unknown; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedData(f"{path} cannot be read: {error}") from None
    texts = [_text(path.name, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise MalformedData(f"{path} is empty")
    used = {label.type for text in texts for label in text.labels}
    if unknown := sorted(used - STRUCTURED.keys() - NOT_CLAIMED):
        raise MalformedData(
            f"{path.name} has types that this benchmark does not know: {', '.join(unknown)}."
            " Say what they are in benchmarks/labelled.py."
        )
    return texts


def _text(file: str, number: int, line: str) -> Text:
    where = f"{file}:{number}"
    try:
        row: dict[str, Any] = json.loads(line)
        text, spans = row["text"], row["spans"]
        labels = tuple(Label(span["start"], span["end"], span["type"]) for span in spans)
        asked = row.get("entity_types")
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedData(
            f"{where}: wants _id, text and spans with start, end and type ({error!r})"
        ) from None
    if any(not 0 <= label.start < label.end <= len(text) for label in labels):
        raise MalformedData(f"{where}: a span lies outside its text")
    return Text(str(row.get("_id", number)), text, labels, _asked(asked))


def _asked(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(STRUCTURED[name] for name in names if name in STRUCTURED)


@dataclass(slots=True)
class Tally:
    """One type's score. A label counts as found when a finding of its type touches it, and as gone when no character of
    it is left, whatever the type of the finding."""

    labelled: int = 0
    found: int = 0
    gone: int = 0
    findings: int = 0
    right: int = 0

    def figures(self) -> dict[str, float | int | None]:
        recall = self.found / self.labelled if self.labelled else None
        precision = self.right / self.findings if self.findings else None
        f1 = 2 * recall * precision / (recall + precision) if recall and precision else None
        gone = self.gone / self.labelled if self.labelled else None
        return {
            "labelled": self.labelled, "findings": self.findings, "recall": recall, "precision": precision, "f1": f1,
            "gone": gone,
        }  # fmt: skip

    def __iadd__(self, other: Tally) -> Tally:
        for name in ("labelled", "found", "gone", "findings", "right"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def score(texts: Sequence[Text], findings: Sequence[Sequence[Any]]) -> dict[str, Tally]:
    """Type of the pack -> its tally.

    Args:
        findings: for each text what was found in it: objects with start, end and type.
    """
    tallies: dict[str, Tally] = {}
    for text, found in zip(texts, findings, strict=True):
        if text.asked is None or text.asked:
            _score_one(text, found, tallies)
    return tallies


def _score_one(text: Text, found: Sequence[Any], tallies: dict[str, Tally]) -> None:
    for label in text.labels:
        kind = STRUCTURED.get(label.type)
        if kind:
            tally = tallies.setdefault(kind, Tally())
            tally.labelled += 1
            tally.found += any(same(one.type, kind) and _touch(one, label) for one in found)
            tally.gone += _gone(text.text, label, found)
    for one in found:
        kind = "URL" if one.type == "URL_LOGIN" and "URL_LOGIN" not in tallies else one.type
        if text.asked is None or kind in text.asked:
            touched = [label for label in text.labels if _touch(one, label)]
            if any(kind in ALLOWED.get(label.type, ()) for label in touched):
                continue  # rightly found, but nobody says how many there are
            tally = tallies.setdefault(kind, Tally())
            tally.findings += 1
            tally.right += any(same(one.type, STRUCTURED.get(label.type, "")) for label in touched)


def same(found: str, wanted: str) -> bool:
    return found == wanted or (found == "URL_LOGIN" and wanted == "URL")


def _touch(one: Any, label: Label) -> bool:
    return bool(one.start < label.end and label.start < one.end)


def _gone(text: str, label: Label, found: Sequence[Any]) -> bool:
    left = set(range(label.start, label.end))
    for one in found:
        left -= set(range(one.start, one.end))
    return not any(text[position].isalnum() for position in left)


def uncovered(texts: Sequence[Text]) -> Mapping[str, int]:
    """Types of the data that nothing is claimed for -> how often they are labelled."""
    counts: dict[str, int] = {}
    for text in texts:
        for label in text.labels:
            if label.type not in STRUCTURED:
                counts[label.type] = counts.get(label.type, 0) + 1
    return dict(sorted(counts.items()))
