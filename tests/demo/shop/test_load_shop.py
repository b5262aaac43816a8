import time

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from demo.shop import content
from demo.shop.models import Article, LoadedContent, Product, Question, UsualArticle, UsualProduct
from lockstep.search.embedders import get_embedder

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def load(capsys: pytest.CaptureFixture[str]) -> str:
    call_command("load_shop")
    return capsys.readouterr().out


def test_it_loads_all_of_the_content():
    assert Product.objects.count() == UsualProduct.objects.count() == 300
    assert Article.objects.count() == UsualArticle.objects.count() == 150
    assert Question.objects.count() == 40


def test_every_loaded_record_is_in_step():
    for model in (Product, Article):
        manifest = model.search.siblings.manifest.objects
        embedded = dict(manifest.values_list("record_id", "digest"))
        assert embedded == dict(model.objects.values_list("pk", "search_digest"))


def test_the_second_run_does_nothing_and_is_quick(capsys):
    started = time.perf_counter()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        said = load(capsys)
    assert said == "The shop is loaded.\n"
    assert len(queries) == 1
    assert time.perf_counter() - started < 2


def test_it_goes_on_where_it_was_stopped(capsys, monkeypatch):
    LoadedContent.objects.all().delete()
    gone = Product.objects.order_by("pk").last()
    Product.objects.filter(pk=gone.pk).delete()
    embedded: list[str] = []
    embed = type(get_embedder()).embed_documents
    monkeypatch.setattr(
        type(get_embedder()),
        "embed_documents",
        lambda self, texts, **options: embedded.extend(texts) or embed(self, texts, **options),
    )
    assert load(capsys).endswith("Loaded 300 products, 150 help articles and 40 questions.\n")
    assert embedded
    assert all(gone.name in text for text in embedded)


def test_a_new_edition_renews_what_differs_and_leaves_the_rest(capsys):
    LoadedContent.objects.all().delete()
    kept, changed = Product.objects.order_by("pk")[:2]
    Product.objects.filter(pk=changed.pk).update(name="An older name")
    load(capsys)
    assert Product.objects.get(pk=changed.pk).name == changed.name
    assert Product.objects.get(pk=changed.pk).search_digest == changed.search_digest
    assert Product.objects.get(pk=kept.pk).search_digest == kept.search_digest


def test_the_content_is_in_the_form_that_the_shop_promises():
    products, articles, questions = content.products(), content.articles(), content.questions()
    assert len({row["sku"] for row in products}) == len({row["ean"] for row in products}) == 300
    assert len({article.slug for article in articles}) == 150
    keys = {"products": {row["sku"] for row in products}, "help": {article.slug for article in articles}}
    assert all(question["expects"] in keys[question["shelf"]] for question in questions)
