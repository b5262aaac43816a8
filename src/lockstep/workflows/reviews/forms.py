"""A form from a JSON schema: a field for each property, JSON for what no field is made for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput

from lockstep.workflows.answers import LONGEST_COMMENT

__all__ = ["AnswerForm", "ReviewForm", "form_of"]

LONG = 80
"""Texts from so many characters on get several lines."""


class ReviewForm(forms.Form):
    """What a person decides. ``proposal`` and ``schema`` are the review's; no schema: nothing can be changed."""

    digest = forms.CharField(required=False, widget=forms.HiddenInput)
    comment = forms.CharField(
        required=False,
        max_length=LONGEST_COMMENT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept with your name, and told to the run.",
    )

    def __init__(
        self,
        *args: Any,
        proposal: dict[str, Any],
        schema: Mapping[str, Any] | None,
        shown: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.proposal = proposal
        self.fields["digest"].initial = shown
        self._names: dict[str, str] = {}
        """Field -> property; "" for the whole."""
        for at, (name, field) in enumerate(_fields(proposal, schema).items()):
            self._names[f"arg_{at}"] = name
            self.fields[f"arg_{at}"] = field
        if self._names:
            self.order_fields(["digest", *self._names, "comment"])
        self._required = set((schema or {}).get("required") or ())

    @property
    def made(self) -> dict[str, Any]:
        """The arguments as the fields have them. What was not touched stays exactly as it was proposed."""
        found = dict(self.proposal)
        for field, name in self._names.items():
            value = self.cleaned_data[field]
            if not name:
                return value if isinstance(value, dict) else self.proposal
            if field not in self.changed_data:
                continue
            if value in (None, "") and name not in self.proposal and name not in self._required:
                continue
            if value is None and name not in self._required:
                found.pop(name, None)
            else:
                found[name] = value
        return found

    def blame(self, problems: list[tuple[str, str]], otherwise: str) -> None:
        """Put each problem at the field that it is about."""
        fields = {name: field for field, name in self._names.items()}
        for path, text in problems or [("", otherwise)]:
            top = next(
                (name for name in fields if path == name or path.startswith((f"{name}.", f"{name}["))), ""
            )
            self.add_error(fields.get(top), text if path in ("", top) else f"{path}: {text}")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        whole = next((field for field, name in self._names.items() if not name), None)
        if whole and not isinstance(given.get(whole), dict | None):
            self.add_error(whole, "This must be an object: {…}.")
        return given


class AnswerForm(forms.Form):
    """An answer to an interrupt of the graph's own."""

    digest = forms.CharField(required=False, widget=forms.HiddenInput)
    answer = forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 5}))
    form = forms.ChoiceField(
        label="As",
        choices=[("text", "text, as it is written"), ("json", "JSON")],
        initial="text",
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, shown: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["digest"].initial = shown

    def blame(self, problems: list[tuple[str, str]], otherwise: str) -> None:
        self.add_error("answer", otherwise)

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        written = given.get("answer", "").replace("\r\n", "\n")
        given["value"] = written
        if given.get("form") == "json":
            try:
                given["value"] = json.loads(written)
            except (ValueError, RecursionError):
                self.add_error("answer", "This is no JSON.")
        return given


def form_of(wait: Any, data: Any = None, *, changes: bool = True) -> ReviewForm | AnswerForm:
    """The form of a question; with ``changes=False`` only what is asked of every review."""
    if wait.kind == "review":
        schema = wait.schema if changes else None
        return ReviewForm(data, proposal=wait.proposal, schema=schema, shown=wait.digest)
    return AnswerForm(data, shown=wait.digest)


# --- fields -----------------------------------------------------------------------------------------


class _Text(forms.CharField):
    """Browsers send lines with CR; what was proposed had none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, required=False, **kwargs)

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        return found.replace("\r\n", "\n") if found else found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or "") != (self.to_python(data) or "")


class _Json(forms.JSONField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=forms.Textarea(attrs={"rows": 6, "class": "lockstep-json"}), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput):
            return value
        return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        if not data and initial is None:
            return False
        try:
            return bool(self.to_python(data) != initial)
        except forms.ValidationError:
            return True


def _fields(proposal: dict[str, Any], schema: Mapping[str, Any] | None) -> dict[str, forms.Field]:
    if schema is None:
        return {}
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties or "$ref" in schema:
        return {"": _Json(label="All of it", initial=proposal)}
    return {
        str(name): _field(str(name), part if isinstance(part, Mapping) else {}, proposal.get(name))
        for name, part in properties.items()
    }


def _field(name: str, part: Mapping[str, Any], value: Any) -> forms.Field:
    told = {
        "label": str(part.get("title") or name), "help_text": str(part.get("description") or ""), "initial": value,
    }  # fmt: skip
    if isinstance(part.get("enum"), list):
        return _choice(part["enum"], told)
    make = _MAKERS.get(part.get("type")) if isinstance(part.get("type"), str) else None  # type: ignore[arg-type]
    fits = value is None or make is None or isinstance(value, _TYPES[str(part["type"])])
    return make(part, told) if make and fits else _Json(**told)


def _choice(values: list[Any], told: dict[str, Any]) -> forms.Field:
    told["initial"] = json.dumps(told["initial"], sort_keys=True)
    choices = [
        (json.dumps(one, sort_keys=True), one if isinstance(one, str) else json.dumps(one)) for one in values
    ]
    if told["initial"] not in [key for key, _ in choices]:
        choices.insert(0, ("", "—"))
        told["initial"] = ""
    return forms.TypedChoiceField(
        choices=choices, coerce=json.loads, empty_value=None, required=False, **told
    )


def _string(part: Mapping[str, Any], told: dict[str, Any]) -> forms.Field:
    if part.get("format") == "date":
        widget: Any = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        return _Text(widget=widget, **told)
    value = told["initial"] or ""
    long = "\n" in value or len(value) > LONG or part.get("maxLength", 0) > LONG
    widget = forms.Textarea(attrs={"rows": 4}) if long else forms.TextInput(attrs={"class": "vTextField"})
    return _Text(widget=widget, **told)


def _integer(part: Mapping[str, Any], told: dict[str, Any]) -> forms.Field:
    return forms.IntegerField(required=False, **_between(part), **told)


def _number(part: Mapping[str, Any], told: dict[str, Any]) -> forms.Field:
    return forms.FloatField(
        required=False, widget=forms.NumberInput(attrs={"step": "any"}), **_between(part), **told
    )


def _boolean(part: Mapping[str, Any], told: dict[str, Any]) -> forms.Field:
    return forms.BooleanField(required=False, **told)


def _between(part: Mapping[str, Any]) -> dict[str, Any]:
    found = {"min_value": part.get("minimum"), "max_value": part.get("maximum")}
    return {name: limit for name, limit in found.items() if isinstance(limit, int | float)}


_MAKERS: dict[str, Callable[[Mapping[str, Any], dict[str, Any]], forms.Field]] = {
    "string": _string, "integer": _integer, "number": _number, "boolean": _boolean,
}  # fmt: skip
_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": int | float, "boolean": bool}
