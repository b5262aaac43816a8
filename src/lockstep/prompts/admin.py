"""Prompts in the admin: what is live, what changed, one form to release and one reason to go back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lockstep.prompts import files, releases
from lockstep.prompts.arms import Arm
from lockstep.prompts.body import Body
from lockstep.prompts.conf import settings
from lockstep.prompts.diff import compare
from lockstep.prompts.exceptions import NoVersion, PromptError, TemplateError
from lockstep.prompts.forms import ArmFormSet, ReasonForm, ReleaseForm, RollBackForm, VersionForm, choices_of
from lockstep.prompts.models import GateDecision, Prompt, PromptVersion, Release

if TYPE_CHECKING:
    PromptModelAdmin = admin.ModelAdmin[Prompt]
else:
    PromptModelAdmin = admin.ModelAdmin

SHOWN = 50
"""Versions and releases on the page of a prompt, newest first."""
OFFERED = 200
"""Versions in the release form."""
NEW = '+++\nvariables = ["question"]\n+++\n# system\n\n\n# user\n{question}\n'


@admin.register(Prompt)
class PromptAdmin(PromptModelAdmin):
    list_display = ["name", "traffic", "last_release", "version_count", "policy"]
    search_fields = ["name"]
    fields = ["name", "release_policy"]
    readonly_fields = ["name"]

    class Media:
        css = {"all": ["lockstep/core/admin.css", "lockstep/prompts/prompts.css"]}

    # --- the list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prompt]:
        rows = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name != "lockstep_prompts_prompt_changelist":
            return rows
        live = Release.objects.filter(prompt=OuterRef("pk"), environment=settings().environment).order_by(
            "-number"
        )
        counted = PromptVersion.objects.filter(prompt=OuterRef("pk")).order_by().values("prompt")
        facts = {
            f"live_{name}": Subquery(live.values(name)[:1])
            for name in ("arms", "number", "at", "actor", "reason")
        }
        return rows.annotate(**facts, versions_made=Subquery(counted.annotate(n=Count("pk")).values("n")))

    @admin.display(description="Live")
    def traffic(self, prompt: Any) -> SafeString | str:
        if not prompt.live_arms:
            return "—"
        row = Release(prompt=prompt, arms=prompt.live_arms)
        return render_to_string("lockstep/prompts/traffic.html", {"release": row})

    @admin.display(description="Last release", ordering="live_at")
    def last_release(self, prompt: Any) -> SafeString | str:
        if not prompt.live_number:
            return "not released"
        return render_to_string("lockstep/prompts/last_release.html", {"prompt": prompt})

    @admin.display(description="Versions", ordering="versions_made")
    def version_count(self, prompt: Any) -> int:
        return prompt.versions_made or 0

    @admin.display(description="Policy", ordering="release_policy")
    def policy(self, prompt: Prompt) -> str:
        return prompt.release_policy

    # --- who may what -----------------------------------------------------------------------------

    def has_delete_permission(self, request: HttpRequest, obj: Prompt | None = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("lockstep_prompts.add_promptversion")

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """An opened gate is what an audit asks for: the log has both policies, not that one was changed."""
        before, after = form.initial["release_policy"], form.cleaned_data["release_policy"]
        return f"Release policy: {before} before, {after} now."

    def may(self, request: HttpRequest) -> dict[str, bool]:
        names = {"release": "release_prompt", "override": "override_gate", "write": "add_promptversion"}
        may = {key: request.user.has_perm(f"lockstep_prompts.{name}") for key, name in names.items()}
        return {**may, "change": self.has_change_permission(request)}

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: dict[str, tuple[str, Any]] = {
            "<path:object_id>/policy/": ("policy", super().change_view),
            "<path:object_id>/version/<str:key>/": ("version", self.version_view),
            "<path:object_id>/diff/": ("diff", self.diff_view),
            "<path:object_id>/release/": ("release", self.release_view),
            "<path:object_id>/roll-back/<int:number>/": ("roll_back", self.roll_back_view),
            "<path:object_id>/write/": ("write", self.write_view),
            "<path:object_id>/override/<str:key>/": ("override", self.override_view),
        }
        own = [
            path(route, self.admin_site.admin_view(view), name=f"lockstep_prompts_prompt_{name}")
            for route, (name, view) in pages.items()
        ]
        return own + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of one prompt: what is live, its versions, its history."""
        prompt = self._prompt(request, object_id)
        history = list(self._releases(prompt).select_related("copied_from")[: SHOWN + 1])
        versions = list(prompt.versions.defer("canonical", "body")[: SHOWN + 1])
        live = history[0] if history else None
        earlier = releases.before(history)
        verdicts = self._decisions(versions)
        for version in versions:
            version.verdict = verdicts.get(version.pk)
        context = {
            "live": live,
            "live_keys": {arm.version for arm in live.split} if live else set(),
            "history": history[:SHOWN],
            "versions": versions[:SHOWN],
            "more": len(history) > SHOWN or len(versions) > SHOWN,
            "earlier": earlier,
        }
        return self._page(request, prompt, "prompt", prompt.name, **context)

    def version_view(self, request: HttpRequest, object_id: str, key: str) -> HttpResponse:
        prompt = self._prompt(request, object_id)
        version = self._version(prompt, key)
        live = self._releases(prompt).first()
        context = {
            "version": version,
            "content": version.content,
            "settings": _settings_of(version.content),
            "live": live,
            "is_live": live is not None and version.key in {arm.version for arm in live.split},
            "decisions": version.decisions.all()[:SHOWN],
            "others": prompt.versions.exclude(pk=version.pk).defer("canonical", "body")[:OFFERED],
            "form": ReasonForm(),
        }
        return self._page(request, prompt, "version", f"Version {version.short}", **context)

    def diff_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        prompt = self._prompt(request, object_id)
        versions = list(prompt.versions.defer("canonical", "body")[:OFFERED])
        live = self._releases(prompt).first()
        if not versions:
            raise Http404("There is no version.")
        newest = versions[0].key
        old = self._version(
            prompt, request.GET.get("a") or (live.split[0].version if live else versions[-1].key)
        )
        new = self._version(prompt, request.GET.get("b") or newest)
        context = {
            "old": old,
            "new": new,
            "versions": versions,
            "live_keys": {arm.version for arm in live.split} if live else set(),
            "style": "unified" if request.GET.get("style") == "unified" else "side",
            "lines": compare(_text(old), _text(new), whole="whole" in request.GET),
        }
        return self._page(request, prompt, "diff", "Compare versions", **context)

    def release_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        prompt = self._prompt(request, object_id)
        self._demand(request, "release")
        live = self._releases(prompt).first()
        versions = self._offered(request, prompt, live)
        options: dict[str, Any] = {"form_kwargs": {"choices": choices_of(versions)}, "prefix": "arms"}
        if request.method == "POST":
            form, arms = ReleaseForm(request.POST), ArmFormSet(request.POST, **options)
            if (
                form.is_valid()
                and arms.is_valid()
                and self._release(request, prompt, live, form, arms.arms())
            ):
                return self._back(prompt)
        else:
            form = ReleaseForm(initial={"expected": live.number if live else 0})
            arms = ArmFormSet(initial=self._suggested(request, live, versions), **options)
        context = {
            "form": form,
            "arms": arms,
            "live": live,
            "ask_variables": bool(form.errors.get("other_variables")),
        }
        return self._page(request, prompt, "release", "New release", **context)

    def roll_back_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        prompt = self._prompt(request, object_id)
        self._demand(request, "release")
        source = self._releases(prompt).filter(number=number).first()
        if source is None:
            raise Http404("There is no such release.")
        live = self._releases(prompt).first()
        form = RollBackForm(request.POST or None, initial={"expected": live.number if live else 0})
        if request.method == "POST" and form.is_valid():
            why = {name: form.cleaned_data[name] for name in ("reason", "ticket", "expected")}
            try:
                made = releases.roll_back(prompt.name, to=number, actor=request.user.get_username(), **why)
            except PromptError as error:
                form.add_error(None, str(error))
            else:
                self._note(request, prompt, f"Rolled back to release {number}, as release {made.number}.")
                return self._back(prompt)
        context = {"form": form, "source": source, "live": live}
        return self._page(request, prompt, "roll_back", f"Roll back to release {number}", **context)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return self.write_view(request, None)

    def write_view(self, request: HttpRequest, object_id: str | None) -> HttpResponse:
        """A new version, from an old one or of a new prompt."""
        prompt = self._prompt(request, object_id) if object_id else None
        self._demand(request, "write")
        parent = self._parent(prompt, request.GET.get("from"))
        initial = {"name": prompt.name if prompt else "", "text": _text(parent) if parent else NEW}
        form = VersionForm(request.POST or None, initial=initial)
        if prompt:
            form.fields["name"].disabled = True
        if request.method == "POST" and form.is_valid():
            facts = {
                "source": PromptVersion.Source.ADMIN,
                "author": request.user.get_username(),
                "parent": parent,
            }
            made, new = PromptVersion.objects.add(
                form.cleaned_data["name"], form.body, note=form.cleaned_data["note"], **facts
            )
            said = "is made. Nothing is released yet." if new else "was there already, with the same content."
            self._note(request, made.prompt, f"Version {made.short} {said}")
            return HttpResponseRedirect(_url("version", made.prompt, made.key))
        title = "New version" if prompt else "New prompt"
        return self._page(request, prompt, "write", title, form=form, parent=parent)

    def override_view(self, request: HttpRequest, object_id: str, key: str) -> HttpResponse:
        """A person lets another one release a version that did not pass."""
        prompt = self._prompt(request, object_id)
        self._demand(request, "override")
        version = self._version(prompt, key)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            releases.override_gate(
                version, by=request.user.get_username(), reason=form.cleaned_data["reason"]
            )
            self._note(
                request, prompt, f"The gate of {version.short} is overridden: somebody else may release it."
            )
        elif request.method == "POST":
            messages.error(request, "An override needs a reason.")
        return HttpResponseRedirect(_url("version", prompt, version.key))

    # --- steps ------------------------------------------------------------------------------------

    def _release(
        self, request: HttpRequest, prompt: Prompt, live: Release | None, form: ReleaseForm, arms: list[Arm]
    ) -> bool:
        """Make the release that the forms describe, or write on them why not."""
        values = form.cleaned_data
        if not values["other_variables"] and (said := self._other_variables(prompt, live, arms)):
            form.add_error("other_variables", said)
            return False
        try:
            why = {"reason": values["reason"], "ticket": values["ticket"], "expected": values["expected"]}
            made = releases.release(prompt.name, arms, actor=request.user.get_username(), **why)
        except PromptError as error:
            form.add_error(None, str(error))
            return False
        self._note(request, prompt, f"Release {made.number} is live: the next call uses it.")
        return True

    def _other_variables(self, prompt: Prompt, live: Release | None, arms: list[Arm]) -> str:
        """What would fail at the next call: a version wants other variables than those that are passed today."""
        keys = {arm.version for arm in arms} | ({arm.version for arm in live.split} if live else set())
        rows = prompt.versions.filter(key__in=keys).values_list("key", "body__variables")
        wanted = {key: set(names) for key, names in rows}
        usual = wanted[live.split[0].version] if live else wanted[arms[0].version]
        odd = [arm for arm in arms if wanted.get(arm.version, usual) != usual]
        if not odd:
            return ""
        names = sorted(wanted[odd[0].version] ^ usual)
        return f"Arm {odd[0].name} and what is live differ in the variables: {', '.join(names)}."

    def _offered(self, request: HttpRequest, prompt: Prompt, live: Release | None) -> list[PromptVersion]:
        """The newest versions, and however old they are those that are live or that the link names: a form
        that could not name a live arm would end it without a word."""
        rows = prompt.versions.defer("canonical", "body")
        newest = list(rows[:OFFERED])
        keys = {arm.version for arm in live.split} if live else set()
        keys.add(request.GET.get("version", "").replace("\0", ""))
        return newest + list(rows.filter(key__in=keys - {row.key for row in newest}))

    def _suggested(
        self, request: HttpRequest, live: Release | None, versions: list[PromptVersion]
    ) -> list[dict[str, Any]]:
        """What is live, with the version of the link that led here beside it."""
        rows = [arm.as_json() for arm in live.split] if live else []
        asked = request.GET.get("version")
        if asked and asked not in {row["version"] for row in rows}:
            free = next(
                letter
                for letter in "abcdefghijklmnopqrstuvwxyz"
                if letter not in {row["name"] for row in rows}
            )
            rows.append({"name": free, "version": asked, "weight": 100 if not rows else 10, "model": ""})
        if not rows and versions:
            rows.append({"name": "a", "version": versions[0].key, "weight": 100, "model": ""})
        return rows

    def _decisions(self, versions: list[PromptVersion]) -> dict[int, GateDecision]:
        """The verdict that counts of each version."""
        rows = GateDecision.objects.filter(version__in=[row.pk for row in versions])
        return {row.version_id: row for row in rows.order_by("version_id", "-id").distinct("version_id")}

    # --- parts ------------------------------------------------------------------------------------

    def _prompt(self, request: HttpRequest, object_id: str) -> Prompt:
        prompt = Prompt.objects.filter(pk=unquote(object_id)).first()
        if not self.has_view_permission(request, prompt):
            raise PermissionDenied
        if prompt is None:
            raise Http404("There is no such prompt.")
        return prompt

    def _version(self, prompt: Prompt, key: str) -> PromptVersion:
        try:
            return PromptVersion.objects.named(prompt.name, key)
        except NoVersion as error:
            raise Http404(str(error)) from None

    def _parent(self, prompt: Prompt | None, key: str | None) -> PromptVersion | None:
        if prompt is None:
            return None
        return self._version(prompt, key) if key else prompt.versions.first()

    def _releases(self, prompt: Prompt) -> QuerySet[Release]:
        return prompt.releases.filter(environment=settings().environment).order_by("-number")

    def _demand(self, request: HttpRequest, what: str) -> None:
        if not self.may(request)[what]:
            raise PermissionDenied

    def _note(self, request: HttpRequest, prompt: Prompt, text: str) -> None:
        self.log_change(request, prompt, text)
        messages.success(request, text)

    def _back(self, prompt: Prompt) -> HttpResponseRedirect:
        return HttpResponseRedirect(_url("change", prompt))

    def _page(
        self, request: HttpRequest, prompt: Prompt | None, name: str, title: str, **context: Any
    ) -> TemplateResponse:
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "prompt": prompt,
            "object_id": quote(prompt.pk) if prompt else "",
            "environment": settings().environment,
            "may": self.may(request),
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"lockstep/prompts/{name}.html", common | context)


def _url(name: str, prompt: Prompt, *arguments: Any) -> str:
    return reverse(f"admin:lockstep_prompts_prompt_{name}", args=[quote(prompt.pk), *arguments])


def _text(version: PromptVersion) -> str:
    """The version as its file would read; as JSON where TOML has no word for it."""
    try:
        return files.write(version.content)
    except TemplateError:
        return json.dumps(json.loads(version.canonical), indent=2, ensure_ascii=False)


def _settings_of(content: Body) -> list[tuple[str, SafeString | str]]:
    """Parameters, tools and schema as rows of a table."""
    rows: list[tuple[str, SafeString | str]] = [
        (name, str(value)) for name, value in sorted(content.parameters.items())
    ]
    for name, value in (("tools", content.tools), ("output schema", content.output_schema)):
        if value:
            text = json.dumps(value, indent=2, ensure_ascii=False)
            rows.append((name, format_html('<pre class="lockstep-text">{}</pre>', text)))
    return rows
