"""Which objects of a request are known, and which of their fields must not be kept.

known("support.answer", user=("first_name", "last_name", "email"), patient=("name", "nhs_number"))

The request then brings the objects: ``redact("support.answer", text, known={"patient": patient})``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any

from django.db.models import Manager, QuerySet

from lockstep.core import context
from lockstep.privacy.detectors.identities import LEAST_LETTERS, WORD, Identities, Term, fold, name_parts
from lockstep.privacy.exceptions import KnownError

__all__ = ["declared", "forget", "identities", "known"]

FIELD = re.compile(r"[a-z][a-z0-9_]*")
Fields = tuple[str, ...]
NOBODY = Identities(())
_declared: dict[str, dict[str, Fields]] = {}


def known(feature: str, /, **roles: Iterable[str]) -> None:
    """Declare for a feature what is known of the people in its requests.

    Args:
        roles: name of the role -> fields of its object; ``profile__phone`` follows a relation. The role ``user`` is the
            context's when a request does not name it.

    Raises:
        KnownError: a field is no name, or the feature was declared otherwise before.
    """
    new = {role: _fields(role, fields) for role, fields in roles.items()}
    if _declared.setdefault(feature, new) != new:
        raise KnownError(f"What is known for {feature!r} is declared twice, differently.", feature=feature)


def declared(feature: str | None) -> Mapping[str, Fields]:
    return dict(_declared.get(feature or "", {}))


def forget(feature: str) -> None:
    """Take a declaration back (tests)."""
    _declared.pop(feature, None)


def identities(feature: str | None, objects: Mapping[str, Any] | None) -> Identities:
    """The detector of what is known in one request.

    Args:
        objects: role -> an object, several, a mapping, or None for nobody.

    Raises:
        KnownError: a declared role is missing, an unknown one is given, or an object lacks a field. Nobody knows then
            what would have to go, so nothing may be kept.
    """
    roles, given = _declared.get(feature or "", {}), dict(objects or {})
    if not roles and not given:
        return NOBODY
    if "user" in roles:
        given.setdefault("user", context.current().user)
    if missing := sorted(roles.keys() - given.keys()):
        raise KnownError(
            f"{feature} declares {missing[0]!r} as known: pass known={{{missing[0]!r}: …}}, None for nobody.",
            feature=feature,
        )
    if extra := sorted(given.keys() - roles.keys()):
        raise KnownError(f"{feature} declares nobody as {extra[0]!r}. Add it to known().", feature=feature)
    terms = [
        term
        for role, fields in roles.items()
        for one in _each(given[role])
        for term in _terms(role, fields, one)
    ]
    return Identities(terms)


def _terms(role: str, fields: Fields, one: Any) -> Iterator[Term]:
    """The values of one object; of a name also its words; pairs for values too short to stand alone."""
    values = [
        (field, str(value).strip())
        for field in fields
        if (value := _value(role, one, field)) not in (None, "")
    ]
    for field, value in values:
        kind = f"{role}_{field}".upper().replace("__", "_")
        yield Term(value, kind)
        if "name" in field:
            yield from (Term(part, kind) for part in name_parts(value) if part != value)
    for (field, first), (_, second) in permutations(values, 2):
        if _short(first) or _short(second):
            yield Term(f"{first} {second}", f"{role}_{field}".upper().replace("__", "_"))


def _short(value: str) -> bool:
    return len(fold("".join(WORD.findall(value)))) < LEAST_LETTERS


def _each(given: Any) -> Iterable[Any]:
    if given is None:
        return ()
    if isinstance(given, (list, tuple, set, frozenset, QuerySet)):
        return given
    return given.all() if isinstance(given, Manager) else (given,)


def _value(role: str, one: Any, path: str) -> Any:
    for name in path.split("__"):
        if one is None:
            return None
        try:
            one = one[name] if isinstance(one, Mapping) else getattr(one, name)
        except (AttributeError, KeyError):
            if getattr(one, "is_anonymous", False) is True:
                return None
            raise KnownError(f"The {role} of this request has no {path!r}.", role=role, field=path) from None
        if callable(one):
            one = one()
    return one


def _fields(role: str, fields: Iterable[str]) -> Fields:
    chosen = (fields,) if isinstance(fields, str) else tuple(fields)
    for field in chosen:
        if not FIELD.fullmatch(field):
            raise KnownError(f"{field!r} of {role!r} is no field name.", role=role, field=field)
    return chosen
