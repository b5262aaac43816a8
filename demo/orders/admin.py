from typing import ClassVar

from django.contrib import admin

from demo.orders.models import Order, OrderLine, Refund


class OrderLineInline(admin.TabularInline):
    model = OrderLine
    extra = 0
    autocomplete_fields: ClassVar = ["product"]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display: ClassVar = ["number", "customer", "placed_at"]
    list_select_related: ClassVar = ["customer"]
    search_fields: ClassVar = ["number"]
    inlines: ClassVar = [OrderLineInline]


@admin.register(Refund)
class RefundAdmin(admin.ModelAdmin):
    list_display: ClassVar = ["order", "outcome", "asked_at", "run_id"]
    list_filter: ClassVar = ["outcome"]
    list_select_related: ClassVar = ["order"]
    readonly_fields: ClassVar = ["order", "run_id", "outcome", "asked_at"]
