"""Alice never learns of what is for staff or trade: not as a hit, a number, an explanation or a choice."""

import pytest
from django.contrib.auth.models import Permission, User

from demo.shop import usual_way
from demo.shop.models import Article, Audience, Product, Question, audiences_of
from demo.shop.shelves import HELP, PRODUCTS

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

HIDDEN_PRODUCT = "BD18-70X"
HIDDEN_ARTICLE = "staff-refund-authority-limits"


def names_hidden_from(user: User) -> list[str]:
    hidden = [
        model.objects.exclude(audience__in=audiences_of(user)).values_list(heading, flat=True)
        for model, heading in ((Product, "name"), (Article, "title"))
    ]
    return [name for names in hidden for name in names]


@pytest.mark.parametrize("legs", [("lexical",), ("identifier",), ("dense",), None])
@pytest.mark.parametrize("shelf", [PRODUCTS, HELP])
def test_no_leg_finds_what_one_may_not_see(alice, shelf, legs):
    hidden = shelf.model.objects.exclude(audience=Audience.PUBLIC)
    for record in hidden:
        hits = shelf.model.objects.visible_to(alice).hybrid_search(str(record), legs=legs, top_n=20)
        assert {hit.audience for hit in hits} <= {"public"}


@pytest.mark.parametrize("shelf", [PRODUCTS, HELP])
def test_the_count_is_of_what_one_may_see(alice, shelf):
    public = shelf.model.objects.filter(audience="public").count()
    hits = shelf.model.objects.visible_to(alice).hybrid_search("the a of and battery", top_n=1000)
    assert hits.count() <= public


def test_explanations_speak_of_what_one_may_see_only(alice):
    for record in Product.objects.exclude(audience="public"):
        for hit in Product.objects.visible_to(alice).hybrid_search(record.sku, top_n=5):
            said = str(hit.explain())
            assert record.name not in said
            assert record.sku not in said.replace(repr(record.sku), "")


@pytest.mark.parametrize(
    "text", [HIDDEN_PRODUCT, "combi drill 70 Nm pre-production", "refund limits advisers"]
)
def test_no_page_of_hers_names_a_hidden_record(client, alice, text):
    page = client.get("/", {"q": text, "n": 20}).content.decode()
    assert [name for name in names_hidden_from(alice) if name in page] == []


@pytest.mark.parametrize("path", ["/", "/questions/"])
def test_examples_betray_nothing(client, alice, path):
    page = client.get(path).content.decode()
    assert HIDDEN_PRODUCT not in page
    assert HIDDEN_ARTICLE not in page
    for question in Question.objects.filter(asked_by="bob", kind__in=["staff", "hidden"]):
        assert question.text not in page


def test_choices_of_filters_betray_nothing(client):
    page = client.get("/", {"q": "refund"}).content.decode()
    assert "staff-handbook" not in page
    assert client.get("/", {"q": "refund", "topic": "staff-handbook"}).status_code == 400


def test_a_hidden_record_answers_as_if_it_did_not_exist(client):
    hidden = Product.objects.get(sku=HIDDEN_PRODUCT)
    absent = client.get("/products/999999/")
    for path in (hidden.get_absolute_url(), f"/help/{HIDDEN_ARTICLE}/"):
        answer = client.get(path)
        assert answer.status_code == absent.status_code == 404
        assert answer.content == absent.content


def test_companions_of_a_product_are_filtered_too(client, alice):
    product = Product.objects.filter(audience="public").first()
    Product.objects.filter(pk=product.pk).update(compatible=[HIDDEN_PRODUCT])
    assert HIDDEN_PRODUCT not in client.get(product.get_absolute_url()).content.decode()


def test_bob_sees_what_is_for_staff(as_bob):
    assert HIDDEN_PRODUCT in as_bob.get("/", {"q": HIDDEN_PRODUCT}).content.decode()
    assert as_bob.get(f"/help/{HIDDEN_ARTICLE}/").status_code == 200


def test_a_trade_customer_sees_trade_goods_but_no_internal_notes(db):
    tess = User.objects.create(username="tess")
    tess.user_permissions.add(Permission.objects.get(codename="see_trade"))
    assert audiences_of(User.objects.get(pk=tess.pk)) == ["public", "trade"]
    found = Product.objects.visible_to(User.objects.get(pk=tess.pk))
    assert set(found.values_list("audience", flat=True)) == {"public", "trade"}


def test_the_usual_way_is_given_the_same_permissions(alice):
    hits = usual_way.search(Product.objects.visible_to(alice), HIDDEN_PRODUCT, top_n=20)
    assert {hit.audience for hit in hits} == {"public"}


def test_customers_may_edit_nothing(client):
    product = Product.objects.filter(audience="public").first()
    for path in ("edit/", "by-script/"):
        assert client.post(product.get_absolute_url() + path, {"name": "Mine"}).status_code == 403
    assert client.get(product.get_absolute_url() + "edit/").status_code == 403
    assert Product.objects.get(pk=product.pk).name == product.name
