"""Features are declared in code and synced to a table after migrate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db.models.signals import post_migrate

from lockstep.core import features
from lockstep.core.apps import sync_features
from lockstep.core.exceptions import FeatureError
from lockstep.core.models import Feature


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Whatever a test declares is taken back."""
    before = {spec.name for spec in features.declared()}
    yield
    for spec in features.declared():
        if spec.name not in before:
            features.forget(spec.name)


def test_the_same_declaration_twice_is_fine_and_two_different_ones_are_not() -> None:
    first = features.declare("support.answer", owner="support@example.com")
    assert features.declare("support.answer", owner="support@example.com") is first
    with pytest.raises(FeatureError, match="declared twice, differently"):
        features.declare("support.answer", owner="sales@example.com")
    assert features.spec("support.answer") is first


@pytest.mark.parametrize(
    "name", ["", "Support", "support answer", "support.", ".answer", "1st", "a" * 101, "ünicode"]
)
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(FeatureError, match="is no feature name"):
        features.declare(name)


def test_an_unknown_data_class_is_refused() -> None:
    with pytest.raises(FeatureError, match="take one of public, internal, personal, special"):
        features.declare("support.answer", data_class="secret")


@pytest.mark.parametrize("endpoints", ["https://one.example", ("",), (None,)])
def test_endpoints_that_are_none_are_refused(endpoints: object) -> None:
    with pytest.raises(FeatureError, match="tuple of base URLs"):
        features.declare("support.answer", endpoints=endpoints)


def test_a_list_of_endpoints_is_as_good_as_a_tuple() -> None:
    spec = features.declare("support.answer", endpoints=["https://one.example"])
    assert spec.endpoints == ("https://one.example",)
    assert hash(spec)


def test_an_undeclared_feature_is_named_with_those_that_are() -> None:
    features.declare("support.answer")
    with pytest.raises(
        FeatureError, match=r"No feature 'support.anwser' is declared. Declared: .*support.answer"
    ):
        features.spec("support.anwser")


@pytest.mark.django_db
def test_migrate_syncs_what_the_code_declares_and_deletes_nothing() -> None:
    features.declare("support.answer", owner="a@example.com", endpoints=("https://one.example",))
    features.declare("support.refund")
    call_command("migrate", verbosity=0)
    assert set(Feature.objects.values_list("name", "owner", "declared")) >= {
        ("support.answer", "a@example.com", True),
        ("support.refund", "", True),
    }
    assert Feature.objects.get(name="support.answer").endpoints == ["https://one.example"]
    features.forget("support.refund")
    features.forget("support.answer")
    features.declare("support.answer", owner="b@example.com")
    call_command("migrate", verbosity=0)
    assert Feature.objects.get(name="support.answer").owner == "b@example.com"
    assert not Feature.objects.get(name="support.refund").declared


@pytest.mark.django_db(transaction=True)
def test_flush_brings_the_features_back() -> None:
    features.declare("support.answer")
    call_command("flush", interactive=False, verbosity=0)
    assert Feature.objects.filter(name="support.answer").exists()


def test_the_signal_of_flush_comes_without_apps(db: None) -> None:
    assert any(receiver[0][0] == "lockstep_core.sync_features" for receiver in post_migrate.receivers)
    sync_features(using="default")
