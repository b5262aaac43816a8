"""A project without pages."""

urlpatterns: list[object] = []
