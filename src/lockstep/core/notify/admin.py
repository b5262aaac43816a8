"""Notices in the admin: what was written, who was told, and how the sinks fare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet
from django.db.transaction import non_atomic_requests
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from lockstep.core.exceptions import SinkMisconfigured
from lockstep.core.models import Delivery, JobState, Notice, SinkState
from lockstep.core.notify import reasons
from lockstep.core.notify.again import deliver_again
from lockstep.core.notify.deliverer import send_now
from lockstep.core.notify.messages import trial
from lockstep.core.notify.outbox import database
from lockstep.core.notify.registry import get_sink
from lockstep.core.pills import Tone, pill
from lockstep.core.settings import SinkEntry, settings

if TYPE_CHECKING:
    NoticeModelAdmin = admin.ModelAdmin[Notice]
else:
    NoticeModelAdmin = admin.ModelAdmin

__all__ = ["NoticeAdmin"]

SILENT_AFTER = timedelta(minutes=5)
"""Housekeeping runs every minute where anybody delivers."""
TEST = "lockstep_core.test_sink"
TONES: dict[str, Tone] = {"warning": "warn", "error": "bad", "critical": "bad"}


class StateFilter(admin.SimpleListFilter):
    title = "delivery"
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("new", "new"), *Delivery.State.choices, ("none", "nobody told")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        deliveries = Delivery.objects.filter(notice=OuterRef("pk"))
        value = self.value()
        if value == "new":
            return queryset.filter(handed_at=None)
        if value == "none":
            return queryset.filter(~Exists(deliveries), handed_at__isnull=False)
        if value in Delivery.State.values:
            return queryset.filter(Exists(deliveries.filter(state=value)))
        return queryset


@dataclass(frozen=True)
class SinkRow:
    """A sink, as the page of sinks shows it."""

    name: str
    backend: str
    entry: SinkEntry
    pill: SafeString
    trouble: tuple[str, ...]
    state: SinkState | None
    waiting: int
    oldest: Any
    dead: int


@admin.register(Notice)
class NoticeAdmin(NoticeModelAdmin):
    list_display = ["when", "loud", "what", "told"]
    list_display_links = ["when"]
    list_filter = [StateFilter, "severity", ("topic", admin.AllValuesFieldListFilter)]
    search_fields = ["subject", "dedup_key"]
    ordering = ["-id"]
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ["again"]
    change_list_template = "lockstep/core/notices.html"

    class Media:
        css = {"all": ["lockstep/core/admin.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        return Notice.objects.using(database()).defer("body", "facts").prefetch_related("deliveries")

    @admin.display(description="When", ordering="id")
    def when(self, notice: Notice) -> SafeString:
        moment = timezone.localtime(notice.at) if timezone.is_aware(notice.at) else notice.at
        day, clock = date_format(moment, "j M Y"), date_format(moment, "H:i:s")
        return format_html('<span class="nowrap">{}</span> <span class="nowrap">{}</span>', day, clock)

    @admin.display(description="Severity", ordering="severity")
    def loud(self, notice: Notice) -> SafeString:
        return _severity(notice)

    @admin.display(description="Notice, topic", ordering="subject")
    def what(self, notice: Notice) -> SafeString:
        told = '<span class="lockstep-anywhere">{}</span><br><span class="quiet">{}</span>'
        return format_html(told, notice.subject, notice.topic)

    @admin.display(description="Told to")
    def told(self, notice: Notice) -> SafeString:
        if notice.handed_at is None:
            return pill("new")
        pills = [(_pill(one, named=True),) for one in notice.deliveries.all()]
        nobody = format_html('<span class="quiet">{}</span>', "nobody: no sink wanted it")
        return format_html_join(" ", "{}", pills) or nobody

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(
            request, {"title": "Notices", "silent": _silent(), **(extra_context or {})}
        )

    @admin.action(description="Deliver again what was not delivered", permissions=["change"])
    def again(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        count = deliver_again(queryset)
        for notice in queryset:
            self.log_change(request, notice, "Delivered again.")
        if count:
            text = f"{count} deliver{'y is' if count == 1 else 'ies are'} tried again at once."
            messages.success(request, text)
        else:
            messages.info(request, "All of them were delivered: nothing is sent twice.")

    # --- who may what -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Notice | None = None) -> bool:
        return False  # they are deleted when they are old

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        # a request of ATOMIC_REQUESTS would keep a transaction open while the network is waited for
        test = non_atomic_requests(wrap(self.test_view))
        return [
            path("sinks/", wrap(self.sinks_view), name="lockstep_core_notice_sinks"),
            path("sinks/<str:sink>/test/", test, name="lockstep_core_notice_test"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of one notice; nothing is edited."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return HttpResponseNotAllowed(["GET"])
        key = unquote(object_id)
        notice = Notice.objects.using(database()).filter(pk=key).first() if key.isdecimal() else None
        if notice is None:
            raise Http404("There is no such notice.")
        context = {
            "notice": notice,
            "severity": _severity(notice),
            "facts": _facts(notice.facts),
            "deliveries": [(one, _pill(one)) for one in notice.deliveries.order_by("sink")],
        }
        return self._page(request, "notice", notice.subject or notice.topic, **context)

    def sinks_view(self, request: HttpRequest) -> HttpResponse:
        """Every configured sink: whom it is for, how it fares, and a button to try it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {"rows": list(_rows()), "silent": _silent(), "may_test": request.user.has_perm(TEST)}
        return self._page(request, "sinks", "Sinks", **context)

    def test_view(self, request: HttpRequest, sink: str) -> HttpResponse:
        """Send a test notice at once, and say what came of it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm(TEST)):
            raise PermissionDenied
        if sink not in settings().notify.sinks:
            raise Http404("There is no such sink.")
        message = trial(sink, get_random_string(12))
        try:
            send_now(sink, message)
            if getattr(get_sink(sink), "incidents", False):
                send_now(sink, message.as_resolved())
        except SinkMisconfigured as error:
            messages.error(request, f"The sink {sink} cannot be used: {error}")
        except Exception as error:
            messages.error(request, f"The sink {sink} did not take the test notice. {reasons.reason(error)}")
        else:
            messages.success(request, f"The sink {sink} took the test notice {message.id}.")
        return HttpResponseRedirect(reverse("admin:lockstep_core_notice_sinks"))

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/core/{name}.html", common | context)


def _severity(notice: Notice) -> SafeString:
    return pill("over", "good") if notice.resolves else pill(notice.severity, TONES.get(notice.severity, ""))


def _pill(delivery: Delivery, *, named: bool = False) -> SafeString:
    found: dict[Delivery.State, tuple[str, Tone]] = {
        Delivery.State.SENT: ("sent", "good"),
        Delivery.State.DEAD: ("given up", "bad"),
        Delivery.State.PENDING: ("waiting", "warn" if delivery.attempts else ""),
    }
    text, tone = found[Delivery.State(delivery.state)]
    return pill(f"{delivery.sink}: {text}" if named else text, tone)


def _facts(facts: Any) -> list[tuple[str, str]]:
    if not isinstance(facts, dict):
        return []
    return [
        (name, one if isinstance(one, str) else json.dumps(one, ensure_ascii=False))
        for name, one in facts.items()
    ]


def _silent() -> bool:
    """Whether there are sinks, and nobody who delivers."""
    if not settings().notify.sinks:
        return False
    heard = JobState.objects.using(database()).filter(ran_at__gt=timezone.now() - SILENT_AFTER)
    return not heard.exists()


def _rows() -> Iterator[SinkRow]:
    """Two statements for any number of sinks; those that are configured no more and have something left too."""
    wishes, using = settings().notify, database()
    states = {state.pk: state for state in SinkState.objects.using(using)}
    open_ = Delivery.objects.using(using).exclude(state=Delivery.State.SENT).order_by()
    counts = {
        sink: (waiting, oldest, dead)
        for sink, waiting, oldest, dead in open_.values_list("sink").annotate(
            waiting=Count("pk", filter=Q(state=Delivery.State.PENDING)),
            oldest=Min("notice__at", filter=Q(state=Delivery.State.PENDING)),
            dead=Count("pk", filter=Q(state=Delivery.State.DEAD)),
        )
    }
    moment = timezone.now()
    for name, raw in wishes.sinks.items():
        state, trouble = states.get(name), tuple(_trouble(name))
        waiting, oldest, dead = counts.pop(name, (0, None, 0))
        shown = _sink_pill(state, trouble, waiting, moment)
        backend = raw["BACKEND"].rpartition(".")[2]
        yield SinkRow(name, backend, wishes.entry(name), shown, trouble, state, waiting, oldest, dead)
    for name, (waiting, oldest, dead) in counts.items():
        gone = pill("not configured any more")
        yield SinkRow(name, "", SinkEntry(), gone, (), None, waiting, oldest, dead)


def _trouble(name: str) -> Iterator[str]:
    try:
        sink = get_sink(name)
    except ImproperlyConfigured as error:
        yield str(error)
        return
    yield from getattr(sink, "problems", tuple)()


def _sink_pill(state: SinkState | None, trouble: tuple[str, ...], waiting: int, moment: Any) -> SafeString:
    if trouble:
        return pill("cannot send", "bad")
    if state is None:
        return pill("not used yet")
    if state.failures:
        return pill(f"down, {state.failures} attempt{'s' if state.failures > 1 else ''}", "bad")
    if waiting and state.resume_at > moment:
        return pill("keeps its pace", "warn")
    return pill("takes notices", "good")
