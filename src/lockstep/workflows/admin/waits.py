"""The review queue: what runs wait for, and the page where a person decides."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.moments import shown
from lockstep.core.paging import Bounded
from lockstep.workflows.admin.filters import WorkflowFilter
from lockstep.workflows.answers import PERMISSION
from lockstep.workflows.conf import settings
from lockstep.workflows.exceptions import NotAnswerable
from lockstep.workflows.models import Wait
from lockstep.workflows.reviews.deciding import decided
from lockstep.workflows.reviews.page import DECIDED, context, find, state, title

if TYPE_CHECKING:
    WaitModelAdmin = admin.ModelAdmin[Wait]
else:
    WaitModelAdmin = admin.ModelAdmin

__all__ = ["WaitAdmin"]

VIEW = "lockstep_workflows.view_wait"


class StateFilter(admin.SimpleListFilter):
    """What is open, unless somebody asks for more."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in ("answered", "expired", "withdrawn", "all")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield choice | ({"display": "open"} if choice["display"] == "All" else {})

    def queryset(self, request: HttpRequest, queryset: QuerySet[Wait]) -> QuerySet[Wait]:
        value = self.value()
        if value == "all":
            return queryset
        return queryset.filter(status=value if value in Wait.Status.values else "open")


class ForFilter(admin.SimpleListFilter):
    title = "whom it is for"
    parameter_name = "for"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        groups = Group.objects.order_by("name").values_list("name", flat=True)
        return [("me", "me"), *((f"group:{name}", name) for name in groups)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Wait]) -> QuerySet[Wait]:
        value = (self.value() or "").replace("\0", "")
        if value == "me":
            mine: Any = request.user.groups.values("name")
            return queryset.for_people().filter(Q(assignee="") | Q(assignee__in=mine))  # type: ignore[attr-defined,no-any-return]
        return queryset.filter(assignee=value.removeprefix("group:")) if value else queryset


class RunWorkflowFilter(WorkflowFilter):
    field = "run__workflow"


@admin.register(Wait)
class WaitAdmin(WaitModelAdmin):
    list_display = ["what", "whom", "since", "until", "stands"]
    list_display_links = ["what"]
    list_filter = [StateFilter, ForFilter, "kind", RunWorkflowFilter]
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = Bounded
    actions = None
    sortable_by = ()
    search_fields = ["=run__id"]
    search_help_text = "The whole id of a run or of a question, or a person's pseudonym."
    change_list_template = "lockstep/workflows/waits.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Wait]:
        found = Wait.objects.using(settings().database).seen_by(request.user)
        return found.select_related("run").defer("payload", "schema", "answer").order_by("at", "id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Wait], search_term: str
    ) -> tuple[QuerySet[Wait], bool]:
        term = search_term.replace("\0", "").strip()
        if not term:
            return queryset, False
        try:
            key = uuid.UUID(term)
        except ValueError:
            return queryset.filter(subject=term), False
        return queryset.filter(Q(run=key) | Q(pk=key)), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Review queue", **(extra_context or {})})

    @admin.display(description="What")
    def what(self, wait: Wait) -> SafeString:
        return format_html('{}<br><span class="quiet">{}</span>', title(wait), wait.run.workflow)

    @admin.display(description="For")
    def whom(self, wait: Wait) -> str:
        return wait.assignee or "—"

    @admin.display(description="Asked")
    def since(self, wait: Wait) -> SafeString:
        return format_html('<span class="nowrap">{}</span>', shown(wait.at))

    @admin.display(description="Until")
    def until(self, wait: Wait) -> SafeString | str:
        return format_html('<span class="nowrap">{}</span>', shown(wait.due_at)) if wait.due_at else "—"

    @admin.display(description="State")
    def stands(self, wait: Wait) -> SafeString:
        return state(wait)

    # --- who may what -----------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Wait | None = None) -> bool:
        return request.user.has_perm(VIEW) or request.user.has_perm(PERMISSION)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Wait | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Wait | None = None) -> bool:
        return False  # it expires with its run, or is erased with its person

    # --- the page of one --------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        wait = self._wait(request, object_id)
        if request.method != "POST":
            return self._page(request, wait)
        try:
            found = decided(wait, request.POST, request.user)
        except NotAnswerable as error:
            return self._page(request, find(wait.pk) or wait, trouble=str(error), status=409)
        if not isinstance(found, Wait):
            return self._page(request, wait, form=found)
        self.log_change(request, found, f"Answered: {found.decision or 'input'}")
        messages.success(
            request, f"{title(found)} is {DECIDED.get(found.decision, 'answered')}: the run goes on."
        )
        return HttpResponseRedirect(reverse("admin:lockstep_workflows_wait_changelist"))

    def _wait(self, request: HttpRequest, object_id: str) -> Wait:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            key = uuid.UUID(object_id)
        except ValueError:
            raise Http404("This is no id of a question.") from None
        wait = find(key)
        if wait is None:
            raise Http404("Nothing is kept of this: it has expired, was erased, or never was.")
        if not self.get_queryset(request).filter(pk=key).exists():
            raise PermissionDenied
        return wait

    def _page(
        self, request: HttpRequest, wait: Wait, *, form: Any = None, status: int = 200, trouble: str = ""
    ) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "trouble": trouble,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "lockstep/workflows/wait.html",
            common | context(wait, request.user, form),
            status=status,
        )
