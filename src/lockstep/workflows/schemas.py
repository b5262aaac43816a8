"""What a person may make of a proposal, as a JSON schema says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["check", "problems"]


def check(schema: Mapping[str, Any]) -> None:
    """Whether it can be used.

    Raises:
        ValueError: it is no JSON schema, or refers to what is elsewhere or nowhere.
    """
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    validator = _validator(schema)
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"The schema is no JSON schema: {error.message}") from error
    parts = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError(f"The schema refers to {reference!r}: keep its parts in its own $defs.")
        try:
            parts.lookup(reference)
        except Unresolvable:
            raise ValueError(f"The schema refers to {reference!r}, and has no such part.") from None


def problems(value: Any, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where and what is wrong with ``value``, the path first; nothing where all is well.

    Raises:
        ValueError: the schema cannot be used.
    """
    from referencing.exceptions import Unresolvable

    try:
        found = sorted(
            _validator(schema).iter_errors(value), key=lambda error: [str(part) for part in error.path]
        )
    except Unresolvable as error:
        raise ValueError("The schema refers to a part that it does not have.") from error
    return [(_path(error.absolute_path), error.message[:500]) for error in found]


def _validator(schema: Mapping[str, Any]) -> Validator:
    """Nothing is fetched: a schema is code, and what it refers to might not be."""
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ImportError as error:
        raise ImportError('Schemas of reviews need: pip install "django-lockstep[workflows]"') from error
    kind = validator_for(schema, default=Draft202012Validator)
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _references(part: Any) -> list[str]:
    if isinstance(part, Mapping):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for below in part.values() for found in _references(below)]
    if isinstance(part, list | tuple):
        return [found for below in part for found in _references(below)]
    return []


def _path(parts: Any) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
