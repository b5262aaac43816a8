"""Runs in the admin: where each stands and how it came there, and the few things that people do to one."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.core.links import soft
from lockstep.core.moments import shown
from lockstep.core.paging import Bounded
from lockstep.core.pills import Tone, pill
from lockstep.workflows.admin import replays
from lockstep.workflows.admin.filters import WorkflowFilter
from lockstep.workflows.controls import cancel, retry
from lockstep.workflows.exceptions import NotRetryable
from lockstep.workflows.models import LIVE, Checkpoint, CheckpointWrite, NodeExecution, Run, RunContent

if TYPE_CHECKING:
    RunModelAdmin = admin.ModelAdmin[Run]
else:
    RunModelAdmin = admin.ModelAdmin

__all__ = ["RunAdmin"]

MOST_NODES = 200
"""Nodes that a page shows: the latest."""
MOST_TEXT = 20_000
"""Characters of one value."""
TONES: dict[str, Tone] = {
    "succeeded": "good", "ok": "good", "waiting": "warn", "failed": "bad", "dead": "bad", "blocked": "bad",
    "error": "bad", "died": "bad",
}  # fmt: skip
"""Of states of runs and of nodes."""
RETRIED = ("failed", "dead", "blocked", "cancelled")


@admin.register(Run)
class RunAdmin(RunModelAdmin):
    list_display = ["when", "workflow", "stands", "where", "transitions", "took"]
    list_display_links = ["when"]
    list_filter = ["status", WorkflowFilter]
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = Bounded
    actions = None
    sortable_by = ()
    search_fields = ["=id"]
    search_help_text = "The whole id of a run, its thread, its idempotency key, or a person's pseudonym."

    class Media:
        css = {"all": ["lockstep/core/admin.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).order_by("-at", "-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        term = search_term.replace("\0", "").strip()
        if not term:
            return queryset, False
        found = queryset.none()
        for field in ("thread", "idempotency_key", "user_key"):
            found = found | queryset.filter(**{field: term})
        with contextlib.suppress(ValueError):
            found = found | queryset.filter(pk=uuid.UUID(term))
        return found, False

    @admin.display(description="Started")
    def when(self, run: Run) -> SafeString:
        return format_html('<span class="nowrap">{}</span>', shown(run.at, "j M Y, H:i:s"))

    @admin.display(description="Status")
    def stands(self, run: Run) -> SafeString:
        return _pill(run.status)

    @admin.display(description="Where and why")
    def where(self, run: Run) -> str:
        return " · ".join(part for part in (run.node, run.reason) if part) or "—"

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        if run.started_at is None or run.ended_at is None:
            return "—"
        return _seconds((run.ended_at - run.started_at).total_seconds())

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False  # content expires; what is left is a record

    def has_view_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return request.user.has_perm("lockstep_workflows.view_run")

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "<path:object_id>/state/<str:checkpoint>/",
                wrap(self.state_view),
                name="lockstep_workflows_run_state",
            ),
            path("<path:object_id>/cancel/", wrap(self.cancel_view), name="lockstep_workflows_run_cancel"),
            path("<path:object_id>/retry/", wrap(self.retry_view), name="lockstep_workflows_run_retry"),
            *replays.urls(self),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run = self._run(request, object_id)
        nodes = [*run.nodes.order_by("-id")[:MOST_NODES]][::-1]
        reads = _reads(request)
        contents = _contents(run) if reads else {}
        written = _written(run, nodes) if reads else {}
        longest = max((node.elapsed_ms or 0 for node in nodes), default=0)
        context = {
            "run": run, "pill": _pill(run.status), "took": self.took(run), "reads": reads,
            "nodes": [
                {
                    "row": node, "pill": _pill(node.status), "took": _seconds((node.elapsed_ms or 0) / 1000),
                    "wrote": written.get((node.task_id, node.checkpoint)),
                    "share": round(100 * (node.elapsed_ms or 0) / longest) if longest else 0,
                }
                for node in nodes
            ],
            "waits": [(wait, _wait_url(request, wait.pk)) for wait in run.waits.filter(expires_at=run.expires_at)],
            "contents": [(title, contents[kind]) for kind, title in KINDS.items() if kind in contents],
            "expired": reads and not contents,
            "exports": run.exports.all()[:20], **replays.may(request),
            "may_change": _changes(request), "live": run.status in LIVE, "may_retry": run.status in RETRIED,
        }  # fmt: skip
        return self._page(request, "run", f"{run.workflow} {run.pk}", **context)

    def state_view(self, request: HttpRequest, object_id: str, checkpoint: str) -> HttpResponse:
        """The state that a node was given."""
        run = self._run(request, object_id)
        if not _reads(request):
            raise PermissionDenied
        found = Checkpoint.objects.filter(
            run=run, checkpoint_id=checkpoint.replace("\0", ""), expires_at=run.expires_at
        ).first()
        if found is None:
            raise Http404("There is no such state: it has expired, or never was.")
        kept = found.meta.get("kept", {})
        values = [(name, _text(value)) for name, value in sorted(found.state.items())]
        earlier = [(name, other) for name, other in sorted(kept.items())]
        return self._page(
            request, "state", "State", run=run, checkpoint=found, values=values, earlier=earlier
        )

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do(request, object_id, cancel, "The run was cancelled, or ends at its next transition.")

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do(request, object_id, retry, "The run goes on from where it stood.")

    # --- parts ------------------------------------------------------------------------------------

    def _do(
        self, request: HttpRequest, object_id: str, call: Callable[[Run], object], said: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        run = self._run(request, object_id)
        if not _changes(request):
            raise PermissionDenied
        try:
            call(run)
        except NotRetryable as error:
            messages.error(request, str(error))
        else:
            self.log_change(request, run, said)
            messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:lockstep_workflows_run_change", args=[run.pk]))

    def _run(self, request: HttpRequest, object_id: str) -> Run:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return Run.objects.get(pk=uuid.UUID(object_id))
        except (ValueError, Run.DoesNotExist):
            raise Http404("There is no such run.") from None

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/workflows/{name}.html", common | context)


KINDS = {"error": "What went wrong", "input": "What it was started with", "result": "What came of it"}


def _reads(request: HttpRequest) -> bool:
    """Whether the person may see what runs are about, and not only how they fare."""
    return request.user.has_perm(f"lockstep_workflows.view_{RunContent._meta.model_name}")


def _changes(request: HttpRequest) -> bool:
    return request.user.has_perm("lockstep_workflows.change_run")


def _contents(run: Run) -> dict[str, str]:
    return {one.kind: _text(one.data) for one in run.contents.filter(expires_at=run.expires_at)}


def _written(run: Run, nodes: list[NodeExecution]) -> dict[tuple[str, str], str]:
    """Task and checkpoint -> what the task wrote there."""
    own = {"run": run, "thread": run.thread, "expires_at": run.expires_at}
    wrote = {
        (row.task_id, row.checkpoint_id): row.writes
        for row in CheckpointWrite.objects.filter(**own, task_id__in={node.task_id for node in nodes})
    }
    for row in Checkpoint.objects.filter(**own, parent_id__in={node.checkpoint for node in nodes}):
        wrote |= {(task, row.parent_id): places for task, _, places in row.written()}
    return {
        place: _text({name: value for name, value in places.values() if not name.startswith("branch:to:")})
        for place, places in wrote.items()
    }


def _wait_url(request: HttpRequest, key: uuid.UUID) -> str:
    return soft("lockstep_workflows", "wait", "change", request.user, str(key), verbs="view")


def _text(value: Any) -> str:
    """JSON as people read it. Kinds of Python that JSON has not are shown as they are stored."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return (
        text
        if len(text) <= MOST_TEXT
        else f"{text[:MOST_TEXT]}\n… and {len(text) - MOST_TEXT:,} characters more"
    )


def _pill(status: str) -> SafeString:
    return pill(status, TONES.get(status, ""))


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
