"""Runs of workflows, what they wait for and what became of their nodes.

A run itself holds no content: what went in, came out and was in between stands in tables that expire with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from lockstep.workflows.changes import Change, changes
from lockstep.workflows.inbox.models import InboundBody, InboundEvent, Webhook
from lockstep.workflows.noted import ModelAnswer, RunExport
from lockstep.workflows.tools.models import ToolAttempt, ToolCall

if TYPE_CHECKING:
    from lockstep.workflows.codec import Codec

__all__ = [
    "Checkpoint",
    "CheckpointWrite",
    "GraphVersion",
    "InboundBody",
    "InboundEvent",
    "ModelAnswer",
    "NodeExecution",
    "Run",
    "RunContent",
    "RunExport",
    "ToolAttempt",
    "ToolCall",
    "Wait",
    "Webhook",
]

INTERNAL = ("__", "branch:")
"""How channels begin that LangGraph keeps for itself."""


class GraphVersion(models.Model):
    """A version of a graph that has been run: its shape is what a run of it expects to find."""

    workflow = models.CharField(max_length=100)
    version = models.CharField(max_length=50)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the topology.")
    topology = models.JSONField(help_text="Nodes, edges and channels.")
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["workflow", "-first_seen_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workflow", "version", "digest"], name="lockstep_workflows_graph_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.workflow} {self.version}"


class RunQuerySet(models.QuerySet["Run"]):
    def live(self) -> RunQuerySet:
        """Those that have not ended."""
        return self.filter(status__in=LIVE)

    def of(self, user: Any) -> RunQuerySet:
        """Those that were started for ``user``."""
        from lockstep.core.pseudonyms import pseudonyms

        return self.filter(user_key__in=pseudonyms(user))


class Run(models.Model):
    """One execution of a workflow. Functions of the database own its states; see ``sql/``."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        WAITING = "waiting", "waiting for a person, an event or a time"
        BLOCKED = "blocked", "blocked: this deploy cannot go on with it"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        DEAD = "dead", "dead: its workers died over it"
        IMPORTED = "imported", "imported: it ran elsewhere"

    id = models.UUIDField(primary_key=True, editable=False)
    workflow = models.CharField(max_length=100)
    version = models.CharField(max_length=50)
    thread = models.CharField(max_length=200, help_text="Runs of one thread go on from each other's state.")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    reason = models.CharField(max_length=100, blank=True, help_text="Why it stands or ended, as a name.")
    node = models.CharField(max_length=200, blank=True, help_text="Where.")

    user_id = models.CharField(max_length=255, blank=True, help_text="Key of the user it runs for.")
    user_key = models.CharField(max_length=64, blank=True, help_text="Pseudonym of that user.")
    feature = models.CharField(max_length=100, blank=True)
    cohort = models.CharField(max_length=100, blank=True)
    tenant = models.CharField(max_length=100, blank=True)
    idempotency_key = models.CharField(max_length=200, null=True)
    input_digest = models.CharField(max_length=64, blank=True)

    epoch = models.BigIntegerField(default=0, help_text="Number of its owners: each write carries it.")
    owner = models.CharField(max_length=200, blank=True)
    owner_pid = models.IntegerField(null=True, help_text="Its session at the database.")
    owner_since = models.DateTimeField(null=True, help_text="When that session began.")
    lease_until = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    rung_at = models.DateTimeField(null=True, help_text="When a worker was last told of it.")
    cancel_requested = models.BooleanField(default=False)
    crash_count = models.SmallIntegerField(default=0)
    transitions = models.IntegerField(default=0)
    head = models.CharField(max_length=64, blank=True, help_text="Its latest checkpoint.")
    rolls_back = models.JSONField(
        default=list, blank=True, help_text="Runs whose state it undoes when it begins."
    )

    origin = models.JSONField(
        null=True,
        blank=True,
        help_text="Of one that was imported: how it ended where it ran, and how it was exported.",
    )

    at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="Nobody reads its content any more.")

    objects = RunQuerySet.as_manager()

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["-at", "-id"]
        permissions: ClassVar = [("export_run", "Can export runs with all that they say")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workflow", "idempotency_key"], name="lockstep_workflows_run_once"
            ),
            models.UniqueConstraint(
                fields=["thread"],
                condition=Q(status__in=("running", "waiting", "blocked")),
                name="lockstep_workflows_one_at_a_thread",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-at"], name="lockstep_workflows_run_at"),
            models.Index(fields=["thread", "at"], name="lockstep_workflows_run_thread"),
            # not by lease_until: each transition would have to write every index anew
            models.Index(fields=["id"], condition=Q(status="running"), name="lockstep_workflows_run_owned"),
            models.Index(fields=["at"], condition=Q(status="queued"), name="lockstep_workflows_run_queued"),
            models.Index(
                fields=["wake_at"],
                condition=Q(status="waiting", wake_at__isnull=False),
                name="lockstep_workflows_run_wakes",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status__in=("queued", "running", "waiting", "blocked")),
                name="lockstep_workflows_run_expires",
            ),
            models.Index(fields=["user_key"], condition=~Q(user_key=""), name="lockstep_workflows_run_of"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow} {self.id}"

    @property
    def input(self) -> Any:
        """What it was started with."""
        return self._content("input")

    @property
    def result(self) -> Any:
        """The last state, as its graph's output has it; None while it has not succeeded."""
        return self._content("result")

    @property
    def error(self) -> Any:
        """``{"kind": …, "text": …, "node": …}`` of what ended it; None where nothing did."""
        return self._content("error")

    @property
    def state(self) -> dict[str, Any]:
        """Values of its graph's channels as they were last committed; empty where it has not begun or they expired."""
        from lockstep.workflows import registry
        from lockstep.workflows.exceptions import UnknownWorkflow
        from lockstep.workflows.saver import DjangoSaver

        if not self.head:
            return {}
        place: Any = {"configurable": {"thread_id": self.thread, "checkpoint_id": self.head}}
        saver = DjangoSaver(codec=self.codec)
        try:
            graph = registry.find(self.workflow, self.version).graph()
        except UnknownWorkflow:  # what its channels are made of is not known, only what was kept of them
            found = saver.get_tuple(place)
            values = found.checkpoint["channel_values"] if found else {}
        else:
            values = graph.with_saver(saver).get_state(place).values
        return {name: value for name, value in values.items() if not name.startswith(INTERNAL)}

    @property
    def codec(self) -> Codec:
        """What its state is written and read with; without its graph only what every state may hold can be read."""
        from lockstep.workflows import registry, state
        from lockstep.workflows.exceptions import UnknownWorkflow

        try:
            return registry.find(self.workflow, self.version).graph().codec
        except UnknownWorkflow:
            return state.codec()

    def _content(self, kind: str) -> Any:
        found = RunContent.objects.filter(run=self, kind=kind, expires_at=self.expires_at).first()
        return None if found is None else self.codec.decode(found.data)


LIVE = (Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.WAITING, Run.Status.BLOCKED)


class RunContent(models.Model):
    """What went into a run and what came out."""

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(
        Run, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="contents"
    )
    kind = models.CharField(max_length=20)
    data = models.JSONField()
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the person.")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        required_db_vendor = "postgresql"
        indexes: ClassVar = [
            models.Index(fields=["run", "kind"], name="lockstep_workflows_content_of"),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_content_who"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.run_id}"


class Checkpoint(models.Model):
    """The state of a thread after a transition, as LangGraph has it. Its key is made of thread, namespace and id."""

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(Run, models.DO_NOTHING, null=True, db_constraint=False, db_index=False)
    thread = models.TextField()
    ns = models.CharField(
        max_length=1000, blank=True, help_text="Path of the subgraph; empty for the graph itself."
    )
    checkpoint_id = models.CharField(max_length=100)
    parent_id = models.CharField(max_length=100, blank=True)
    epoch = models.BigIntegerField(null=True)
    step = models.IntegerField(null=True)
    source = models.CharField(max_length=20, blank=True)
    state = models.JSONField(help_text="Values of the channels.")
    outputs = models.JSONField(
        null=True,
        help_text="What tasks of its parent wrote, if it was committed with them: task -> [path, place -> [channel,"
        " value]]; without a value it is that of the state.",
    )
    meta = models.JSONField(help_text="Versions of the channels and what LangGraph notes beside them.")
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the state.")
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the person.")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        required_db_vendor = "postgresql"
        indexes: ClassVar = [
            models.Index(fields=["thread", "ns", "-checkpoint_id"], name="lockstep_workflows_cp_latest"),
            models.Index(fields=["thread", "ns", "parent_id"], name="lockstep_workflows_cp_next"),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_cp_who"),
        ]

    def __str__(self) -> str:
        return self.checkpoint_id

    def written(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """What tasks of its parent wrote: task, path, and place -> [channel, value]."""
        for task, (path, places) in (self.outputs or {}).items():
            yield (
                task,
                path,
                {
                    place: [channel, *(value or [self.state[channel]])]
                    for place, (channel, *value) in places.items()
                },
            )


class CheckpointWrite(models.Model):
    """What a task wrote before its transition was complete: it is not run again. Where nothing came between, it stands
    in the ``outputs`` of the next checkpoint instead."""

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(Run, models.DO_NOTHING, null=True, db_constraint=False, db_index=False)
    thread = models.TextField()
    ns = models.TextField(blank=True)
    checkpoint_id = models.CharField(max_length=100)
    task_id = models.CharField(max_length=64)
    task_path = models.TextField(blank=True)
    writes = models.JSONField(help_text="Place -> [channel, value].")
    epoch = models.BigIntegerField(null=True)
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the person.")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        required_db_vendor = "postgresql"
        indexes: ClassVar = [
            models.Index(fields=["thread", "ns", "checkpoint_id"], name="lockstep_workflows_write_of"),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_write_who"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} at {self.checkpoint_id}"


class NodeExecution(models.Model):
    """One attempt at one node. What it was given and what it made of it stands in the checkpoints it names."""

    class Status(models.TextChoices):
        OK = "ok"
        ERROR = "error"
        WAITING = "waiting", "stopped to wait"
        DIED = "died", "its worker died"

    run = models.ForeignKey(Run, models.CASCADE, db_constraint=False, db_index=False, related_name="nodes")
    epoch = models.BigIntegerField()
    ns = models.TextField(blank=True)
    step = models.IntegerField(null=True)
    node = models.CharField(max_length=200)
    task_id = models.CharField(max_length=64)
    attempt = models.SmallIntegerField(default=1)
    status = models.CharField(max_length=10, choices=Status)
    error_kind = models.CharField(max_length=200, blank=True)
    output_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what it wrote.")
    checkpoint = models.CharField(max_length=64, help_text="The state that it was given.")
    started_at = models.DateTimeField(null=True)
    elapsed_ms = models.FloatField(null=True)
    worker = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["run", "id"]
        indexes: ClassVar = [models.Index(fields=["run", "id"], name="lockstep_workflows_node_of")]

    def __str__(self) -> str:
        return f"{self.node}: {self.status}"


class WaitQuerySet(models.QuerySet["Wait"]):
    def open(self) -> WaitQuerySet:
        """Those that can be answered still."""
        return self.filter(status=Wait.Status.OPEN).filter(Q(due_at=None) | Q(due_at__gt=Now()))

    def for_people(self) -> WaitQuerySet:
        """Those that people answer, and neither time nor an event."""
        return self.filter(kind__in=(Wait.Kind.REVIEW, Wait.Kind.INPUT))

    def seen_by(self, user: Any) -> WaitQuerySet:
        """Those that the user may look at: all with ``view_wait``, else what they may answer themselves."""
        if user.has_perm("lockstep_workflows.view_wait"):
            return self
        if not user.has_perm("lockstep_workflows.answer_wait"):
            return self.none()
        return self.for_people().filter(Q(assignee="") | Q(assignee__in=user.groups.values("name")))


class Wait(models.Model):
    """What a run waits for: written in the same commit as the stop itself."""

    class Kind(models.TextChoices):
        REVIEW = "review"
        EVENT = "event"
        TIMER = "timer"
        INPUT = "input", "an interrupt of the graph's own"

    class Status(models.TextChoices):
        OPEN = "open"
        ANSWERED = "answered"
        EXPIRED = "expired"
        WITHDRAWN = "withdrawn", "withdrawn: the run ended"

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(Run, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="waits")
    interrupt_id = models.CharField(max_length=64)
    task_id = models.CharField(max_length=64)
    ns = models.TextField(blank=True)
    node = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=10, choices=Kind)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    name = models.CharField(max_length=200, blank=True, help_text="The action to review, or the event.")
    key = models.CharField(max_length=200, blank=True, help_text="Which one of these events.")
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what is asked.")
    assignee = models.CharField(max_length=150, blank=True, help_text="Group that may answer.")
    payload = models.JSONField(null=True)
    schema = models.JSONField(null=True, help_text="JSON schema of an answer.")
    due_at = models.DateTimeField(null=True, help_text="No answer is taken later.")
    answer = models.JSONField(null=True)
    decision = models.CharField(max_length=20, blank=True)
    answered_by = models.CharField(max_length=255, blank=True)
    answered_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True, help_text="When the run went on with the answer.")
    subject = models.CharField(max_length=64, blank=True, help_text="Pseudonym of the person.")
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    objects = WaitQuerySet.as_manager()

    class Meta:
        required_db_vendor = "postgresql"
        ordering: ClassVar = ["at"]
        permissions: ClassVar = [("answer_wait", "Can answer what runs wait for")]
        indexes: ClassVar = [
            models.Index(fields=["run"], name="lockstep_workflows_wait_of"),
            models.Index(
                fields=["kind", "name", "key"],
                condition=Q(status="open"),
                name="lockstep_workflows_wait_open",
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(status="open", due_at__isnull=False),
                name="lockstep_workflows_wait_due",
            ),
            models.Index(fields=["subject"], condition=~Q(subject=""), name="lockstep_workflows_wait_who"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()

    @property
    def proposal(self) -> dict[str, Any]:
        """With what the action of a review is to be done."""
        found: dict[str, Any] = (self.payload or {}).get("args", {})
        return found

    @property
    def comment(self) -> str:
        """What the person said who decided."""
        return str(self._decided.get("comment", ""))

    @property
    def changes(self) -> list[Change]:
        """What the person changed of the proposal."""
        said = self._decided
        return changes(self.proposal, said["args"]) if said and self.decision == "edit" else []

    @property
    def _decided(self) -> dict[str, Any]:
        """What was said about a review; empty before, and of other kinds."""
        return self.answer if self.kind == self.Kind.REVIEW and isinstance(self.answer, dict) else {}
