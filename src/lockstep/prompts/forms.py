"""Forms of the admin: a release, a new version, and the reason for what somebody does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime

from lockstep.prompts import files
from lockstep.prompts.arms import Arm
from lockstep.prompts.body import Body
from lockstep.prompts.exceptions import TemplateError
from lockstep.prompts.models import PromptVersion
from lockstep.prompts.sql.releases import MAX_ARMS, MAX_WEIGHT

__all__ = ["ArmFormSet", "ReasonForm", "ReleaseForm", "RollBackForm", "VersionForm", "choices_of"]


class ReasonForm(forms.Form):
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
        help_text="Stays on record with your name.",
    )
    ticket = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Where it was decided: a ticket, a pull request.",
    )


class RollBackForm(ReasonForm):
    expected = forms.IntegerField(widget=forms.HiddenInput)
    """Number of the release that the form was opened on: what somebody did meanwhile is not overwritten unseen."""


class ReleaseForm(RollBackForm):
    other_variables = forms.BooleanField(
        required=False,
        label="Release although the variables differ",
        help_text="The code that calls this prompt must pass the new variables already.",
    )


class ArmForm(forms.Form):
    name = forms.CharField(max_length=40, label="Arm", widget=forms.TextInput(attrs={"size": 6}))
    version = forms.ChoiceField()
    weight = forms.IntegerField(
        min_value=1, max_value=MAX_WEIGHT, widget=forms.NumberInput(attrs={"size": 6})
    )
    model = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"size": 20, "placeholder": "as the version says"}),
    )

    def __init__(self, *args: Any, choices: Sequence[tuple[str, str]] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["version"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "— no version: arm not used —"), *choices]
        for name in ("name", "version", "weight"):
            self.fields[name].required = False
        for name, field in self.fields.items():  # the heads of the table are no labels of its fields
            field.widget.attrs["aria-label"] = field.label or name.capitalize()

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("version"):
            for name in ("name", "weight"):
                if not values.get(name) and name not in self.errors:
                    self.add_error(name, "Needed for an arm with a version.")
        return values


if TYPE_CHECKING:
    FormSet = forms.BaseFormSet[ArmForm]
else:
    FormSet = forms.BaseFormSet


class BaseArmFormSet(FormSet):
    def clean(self) -> None:
        if not any(self.errors) and not self.arms():
            raise forms.ValidationError("Choose a version for at least one arm.")

    def arms(self) -> list[Arm]:
        chosen = [form.cleaned_data for form in self.forms if form.cleaned_data.get("version")]
        return [Arm(row["name"], row["version"], row["weight"], row["model"]) for row in chosen]


ArmFormSet = cast(
    type[BaseArmFormSet],
    forms.formset_factory(ArmForm, BaseArmFormSet, extra=2, max_num=MAX_ARMS, absolute_max=MAX_ARMS),
)


class VersionForm(forms.Form):
    name = forms.CharField(
        max_length=100, help_text="Lower-case letters, digits, - _ and dots: support-answer."
    )
    text = forms.CharField(
        label="Prompt",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 24, "class": "lockstep-source", "spellcheck": "false"}),
        help_text="As in a file: TOML between lines +++, then messages under # system, # user or # assistant."
        " {name} is a variable, {{ and }} are braces.",
    )
    note = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vLargeTextField"}),
        help_text="What is different, in a sentence.",
    )

    body: Body

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not files.NAME.fullmatch(name):
            raise forms.ValidationError("Lower-case letters, digits, - _ and dots, as in support-answer.")
        return name

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        try:
            self.body = files.parse(text)
        except TemplateError as error:
            raise forms.ValidationError(str(error)) from None
        return text


def choices_of(versions: Sequence[PromptVersion]) -> list[tuple[str, str]]:
    """Versions as the release form offers them, newest first."""
    return [(row.key, _label(row)) for row in versions]


def _label(row: PromptVersion) -> str:
    note = f" · {row.note[:40]}" if row.note else ""
    made = localtime(row.created_at) if is_aware(row.created_at) else row.created_at
    return f"{row.short} · {date_format(made, 'SHORT_DATETIME_FORMAT')} · {row.source}{note}"
