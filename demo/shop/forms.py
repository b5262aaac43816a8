"""The search form. Every field may be missing; what makes no sense gets a message, never an error page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms

from demo.shop.models import RANKING, Article, Brand, Product
from demo.shop.shelves import SHELVES

LONGEST_QUERY = 500
LEGS = {"words": "lexical", "codes": "identifier", "meaning": "dense"}
"""Name of a weight in the form -> name of the leg."""


FILTERS = ("shelf", "brand", "category", "price_from", "price_to", "topic")


def titled(value: str) -> str:
    """``kettles-and-coffee`` as people read it."""
    return value.replace("-", " ").capitalize()


class WeightField(forms.FloatField):
    """How much a leg counts; 0 turns it off."""

    def __init__(self, label: str, leg: str) -> None:
        super().__init__(
            label=label,
            initial=RANKING["weights"][leg],
            min_value=0,
            max_value=3,
            required=False,
            widget=forms.NumberInput(attrs={"type": "range", "step": "0.25", "min": 0, "max": 3}),
        )


class SearchForm(forms.Form):
    q = forms.CharField(
        label="Search products and help",
        required=False,
        max_length=LONGEST_QUERY,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "A part number, a brand, or what you would say"}
        ),
        error_messages={
            "max_length": "That is %(show_value)s characters. The search box takes %(limit_value)d of them.",
        },
    )
    shelf = forms.ChoiceField(
        label="Look in",
        required=False,
        choices=[("", "Everything"), *((shelf.name, shelf.title) for shelf in SHELVES.values())],
    )
    brand = forms.ChoiceField(label="Brand", required=False)
    category = forms.ChoiceField(label="Category", required=False)
    topic = forms.ChoiceField(label="Help topic", required=False)
    price_from = forms.DecimalField(
        label="Price from £", required=False, min_value=0, max_value=99999, decimal_places=2
    )
    price_to = forms.DecimalField(
        label="to £", required=False, min_value=0, max_value=99999, decimal_places=2
    )
    fusion = forms.ChoiceField(
        label="Fusion",
        required=False,
        initial=RANKING["fusion"],
        choices=[
            ("norm", "Scores over best"),
            ("rrf", "Reciprocal ranks"),
            ("dbsf", "Distribution (DBSF)"),
        ],
    )
    k = forms.IntegerField(
        label="k of RRF",
        required=False,
        initial=60,
        min_value=1,
        max_value=500,
        help_text="Damping of ranks in RRF: a larger k flattens the lead of the first places.",
        widget=forms.NumberInput(attrs={"type": "range", "min": 1, "max": 500}),
    )
    words = WeightField("Words", "lexical")
    codes = WeightField("Part numbers", "identifier")
    meaning = WeightField("Meaning", "dense")
    n = forms.TypedChoiceField(
        label="Results", required=False, coerce=int, initial=5, choices=[(n, str(n)) for n in (5, 10, 20)]
    )

    def __init__(self, given: Mapping[str, str], *, user: Any) -> None:
        initial = {
            name: field.initial for name, field in self.base_fields.items() if field.initial is not None
        }
        super().__init__(initial | {name: value for name, value in given.items() if value}, label_suffix="")
        self.fields["brand"].choices = _choices("All brands", Brand.objects.values_list("name", flat=True))
        self.fields["category"].choices = _choices(
            "All categories", _values(Product, "category", user), titled
        )
        self.fields["topic"].choices = _choices("All topics", _values(Article, "topic", user), titled)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not any(cleaned[name] for name in LEGS):
            raise forms.ValidationError("All three legs are off. Give at least one of them some weight.")
        low, high = cleaned.get("price_from"), cleaned.get("price_to")
        if low is not None and high is not None and low > high:
            raise forms.ValidationError("The lower price is above the upper one.")
        return cleaned

    def filters(self) -> list[forms.BoundField]:
        return [self[name] for name in FILTERS]

    def sliders(self) -> list[tuple[forms.BoundField, str]]:
        """The settings that are slid, each with its value in words."""
        return [(self[name], _in_words(name, self._value(name))) for name in ("k", *LEGS)]

    def filters_set(self) -> int:
        """How many filters are not as they were."""
        return sum(self._is_set(name) for name in FILTERS)

    def ranking_set(self) -> int:
        return sum(self._is_set(name) for name in ("fusion", "n", "k", *LEGS))

    def without_filters(self) -> str:
        """Query string of the same search with every filter off."""
        return urlencode({name: value for name, value in self.data.items() if name not in FILTERS})

    def _is_set(self, name: str) -> bool:
        return self._value(name) not in (None, "", self.fields[name].initial)

    def _value(self, name: str) -> Any:
        """What the field holds; what was typed, where that makes no sense."""
        return getattr(self, "cleaned_data", {}).get(name, self.data.get(name))

    def weights(self) -> dict[str, float]:
        """Weight of each leg that is on."""
        given = {leg: float(self.cleaned_data[name]) for name, leg in LEGS.items()}
        return {leg: weight for leg, weight in given.items() if weight > 0}


def text_form(record: Product | Article, data: Any) -> forms.ModelForm[Any]:
    """A form for the two texts of a record that search reads."""
    names = list(type(record).search.text)
    form: type[forms.ModelForm[Any]] = forms.modelform_factory(type(record), fields=names)
    return form(data, instance=record)


def _choices(nothing: str, values: Iterable[str], title: Callable[[str], str] = str) -> list[tuple[str, str]]:
    return [("", nothing), *((value, title(value)) for value in values)]


def _values(model: type[Product | Article], field: str, user: Any) -> Iterable[str]:
    """The values that occur in what this person may see."""
    visible = model.objects.visible_to(user)
    return visible.order_by(field).values_list(field, flat=True).distinct()


def _in_words(name: str, value: Any) -> str:
    if name == "k":
        return str(value)
    if not isinstance(value, int | float):
        return str(value)  # what was typed makes no sense; it is shown as it is
    return f"× {value:g}" if value else "off"  # noqa: RUF001 -- a multiplication sign is meant


class AskForm(forms.Form):
    """A question for the support desk."""

    q = forms.CharField(
        label="Your question",
        max_length=LONGEST_QUERY,
        widget=forms.TextInput(attrs={"placeholder": "How do I get the limescale out of my kettle?"}),
        error_messages={
            "required": "Write a question first.",
            "max_length": "That is %(show_value)s characters. The desk reads %(limit_value)d of them.",
        },
    )
