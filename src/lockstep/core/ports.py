"""Sockets that one app offers and another may fill, so that neither imports the other.

A port always answers: with nothing registered, ``port.get()`` is a null implementation. A registry
collects facts from many apps. Both can be overridden for a block in tests::

    with ports.metering.override(Recorder()): ...
    with ports.retention.override(): ...
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from lockstep.core.exceptions import PortError
from lockstep.core.redacted import Redacted

__all__ = [
    "Aged",
    "Content",
    "Contents",
    "Job",
    "Metering",
    "Notice",
    "Notify",
    "Pin",
    "Played",
    "Port",
    "Prompts",
    "Redaction",
    "Registry",
    "Replay",
    "Retained",
    "Said",
    "Subject",
    "Usage",
    "ageing",
    "contents",
    "jobs",
    "metering",
    "notify",
    "prompts",
    "redaction",
    "replay",
    "retention",
    "subjects",
    "topics",
]

T = TypeVar("T")
logger = logging.getLogger("lockstep.notify")


class Port(Generic[T]):
    """One socket with one implementation for the process; threads and tasks share it."""

    def __init__(self, name: str, null: T) -> None:
        self.name = name
        self._null = self._current = null

    def get(self) -> T:
        """The registered implementation, or the null one. Ask at each use, do not keep it."""
        return self._current

    def register(self, implementation: T) -> None:
        """Fill the port, from ``AppConfig.ready``. Registering the same object again is fine.

        Raises:
            PortError: another implementation is registered.
        """
        if self._current not in (self._null, implementation):
            taken, new = type(self._current).__qualname__, type(implementation).__qualname__
            raise PortError(
                f"The port {self.name!r} is served by {taken}; {new} cannot serve it too.", port=self.name
            )
        self._current = implementation

    def reset(self) -> None:
        """Back to the null implementation."""
        self._current = self._null

    @contextmanager
    def override(self, implementation: T) -> Iterator[T]:
        """Another implementation for a block, in every thread of the process."""
        before, self._current = self._current, implementation
        try:
            yield implementation
        finally:
            self._current = before


class Registry(Generic[T]):
    """Entries that many apps declare, keyed by a name such as a model label, kept in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: dict[str, T] = {}

    def register(self, key: str, entry: T) -> None:
        """Add an entry. The same entry twice is fine.

        Raises:
            PortError: the key has a different entry.
        """
        if self._entries.setdefault(key, entry) != entry:
            raise PortError(
                f"{key!r} is registered twice in {self.name!r}, differently.", port=self.name, key=key
            )

    def get(self) -> Mapping[str, T]:
        """A copy of all entries."""
        return dict(self._entries)

    def reset(self) -> None:
        """Forget every entry."""
        self._entries = {}

    @contextmanager
    def override(self, entries: Mapping[str, T] | None = None) -> Iterator[None]:
        """Exactly these entries for a block; none when left out."""
        before, self._entries = self._entries, dict(entries or {})
        try:
            yield
        finally:
            self._entries = before


@dataclass(slots=True)
class Usage:
    """What one paid or free call used; the caller fills it in while the call is measured."""

    input_tokens: int | None = None
    """Tokens that the model read, as billed; None when nobody counted."""
    output_tokens: int | None = None
    response_model: str = ""
    """Model that answered, when the provider says so."""
    items: int = 0
    """Texts embedded or passages re-ranked."""


class Metering(Protocol):
    """Takes note of every call to a model. ``lockstep.llm`` registers its ledger here."""

    def measure(
        self,
        *,
        operation: str,
        provider: str,
        model: str,
        feature: str | None = None,
        remote: bool = True,
        most_tokens: int = 0,
        endpoint: str = "",
    ) -> AbstractContextManager[Usage]:
        """Surround one attempt. An exception that leaves the block is the attempt's outcome.

        Args:
            operation: by the OpenTelemetry GenAI names: ``embeddings``, ``chat``; or ``rerank``.
            provider: ``openai``, ``onnx`` …
            feature: name of the capability that pays; None when the context names none.
            remote: whether another process answers, which may cost money; what is computed here is only counted.
            most_tokens: what it can read at most: so much of a budget is held while it is under way.
            endpoint: base URL of that process; a feature that is confined to others is refused.
        """


class NoMetering:
    @contextmanager
    def measure(
        self,
        *,
        operation: str,
        provider: str,
        model: str,
        feature: str | None = None,
        remote: bool = True,
        most_tokens: int = 0,
        endpoint: str = "",
    ) -> Iterator[Usage]:
        yield Usage()


class Redaction(Protocol):
    """Makes the copy of a content that may be kept: in logs, traces, payloads, exports. ``privacy`` registers."""

    def redact(
        self, content: Any, *, feature: str | None = None, known: Mapping[str, Any] | None = None
    ) -> Redacted | None:
        """The copy, or None: nothing of the content may be kept. Never raises.

        Args:
            content: a text, or a structure as JSON has them, messages included.
            feature: whose policy holds; None takes the context's.
            known: role -> object that the request is about: ``{"patient": patient}``; None takes the context's.
        """


class NoRedaction:
    """Nobody redacts, so nothing is kept."""

    def redact(
        self, content: Any, *, feature: str | None = None, known: Mapping[str, Any] | None = None
    ) -> Redacted | None:
        return None


class Content(Protocol):
    """What may be kept of one call."""

    def written(self, request: Any, response: Any) -> str | None:
        """The JSON that ``lockstep_core_keep_v1`` takes; None: nothing of it may be kept. Never raises.

        Args:
            request: what was asked, as JSON has it. All attempts of a call ask the same.
            response: what came back of it; None where nothing did.
        """


class Contents(Protocol):
    """Keeps what was said in calls, apart from the ledger. ``privacy`` registers."""

    def of_call(self, feature: str | None, subject: str) -> Content | None:
        """For one call of ``feature`` about ``subject`` (a pseudonym); None: nothing is kept, so nothing need be
        collected. Never raises."""


class NoContents:
    def of_call(self, feature: str | None, subject: str) -> Content | None:
        return None


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to people: an alert, a review that waits, a job that failed."""

    topic: str
    """Dotted name of the kind: ``budgets.threshold``."""
    subject: str
    body: str = ""
    severity: str = "info"
    """info, warning, error or critical."""
    dedup_key: str = ""
    """Notices with the same key are one incident."""
    resolves: bool = False
    """True closes the incident of ``dedup_key``."""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Notify(Protocol):
    """Hands a notice to people; joins the caller's transaction where it can. Core's outbox serves it."""

    def send(self, notice: Notice) -> None: ...


class LogNotices:
    """Nobody delivers: the topic at least reaches the log (the text does not, it may be personal)."""

    def send(self, notice: Notice) -> None:
        logger.warning("Notice %s (%s) has no delivery configured.", notice.topic, notice.severity)


@dataclass(frozen=True, slots=True)
class Pin:
    """Which version of a prompt a call takes, whatever is live, and which model."""

    version: str
    model: str
    """``provider:name``."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model answered."""

    messages: Sequence[Any]
    """One an answer, as LangChain has them; a stream is one message."""
    model: str
    """``provider:name`` that answered."""
    feature: str = ""
    prompt: str = ""
    prompt_version: str = ""
    cost_micros: int | None = None


class Played(Protocol):
    """One call to a model from within a run: its answer is noted, or comes from the notes."""

    @property
    def silent(self) -> bool:
        """Nothing leaves: whatever is asked is answered from the notes, and costs nothing."""

    def pinned(self, prompt: str) -> Pin | None:
        """What a call with this prompt is held to; None: nothing."""

    def answer(self, request: str) -> Said | None:
        """The noted answer to the request with this digest; None lets it go out.

        Raises:
            LockstepError: it must not go out, and there is no answer to it.
        """

    def note(self, request: str, said: Said) -> None:
        """Take note of an answer. Never raises."""


class Replay(Protocol):
    """Takes note of what models say in runs, and says it again when a run is replayed. ``workflows`` registers."""

    def call(self) -> Played | None:
        """The call that is about to be made; None outside of runs."""


class NoReplay:
    def call(self) -> Played | None:
        return None


class Prompts(Protocol):
    """Bodies of versions, to take along with what was made with them. ``prompts`` registers."""

    def body(self, prompt: str, version: str) -> str | None:
        """What the version says, as text; None where it is not here."""

    def add(self, prompt: str, version: str, body: str) -> None:
        """Have the version here too. It is not released by that.

        Raises:
            LockstepError: the text is not that of the version.
        """


class NoPrompts:
    def body(self, prompt: str, version: str) -> str | None:
        return None

    def add(self, prompt: str, version: str, body: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Retained:
    """A table that holds content for a limited time."""

    model: str
    """Label of the model, ``app_label.ModelName``."""
    content: tuple[str, ...]
    """Fields with content; the rest of the row may stay."""
    expires_at: str = "expires_at"
    """Field with the time after which nobody may read the content."""
    keep: timedelta | None = None
    """Default lifetime; None means for as long as the row that owns it."""
    most: timedelta | None = None
    """Longest lifetime that a row may be given; None means the default one."""


@dataclass(frozen=True, slots=True)
class Aged:
    """A table whose rows are deleted when they are old. Until then anybody may read them: content is ``Retained``."""

    model: str
    """Label of the model, ``app_label.ModelName``."""
    at: str
    """Field with the time that the age is counted from."""
    keep: Callable[[], timedelta | None]
    """How old they get, asked each time; None: they stay for ever."""
    stays: Mapping[str, Any] = field(default_factory=dict)
    """Rows that stay however old they are, as ``exclude()`` takes it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A table that says something about a person: what an export shows of it, and what an erasure does to it."""

    model: str
    """Label of the model, ``app_label.ModelName``."""
    person: str
    """Lookup from the row to the person's key: ``user_id``, ``order__customer_id``."""
    fields: tuple[str, ...] = ()
    """Fields that an export shows; empty means all."""
    pseudonym: bool = False
    """Whether that key is the pseudonym (``core.pseudonyms``), as in lockstep's tables, and not the person's own."""
    blank: tuple[str, ...] = ()
    """Fields that an erasure empties; the one that names the person among them takes the person off the row.
    Empty: the whole row is deleted."""
    before: tuple[str, ...] = ()
    """Entries that are erased later than this one, beside those that its lookup and its foreign keys lead to."""
    show: Callable[[Any], Mapping[str, Any]] | None = None
    """Row -> what an export shows of it, where ``fields`` cannot say it: something is encrypted, for one."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something small that wants doing again and again."""

    call: Callable[[], object]
    """Takes a second or so. Runs in any process that delivers, outside a transaction; one that takes longer than
    ``every_s`` may be running in two of them at once."""
    every_s: float
    """Seconds between two starts, all processes together."""


metering: Port[Metering] = Port("metering", NoMetering())
redaction: Port[Redaction] = Port("redaction", NoRedaction())
contents: Port[Contents] = Port("contents", NoContents())
notify: Port[Notify] = Port("notify", LogNotices())
replay: Port[Replay] = Port("replay", NoReplay())
prompts: Port[Prompts] = Port("prompts", NoPrompts())
retention: Registry[Retained] = Registry("retention")
ageing: Registry[Aged] = Registry("ageing")
subjects: Registry[Subject] = Registry("subjects")
jobs: Registry[Job] = Registry("jobs")
topics: Registry[str] = Registry("topics")
"""Topic of the notices that an app writes -> what they tell. Without a sink core's check names them."""
