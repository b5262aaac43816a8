from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from demo.shop.models import Article, Brand, Product, Question


@admin.register(Brand)
class BrandAdmin(admin.ModelAdmin):
    search_fields = ["name"]

    def save_model(self, request: HttpRequest, obj: Brand, form: Any, change: bool) -> None:
        """A brand's name stands in the context of its products."""
        super().save_model(request, obj, form, change)
        Product.objects.filter(brand=obj).touch_search()


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "sku", "brand", "category", "price", "audience"]
    list_filter = ["audience", "category", "brand"]
    list_select_related = ["brand"]
    search_fields = ["name", "sku", "ean"]

    @admin.display(description="price", ordering="price_pence")
    def price(self, product: Product) -> str:
        return f"£{product.price_pence / 100:,.2f}"


@admin.register(Article)
class ArticleAdmin(admin.ModelAdmin):
    list_display = ["title", "topic", "audience", "updated"]
    list_filter = ["audience", "topic"]
    search_fields = ["title", "slug"]


@admin.register(Question)
class QuestionAdmin(admin.ModelAdmin):
    list_display = ["text", "expects", "kind", "asked_by", "usual_place", "place"]
    list_filter = ["kind", "asked_by"]

    def has_change_permission(self, request: HttpRequest, obj: Question | None = None) -> bool:
        return False

    has_add_permission = has_delete_permission = has_change_permission
