import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from demo.shop.markdown import render
from demo.shop.models import Article, Product, Question
from lockstep.search.embedders import get_embedder
from lockstep.search.exceptions import EmbedderUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

EVIL = '<script>alert("1")</script><img src=x onerror=alert(2)>'


def keys(page: str, shelf: str) -> list[str]:
    return re.findall(rf'data-shelf="{shelf}" data-key="([^"]*)"', page)


def found(client: Client, **query: object) -> str:
    answer = client.get("/", query)
    assert answer.status_code == 200
    return answer.content.decode()


# --- what a person sees ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/questions/", "/help/charged-twice/", "/?q=kettle"])
def test_every_page_opens_for_a_visitor_who_has_not_signed_in(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert (
        "script-src" not in answer["Content-Security-Policy"]
        or "unsafe" not in answer["Content-Security-Policy"]
    )


def test_the_search_page_shows_results_of_both_shelves_and_each_leg(client):
    page = found(client, q="kettle descale")
    assert keys(page, "products")
    assert keys(page, "help")
    for title in ("Words", "Part numbers", "Meaning", "The usual way"):
        assert page.count(f">{title}") >= 2


def test_contributions_of_an_explanation_add_up(client, alice):
    for hit in Product.objects.visible_to(alice).hybrid_search("kestrel kettle black", top_n=10):
        assert sum(part.contribution for part in hit.explain().shares) == pytest.approx(hit.search_score)


def test_filters_hold_in_every_column(client):
    page = found(client, q="rechargeable", brand="Kestra", shelf="products")
    brands = {Product.objects.get(sku=key).brand.name for key in keys(page, "products")}
    assert brands == {"Kestra"}
    linked = {int(pk) for pk in re.findall(r"/products/(\d+)/", page)}
    assert {product.brand.name for product in Product.objects.filter(pk__in=linked)} == {"Kestra"}


def test_a_price_range_holds(client):
    page = found(client, q="drill", price_from="50", price_to="120.50", n=20)
    prices = [Product.objects.get(sku=key).price_pence for key in keys(page, "products")]
    assert prices
    assert all(5000 <= price <= 12050 for price in prices)


def test_settings_change_the_order(client):
    by_meaning = keys(found(client, q="something to keep soup hot", words=0, codes=0), "products")
    by_words = keys(found(client, q="something to keep soup hot", meaning=0, codes=0), "products")
    assert by_meaning != by_words


@pytest.mark.parametrize("fusion", ["", "rrf", "norm", "dbsf"])
def test_every_fusion_can_be_chosen(client, fusion):
    assert keys(found(client, q="xr2000a", fusion=fusion), "products")[0] == "XR-2000A"


def test_looking_in_one_shelf_leaves_the_other_out(client):
    page = found(client, q="kettle", shelf="help")
    assert keys(page, "products") == []
    assert keys(page, "help")


def test_a_committed_question_tells_its_place_both_ways(client):
    question = Question.objects.get(text="xr2000a")
    page = found(client, q=question.text)
    assert "The usual way" in page
    assert "XR-2000A" in page


def test_switching_to_bob_and_back_lasts(client):
    assert client.post("/as/bob/", {"next": "/?q=drill"})["Location"] == "/?q=drill"
    assert client.get("/").context["user"].username == "bob"
    client.post("/as/alice/")
    assert client.get("/").context["user"].username == "alice"


def test_nobody_else_can_be_switched_to_and_nowhere_else_be_led(client):
    assert client.post("/as/mallory/").status_code == 404
    assert client.get("/as/bob/").status_code == 405
    assert client.post("/as/bob/", {"next": "https://elsewhere.example/"})["Location"] == "/"


def test_signing_in_needs_the_token_of_a_form(db):
    assert Client(enforce_csrf_checks=True).post("/as/bob/").status_code == 403


# --- in step --------------------------------------------------------------------------------------


def test_an_edit_is_found_by_the_next_search(as_bob):
    article = Article.objects.get(slug="charged-twice")
    answer = as_bob.post(f"/help/{article.slug}/edit/", {"title": "Zanzibar invoices", "body": article.body})
    assert answer.status_code == 302
    page = as_bob.get(answer["Location"]).content.decode()
    assert "In step" in page
    assert "Out of step" not in page
    assert keys(found(as_bob, q="zanzibar"), "help")[0] == "charged-twice"
    by_meaning = found(as_bob, q="East African island bills", words=0, codes=0, n=5)
    assert "charged-twice" in keys(by_meaning, "help")


def test_an_edit_without_text_is_refused_with_a_message(as_bob):
    answer = as_bob.post("/help/charged-twice/edit/", {"title": "", "body": "a\x00b"})
    assert answer.status_code == 400
    assert b"required" in answer.content
    assert b"Null characters" in answer.content


def test_a_change_by_plain_sql_is_refused(as_bob):
    product = Product.objects.get(sku="XR-2000A")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    answer = as_bob.post(f"{product.get_absolute_url()}by-script/", follow=True)
    assert "PostgreSQL refused the commit" in answer.content.decode()
    assert Product.objects.get(pk=product.pk).description == product.description


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"q": "ket\x00tle"},
        {"q": "x" * 100_000},
        {"q": "kettle", "k": "0"},
        {"q": "kettle", "k": "9" * 400},
        {"q": "kettle", "k": "sixty"},
        {"q": "kettle", "words": "nan"},
        {"q": "kettle", "meaning": "-1"},
        {"q": "kettle", "meaning": "1e999"},
        {"q": "kettle", "words": "0", "codes": "0", "meaning": "0"},
        {"q": "kettle", "fusion": "cold"},
        {"q": "kettle", "n": "1000000"},
        {"q": "kettle", "brand": "Nobody"},
        {"q": "kettle", "shelf": "../etc"},
        {"q": "kettle", "price_from": "ten"},
        {"q": "kettle", "price_from": "20", "price_to": "10"},
    ],
    ids=str,
)
def test_what_makes_no_sense_gets_a_friendly_message(client, query):
    answer = client.get("/", query)
    assert answer.status_code == 400
    assert "That search could not be run" in answer.content.decode()


@pytest.mark.parametrize(
    "text",
    ["", "   ", "the of and", "qqqqzzzzxxxx", "!!!", "' OR 1=1 --", "a & b | !c", "\\", '"', '"unclosed', "-kettle",
     "-", "é́", "水壶", "😀", "‮kettle", "%s %(x)s {0}", "a" * 500, "<b>kettle</b>", ":*", "xr-2000a" * 40],
)  # fmt: skip
def test_whatever_is_typed_gets_a_page(client, text):
    assert client.get("/", {"q": text}).status_code == 200


def test_a_search_that_finds_nothing_says_so(client):
    page = found(client, q="kettle", brand="Brannock", category="lighting", shelf="products")
    assert "Nothing found" in page


@pytest.mark.parametrize("text", ["the of and", "-kettle"])
def test_a_query_without_a_word_to_look_for_says_so(client, text):
    page = found(client, q=text)
    assert page.count("Nothing") or keys(page, "products")


def test_addresses_that_lead_nowhere_are_not_found(client):
    for path in (
        "/products/none/",
        "/products/99999999999999999999/",
        "/help/none/",
        "/help/charged-twice/x/",
    ):
        assert client.get(path).status_code == 404


# --- escaping -------------------------------------------------------------------------------------


def test_scripts_in_texts_are_shown_as_text(as_bob):
    article = Article.objects.get(slug="charged-twice")
    data = {"title": f"Zanzibar {EVIL}", "body": f"Zanzibar **{EVIL}**\n\n| {EVIL} |\n|---|\n\n- `{EVIL}`"}
    as_bob.post(f"/help/{article.slug}/edit/", data)
    for page in (found(as_bob, q="zanzibar"), found(as_bob, q=f"zanzibar {EVIL}"),
                 as_bob.get(f"/help/{article.slug}/").content.decode(),
                 as_bob.get(f"/help/{article.slug}/edit/").content.decode()):  # fmt: skip
        assert "alert(" in page
        assert "<script>alert" not in page
        assert "<img" not in page


def test_scripts_in_queries_are_shown_as_text(client):
    page = client.get("/", {"q": EVIL}).content.decode()
    assert "<script>alert" not in page
    assert "<img" not in page


def test_words_found_are_highlighted(client):
    assert re.search(r"<mark>[Kk]ettles?</mark>", found(client, q="kettle"))


def test_markdown_brings_no_html_of_its_own():
    html = render(
        '## A <b>\n\n**x** *y* `z`\n\n1. one\n2. "two"\n\n| a | b |\n|---|---|\n| 1 | <i> |\n\n    1 < 2'
    )
    assert "<h2>A &lt;b&gt;</h2>" in html
    assert "<strong>x</strong> <em>y</em> <code>z</code>" in html
    assert "<ol><li>one</li><li>&quot;two&quot;</li></ol>" in html
    assert "<td>&lt;i&gt;</td>" in html
    assert "<pre>1 &lt; 2</pre>" in html


# --- cost -----------------------------------------------------------------------------------------


FEW = 31
"""Visitor, choices, and for two shelves a search, three legs and the usual way; each explanation is one more."""


def queries_of(client: Client, **query: object) -> int:
    with CaptureQueriesContext(connection) as queries:
        found(client, **query)
    return len(queries)


@pytest.mark.parametrize(
    "text", ["kettle", "kettle black", "xr2000a", "a cordless drill with battery and charger"]
)
def test_a_search_costs_a_fixed_number_of_queries_at_most(client, text):
    queries_of(client, q="kettle")  # what the process remembers from then on
    assert queries_of(client, q=text) <= FEW + 10


def test_more_results_cost_one_query_each_for_their_explanation(client):
    few, many = queries_of(client, q="kettle", n=5), queries_of(client, q="kettle", n=20)
    assert many - few == 2 * (20 - 5)


def test_the_list_of_questions_is_a_constant_number_of_queries(client):
    with CaptureQueriesContext(connection) as queries:
        client.get("/questions/")
    assert len(queries) <= 4


# --- the embedder is away -------------------------------------------------------------------------


@pytest.fixture
def embedder_away(monkeypatch):
    def refuse(*_, **__):
        raise EmbedderUnavailable

    for name in ("embed_query", "embed_documents"):
        monkeypatch.setattr(type(get_embedder()), name, refuse)


@pytest.mark.usefixtures("embedder_away")
def test_without_its_embedder_the_page_answers_by_words_and_says_so(client):
    page = found(client, q="kettle")
    assert page.count("The embedder does not answer") == 2
    assert "Kettle" in Product.objects.get(sku=keys(page, "products")[0]).name
    assert "The embedder does not answer" in found(client, q="kettle", words=0, codes=0)


@pytest.mark.usefixtures("embedder_away")
def test_an_edit_that_cannot_be_embedded_is_not_saved_and_not_lost(as_bob):
    answer = as_bob.post("/help/charged-twice/edit/", {"title": "Zanzibar invoices", "body": "Of last year."})
    assert answer.status_code == 400
    assert "Nothing was saved" in answer.content.decode()
    assert "Of last year." in answer.content.decode()
    assert Article.objects.get(slug="charged-twice").title != "Zanzibar invoices"


# --- the rest --------------------------------------------------------------------------------------


def test_the_admin_opens_for_bob(as_bob):
    for path in ("/admin/", "/admin/shop/product/", "/admin/shop/article/", "/admin/shop/question/"):
        assert as_bob.get(path).status_code == 200


def test_every_static_file_that_pages_name_is_there(client):
    page = found(client, q="kettle")
    folder = Path(__file__).resolve().parents[3] / "demo" / "shop" / "static"
    for name in re.findall(r'(?:href|src)="/static/([^"]+)"', page):
        assert (folder / name).is_file()


def test_the_migration_is_what_the_models_say():
    call_command("makemigrations", "shop", "--check", "--dry-run", verbosity=0)
