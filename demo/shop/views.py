"""Pages of the shop."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model, login
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from demo.shop import answering, questions
from demo.shop.forms import AskForm, SearchForm, text_form
from demo.shop.models import FOUND, Product
from demo.shop.personas import PERSONAS
from demo.shop.searching import search
from demo.shop.shelves import SHELVES, Shelf
from lockstep.search.exceptions import EmbedderError


@require_GET
def search_page(request: HttpRequest) -> HttpResponse:
    """The search box, and what it found."""
    form = SearchForm(request.GET, user=request.user)
    is_valid = form.is_valid()
    asked = is_valid and bool(form.cleaned_data["q"])
    context = {
        "form": form,
        "asked": asked,
        "results": search(form, request.user) if asked else [],
        "examples": {} if asked else questions.examples_for(request.user),
    }
    return render(request, "shop/search.html", context, status=200 if is_valid else 400)


DESK_QUESTIONS = (
    "How do I get the limescale out of my kettle?",
    "The glass of my wood burner goes black, why?",
    "Can I send something back that I have opened?",
    "My garden chairs have faded, what can I do?",
)


@require_http_methods(["GET", "POST"])
def answer_page(request: HttpRequest) -> HttpResponse:
    """The support desk: an answer with its passages, and the row of the ledger that it made."""
    form = AskForm(request.POST or None)
    asked = request.method == "POST" and form.is_valid()
    context = {
        "form": form,
        "answer": answering.answer(form.cleaned_data["q"], request.user) if asked else None,
        "examples": DESK_QUESTIONS,
        "model": answering.model_in_use(),
    }
    return render(request, "shop/answer.html", context, status=400 if form.errors else 200)


@require_GET
def questions_page(request: HttpRequest) -> HttpResponse:
    """The committed questions, and where both searches put their answers."""
    groups = questions.grouped(request.user)
    asked = [question for group in groups.values() for question in group]
    context = {
        "groups": groups,
        "count": len(asked),
        "missed": sum(not question.is_found for question in asked),
        "usually_missed": sum(not question.is_usually_found for question in asked),
        "found_within": FOUND,
    }
    return render(request, "shop/questions.html", context)


@require_GET
def record_page(request: HttpRequest, shelf: str, key: str | int) -> HttpResponse:
    """One product or help article."""
    record = _record(request, SHELVES[shelf], key)
    return render(request, f"shop/{shelf}.html", _about(record, SHELVES[shelf], request))


def edit_page(request: HttpRequest, shelf: str, key: str | int) -> HttpResponse:
    """Staff change a text; the next search knows it."""
    record = _record_to_edit(request, SHELVES[shelf], key)
    form = text_form(record, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            form.save()
        except EmbedderError as error:
            form.add_error(None, f"Nothing was saved, since the new text could not be embedded: {error}")
        else:
            messages.success(
                request, "Saved: the text and its embedding in one commit. Search knows it already."
            )
            return redirect(record)
    context = {"record": record, "form": form}
    return render(request, "shop/edit.html", context, status=400 if form.errors else 200)


@require_POST
def script_page(request: HttpRequest, shelf: str, key: str | int) -> HttpResponse:
    """Change a text by plain SQL, as somebody's script would. The database refuses the commit."""
    record = _record_to_edit(request, SHELVES[shelf], key)
    table, column = connection.ops.quote_name(record._meta.db_table), SHELVES[shelf].text
    sql = f"UPDATE {table} SET {column} = {column} || %s WHERE id = %s"  # noqa: S608 -- names from the code
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, [" Changed by a script.", record.pk])
    except IntegrityError as refusal:
        messages.warning(request, f"PostgreSQL refused the commit. {refusal}")
    else:
        messages.error(request, "The commit went through, which it should not have.")
    return redirect(record)


@require_POST
def become(request: HttpRequest, name: str) -> HttpResponse:
    """Look at the shop as Alice or as Bob."""
    if name not in PERSONAS:
        raise Http404
    person = get_object_or_404(get_user_model(), username=name)
    login(request, person, backend="django.contrib.auth.backends.ModelBackend")
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = reverse("search")
    return redirect(back)


def _record(request: HttpRequest, shelf: Shelf, key: str | int) -> Any:
    """The record under this address, if this person may see it."""
    return get_object_or_404(shelf.model.objects.visible_to(request.user), **{shelf.address: key})


def _record_to_edit(request: HttpRequest, shelf: Shelf, key: str | int) -> Any:
    if not request.user.is_staff:
        raise PermissionDenied("Only staff may change texts. Look at the shop as Bob.")
    return _record(request, shelf, key)


def _about(record: Any, shelf: Shelf, request: HttpRequest) -> dict[str, Any]:
    """What its page shows: the record, whether it is in step, and what goes with it."""
    manifest = shelf.model.search.siblings.manifest.objects.filter(pk=record.pk).first()
    return {
        "record": record,
        "shelf": shelf,
        "manifest": manifest,
        "in_step": manifest is not None and manifest.digest == record.search_digest,
        "companions": _companions(record, request) if isinstance(record, Product) else [],
    }


def _companions(product: Product, request: HttpRequest) -> list[Product]:
    """Products that fit this one, as far as this person may see them."""
    return list(Product.objects.visible_to(request.user).filter(sku__in=product.compatible).order_by("name"))
