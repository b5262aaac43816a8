"""Pages of orders, and of how far a refund is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from demo.orders.forms import RefundForm
from demo.orders.models import Order, Refund
from demo.orders.progress import progress_of
from demo.orders.workflows import LIMIT_PENCE
from lockstep.workflows import start
from lockstep.workflows.exceptions import IdempotencyConflict


@require_GET
def orders_page(request: HttpRequest) -> HttpResponse:
    orders = (
        Order.objects.visible_to(request.user).select_related("customer").prefetch_related("lines", "refunds")
    )
    return render(request, "orders/orders.html", {"orders": orders[:100]})


@require_http_methods(["GET", "POST"])
def order_page(request: HttpRequest, number: str) -> HttpResponse:
    """An order, and the form that asks for its money back."""
    order = get_object_or_404(Order.objects.visible_to(request.user), number=number)
    form = RefundForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(ask_for_refund(order, request.user, **form.cleaned_data))
        except (IntegrityError, IdempotencyConflict):
            messages.warning(request, "A refund of this order was asked for already.")
            return redirect(order)
    context = {"order": order, "form": form, "refund": order.refund, "limit": LIMIT_PENCE}
    return render(request, "orders/order.html", context, status=400 if form.errors else 200)


@transaction.atomic
def ask_for_refund(order: Order, user: Any, *, reason: str, slowly: bool, key: UUID) -> Refund:
    """Start the run and note whose it is: both are committed, or neither.

    Raises:
        IntegrityError: the order has a refund that is under way or paid.
        IdempotencyConflict: this sheet of the form was sent before, with something else on it.
    """
    run = start(
        "refund",
        {"order": order.number, "reason": reason, "slowly": slowly},
        user=user,
        idempotency_key=f"{order.number} {key}",
    )
    refund, _ = Refund.objects.get_or_create(run_id=run.pk, defaults={"order": order})
    return refund


@require_POST
def order_again(request: HttpRequest, number: str) -> HttpResponse:
    order = get_object_or_404(Order.objects.visible_to(request.user), number=number)
    return redirect(order.placed_again())


@require_GET
@never_cache
def refund_page(request: HttpRequest, run: UUID) -> HttpResponse:
    """How far it is, in plain words; ``orders.js`` asks again every second. For the customer, and for staff."""
    orders = Order.objects.visible_to(request.user)
    refund = get_object_or_404(
        Refund.objects.filter(order__in=orders).select_related("order__customer"), run_id=run
    )
    context = {"refund": refund, "progress": progress_of(refund), "bank": settings.BANK_URL}
    return render(request, "orders/refund.html", context)
