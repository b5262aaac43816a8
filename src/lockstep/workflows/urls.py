"""Pages outside the admin: ``path("lockstep/", include("lockstep.workflows.urls"))``."""

from __future__ import annotations

from django.urls import path

from lockstep.workflows.inbox.views import event
from lockstep.workflows.reviews.views import review

__all__ = ["app_name", "urlpatterns"]

app_name = "lockstep_workflows"
urlpatterns = [
    path("reviews/<str:token>/", review, name="review"),
    path("events/<str:token>/", event, name="event"),
]
