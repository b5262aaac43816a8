"""Addresses of the demo: the shop, Django's admin, and where the bank reports and reviewers' links lead."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("lockstep/", include("lockstep.workflows.urls")),
    path("", include("demo.orders.urls")),
    path("", include("demo.shop.urls")),
]
