"""Replays and exports, from the page of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from lockstep.core.exceptions import LockstepError
from lockstep.core.pills import pill
from lockstep.workflows.models import Run, RunContent

if TYPE_CHECKING:
    from lockstep.workflows.admin.runs import RunAdmin

__all__ = ["may", "urls"]

REPLAYS = "lockstep_workflows.change_run"
EXPORTS = {
    "exact": "lockstep_workflows.export_run",
    "redacted": f"lockstep_workflows.view_{RunContent._meta.model_name}",
}
"""How a run is exported -> what it takes."""


def urls(admin: RunAdmin) -> list[URLPattern]:
    wrap = admin.admin_site.admin_view

    def replayed(request: HttpRequest, object_id: str) -> HttpResponse:
        return _replay(admin, request, object_id)

    def exported(request: HttpRequest, object_id: str, mode: str) -> HttpResponse:
        return _export(admin, request, object_id, mode)

    return [
        path("<path:object_id>/replay/", wrap(replayed), name="lockstep_workflows_run_replay"),
        path("<path:object_id>/export/<str:mode>/", wrap(exported), name="lockstep_workflows_run_export"),
    ]


def may(request: HttpRequest) -> dict[str, bool]:
    """What the person may do with a run, as the page asks it."""
    asked = {"replay": REPLAYS, **{f"export_{mode}": permission for mode, permission in EXPORTS.items()}}
    return {f"may_{name}": request.user.has_perm(permission) for name, permission in asked.items()}


def _replay(admin: RunAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Everything that was checked, the first difference on top."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    run = admin._run(request, object_id)
    if not request.user.has_perm(REPLAYS):
        raise PermissionDenied
    from lockstep.workflows.replays.replaying import replay  # with it comes LangGraph

    try:
        report = replay(run)
    except LockstepError as error:
        return _back(request, run, str(error))
    rows = [(one, _pill(one.same), one is report.first) for one in report.checked]
    return admin._page(request, "replay", f"Replay of {run.pk}", run=run, report=report, rows=rows)


def _export(admin: RunAdmin, request: HttpRequest, object_id: str, mode: str) -> HttpResponse:
    """The file, once it is written down who has it."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    run = admin._run(request, object_id)
    if mode not in EXPORTS or not request.user.has_perm(EXPORTS[mode]):
        raise PermissionDenied
    from lockstep.workflows.replays.transfer import export_run

    try:
        text = export_run(run, mode=mode, by=request.user.get_username())  # type: ignore[arg-type]
    except LockstepError as error:
        return _back(request, run, str(error))
    admin.log_change(request, run, f"Exported, {mode}.")
    headers = {
        "Content-Disposition": f'attachment; filename="run-{run.pk}-{mode}.json"',
        "Cache-Control": "no-store",
    }
    return HttpResponse(text, content_type="application/json", headers=headers)


def _back(request: HttpRequest, run: Run, trouble: str) -> HttpResponse:
    messages.error(request, trouble)
    return HttpResponseRedirect(reverse("admin:lockstep_workflows_run_change", args=[run.pk]))


def _pill(same: bool) -> SafeString:
    return pill("same", "good") if same else pill("differs", "bad")
