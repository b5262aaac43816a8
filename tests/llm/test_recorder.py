"""Embeddings and reranks that ``search`` reports: rows for what others compute, counts for what we do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lockstep.core import context, features, ports
from lockstep.core.models import Feature as FeatureRow
from lockstep.llm.exceptions import EndpointRefused, FeatureOff
from lockstep.llm.models import Call, Price, Tally
from lockstep.llm.recorder import Recorder, tallies
from lockstep.search.embedders import get_embedder
from tests.llm import workers
from tests.processes import run
from tests.search.embedding_server import running
from tests.search.workers import environment

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_counted() -> Any:
    tallies.forget()
    yield
    tallies.forget()


def measure(**facts: Any) -> Any:
    port = ports.metering.get()
    assert isinstance(port, Recorder)
    return port.measure(**{"operation": "embeddings", "provider": "openai", "model": "e"} | facts)


def test_an_embedding_that_another_process_made_is_a_row_with_its_price(
    settings: Any, monkeypatch: Any
) -> None:
    Price.objects.create(
        provider="openai-compatible",
        model="served",
        source="tariff",
        currency="GBP",
        input=2,
        output=0,
        valid_from="2026-01-01T00:00Z",
    )
    features.declare("tests.search", model="")
    with running() as server:
        options = {"base_url": server.base_url, "model": "served", "dimensions": 16, "api_key": "k"}
        settings.LOCKSTEP = settings.LOCKSTEP | {
            "search": {
                "embedders": {
                    "default": {
                        "BACKEND": "lockstep.search.embedders.openai.OpenAICompatible",
                        "OPTIONS": options,
                    }
                }
            }
        }
        with context.use(feature="tests.search", cohort="trial"):
            get_embedder().embed_query("a kettle that whistles")
    features.forget("tests.search")
    row = Call.objects.get()
    assert (row.operation, row.provider, row.request_model, row.feature, row.cohort) == (
        "embeddings", "openai-compatible", "served", "tests.search", "trial",
    )  # fmt: skip
    assert (row.state, row.outcome, row.response_model) == ("settled", "ok", "served-model")
    assert row.input_tokens
    assert row.cost_micros == 2 * row.input_tokens


def test_what_is_computed_here_is_counted_by_the_hour_and_not_a_row() -> None:
    for _ in range(3):
        get_embedder().embed_query("a kettle")
    with pytest.raises(ZeroDivisionError), measure(remote=False, provider="hashing", model="h"):
        raise ZeroDivisionError
    tallies.flush()
    assert not Call.objects.exists()
    assert Tally.objects.get(provider="hashing", errors=0).calls == 3
    assert Tally.objects.get(errors=1).calls == 1
    get_embedder().embed_query("a kettle")
    tallies.flush()
    assert Tally.objects.get(errors=0).calls == 4


def test_an_embedding_that_failed_is_a_row_that_cost_nothing() -> None:
    with pytest.raises(ZeroDivisionError), measure():
        raise ZeroDivisionError
    row = Call.objects.get()
    assert (row.outcome, row.error_type, row.cost_micros) == ("error", "ZeroDivisionError", 0)


def test_usage_that_nobody_counted_is_unpriced_and_says_so() -> None:
    with measure() as usage:
        usage.items = 3
    assert Call.objects.unpriced().count() == 1


def test_a_confined_feature_sends_no_text_to_an_embedder_elsewhere(settings: Any) -> None:
    features.declare("tests.confined", endpoints=("http://127.0.0.1:1/v1",))
    options = {"base_url": "https://embeddings.test/v1", "model": "e", "dimensions": 16, "api_key": "k"}
    embedder = {"BACKEND": "lockstep.search.embedders.openai.OpenAICompatible", "OPTIONS": options}
    settings.LOCKSTEP = settings.LOCKSTEP | {"search": {"embedders": {"default": embedder}}}
    try:
        with context.use(feature="tests.confined"), pytest.raises(EndpointRefused):
            get_embedder().embed_query("a kettle that whistles")
    finally:
        features.forget("tests.confined")
    row = Call.objects.get()
    assert (row.state, row.error_type, row.endpoint) == ("refused", "endpoint", "https://embeddings.test/v1")


def test_an_embedding_that_nobody_waited_for_is_charged_at_its_bound() -> None:
    Price.objects.create(
        provider="openai",
        model="e",
        source="tariff",
        currency="GBP",
        input=2,
        output=0,
        valid_from="2026-01-01T00:00Z",
    )
    with pytest.raises(TimeoutError), measure(most_tokens=70):
        raise TimeoutError
    row = Call.objects.get()
    assert (row.outcome, row.usage_source, row.cost_micros) == ("error", "bound", 140)


def test_a_feature_that_is_off_embeds_nothing_elsewhere() -> None:
    FeatureRow.objects.create(name="tests.off", data_class="internal", enabled=False)
    with pytest.raises(FeatureOff), measure(feature="tests.off"):
        raise AssertionError
    assert Call.objects.get().state == "refused"


@pytest.mark.django_db(transaction=True)
def test_a_process_that_ends_leaves_its_counts(tmp_path: Path) -> None:
    assert run(workers.embed_and_end, environment=environment(), output=tmp_path / "o.txt") == 0, (
        tmp_path / "o.txt"
    ).read_text()
    assert Tally.objects.get().calls == 2
