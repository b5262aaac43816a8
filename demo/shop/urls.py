"""Addresses of the shop."""

from django.urls import path

from demo.shop import views
from demo.shop.shelves import SHELVES

urlpatterns = [
    path("", views.search_page, name="search"),
    path("ask/", views.answer_page, name="answer"),
    path("questions/", views.questions_page, name="questions"),
    path("as/<slug:name>/", views.become, name="become"),
]
for _shelf in SHELVES.values():
    _page, _given = f"{_shelf.name}/<{_shelf.address_kind}:key>/", {"shelf": _shelf.name}
    urlpatterns += [
        path(_page, views.record_page, _given, name=_shelf.name),
        path(f"{_page}edit/", views.edit_page, _given, name=f"edit-{_shelf.name}"),
        path(f"{_page}by-script/", views.script_page, _given, name=f"script-{_shelf.name}"),
    ]
