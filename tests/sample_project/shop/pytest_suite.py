"""The same shop under pytest-django."""

import pytest
from django.db import connection, transaction

from shop.models import Brand, Page, Product

APPS = ["django.contrib.contenttypes", "lockstep.core", "lockstep.search", "shop"]


@pytest.fixture
def kettle(db):
    return Product.objects.create(name="Kettle XR-2000", brand=Brand.objects.create(name="Kestrel"))


def test_db(kettle):
    assert list(Product.objects.hybrid_search("xr 2000")) == [kettle]
    kettle.name = "Toaster"
    kettle.save()


def test_db_is_empty_again(db):
    assert not Product.objects.filter(name="Toaster").exists()


def test_query_counts_are_stable(db, django_assert_num_queries):
    for name in ("one", "two"):
        with django_assert_num_queries(3):
            Product.objects.create(name=name)


@pytest.mark.migrated
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_serialized_rollback():
    assert Page.objects.hybrid_search("welcome").count() == 1


def test_transactional_db(transactional_db):
    Product.objects.create(name="committed")
    with transaction.atomic():
        Product.objects.update(name="changed")
    assert Product.objects.hybrid_search("changed").count() == 1


def test_transactional_db_was_flushed(transactional_db):
    assert not Product.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shop_product_search_chunk")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True, available_apps=APPS)
def test_available_apps():
    Product.objects.create(name="few apps")


def test_live_server(live_server, client):
    client.post("/products/", {"name": "live"})
    assert Product.objects.hybrid_search("live").count() == 1


def test_client_and_atomic_requests(db, client):
    client.raise_request_exception = False
    assert client.post("/broken/").status_code == 500
    assert not Product.objects.filter(name="half done").exists()


@pytest.mark.django_db(databases=["default", "archive"])
def test_two_databases():
    Product.objects.using("archive").create(name="elsewhere")
    assert not Product.objects.filter(name="elsewhere").exists()
