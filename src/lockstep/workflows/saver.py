"""LangGraph's checkpointer over Django's tables: after each transition the whole state is committed, or nothing is.

What the tasks of a transition wrote, what became of its nodes, the lease and the fence ride in the same statement as
the checkpoint itself. Between transitions writes wait a moment for each other; a stop or an error waits for nobody.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.types import ERROR

from lockstep.core.testruns import under_test_runner
from lockstep.workflows import flushing, reading, state
from lockstep.workflows.codec import Codec, Serde
from lockstep.workflows.conf import settings
from lockstep.workflows.connection import apart
from lockstep.workflows.exceptions import Fenced, RowRefused, StateTooLarge
from lockstep.workflows.state import digest
from lockstep.workflows.tracing import Tracer

__all__ = ["DjangoSaver", "Fence", "Part", "parts", "placed"]

COMMIT = (
    "SELECT lockstep_workflows_commit_v1(%s::uuid, %s::bigint, %s::float8, %s::text, %s::text, %s::text, %s::text,"
    " %s::int, %s::text, %s::text, %s::jsonb, %s::jsonb, %s::jsonb, %s::jsonb, %s::jsonb, %s::jsonb)::text"
)
SPARED = 512
"""Characters from which on a value is written once: not again where it did not change, nor beside the state."""
VERSIONS = ("channel_versions", "versions_seen")


def _nothing(reason: str) -> None:
    pass


@dataclass(slots=True)
class Fence:
    """By what right a run is written: the number of its owner."""

    run: str
    epoch: int
    lease_s: float
    stop: Callable[[str], None] = _nothing
    """Called with the reason when the run shall stop at its next transition."""
    lost: bool = False
    """Somebody else owns it now."""
    cancelled: bool = False
    node_timeout_s: float | None = None
    moved_at: float = field(default_factory=time.monotonic)
    """When a node last began or ended."""
    renewed_at: float = field(default_factory=time.monotonic)
    """When the lease was last known to be renewed."""

    @property
    def stuck(self) -> bool:
        """Whether its nodes take longer than they may."""
        return self.node_timeout_s is not None and time.monotonic() - self.moved_at > self.node_timeout_s

    def lose(self) -> None:
        self.lost = True
        self.stop("lost")

    def cancel(self) -> None:
        self.cancelled = True
        self.stop("cancelled")


@dataclass(slots=True)
class _Known:
    """What the last checkpoint of a namespace holds, and which row holds it."""

    checkpoint: str
    channels: dict[str, tuple[Any, str, str, int]]
    """Channel -> its version, the checkpoint that has the value, SHA-256 of it, its bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a task wrote."""

    place: int
    channel: str
    text: str
    """The value, as JSON."""

    def json(self, states: Mapping[str, str] = MappingProxyType({})) -> str:
        """``"place":[channel, value]``, without the value where it is that of the state."""
        same = len(self.text) >= SPARED and states.get(self.channel) == self.text
        return f'"{self.place}":[{json.dumps(self.channel)}{"" if same else f",{self.text}"}]'


@dataclass(frozen=True, slots=True)
class _Written:
    """By one task."""

    path: str
    regular: str
    special: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class _State:
    """One checkpoint, as it is written."""

    ns: str
    id: str
    parent: str
    step: int | None
    source: str | None
    digest: str
    texts: Mapping[str, str]
    """Channel -> its value, as JSON: of those that have changed."""
    notes: str

    @property
    def channels(self) -> str:
        return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in self.texts.items())}}}"


@dataclass(slots=True)
class _Pending:
    """What the next statement takes along."""

    writes: dict[tuple[str, str, str], _Written] = field(default_factory=dict)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)


class DjangoSaver(BaseCheckpointSaver[int]):
    """A checkpointer for any LangGraph graph: ``graph.compile(checkpointer=DjangoSaver())``.

    Runs of ``@workflow`` use it with a fence: what an earlier owner still writes is refused. Without one it is an
    ordinary checkpointer, and two writers of one thread are nobody's business.

    Raises:
        Unstorable: a value has no place in a state; the error names its path.
        StateTooLarge: over ``max_state_bytes``.
        Fenced: another worker owns the run.
        EngineError: the database cannot be reached or refuses.
    """

    def __init__(
        self, *, fence: Fence | None = None, codec: Codec | None = None, tracer: Tracer | None = None
    ) -> None:
        self.codec = codec or state.codec()
        super().__init__(serde=Serde(self.codec))
        self.fence = fence
        self.tracer = tracer
        self.empty = False
        """Whether its thread is known to hold nothing: until the first checkpoint nobody is asked."""
        self._known: dict[tuple[str, str], _Known] = {}
        self._pending: dict[str, _Pending] = {}
        self._failed: BaseException | None = None
        self._lock = threading.RLock()

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> DjangoSaver:
        """A saver that knows these classes too; LangGraph asks for those of a graph's schema."""
        wider = self.codec.allowing(extra_allowlist)
        return self if wider is self.codec else DjangoSaver(fence=self.fence, codec=wider, tracer=self.tracer)

    # writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread, ns, parent = _place(config)
        with self._lock:
            texts, kept, known = self._state(thread, ns, parent, checkpoint)
            notes = self._notes(checkpoint, get_checkpoint_metadata(config, metadata), kept)
            self._commit(
                thread,
                _State(
                    ns, checkpoint["id"], parent, metadata.get("step"), metadata.get("source"), _fingerprint(known),
                    texts, notes,
                ),
            )  # fmt: skip
            self._known[thread, ns] = known
            self.empty = False
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}}

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Numbers; where a state came over from LangGraph's own savers, texts like theirs that sort after them."""
        if not isinstance(current, str):
            return super().get_next_version(current, channel)
        return f"{int(current.split('.')[0]) + 1:032}.{random.random():016}"  # noqa: S311 -- tells branches apart

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        thread, ns, checkpoint = _place(config)
        found = parts(self.codec, writes)
        regular = placed(part for part in found if part.place >= 0)
        if len(regular) > settings().max_state_bytes / 4:  # a character has four bytes at most
            _bounded({name: _bytes(self.codec.dumps(value)) for name, value in writes})
        urgent = any(name in WRITES_IDX_MAP for name, _ in writes) or under_test_runner()
        with self._lock:
            self._raise_failed()
            place = ns, checkpoint, task_id
            if thread in self._pending and place in self._pending[thread].writes:
                self._commit(thread)  # one statement writes a row once
            pending = self._pending.setdefault(thread, _Pending())
            special = placed(part for part in found if part.place < 0)
            pending.writes[place] = _Written(task_path, regular, special, found)
            if self.tracer is not None:
                traced = self.tracer.finished(task_id, ns, checkpoint, writes, digest(regular))
                pending.nodes += traced.nodes
                pending.stops += traced.stops
            if urgent:
                self._commit(thread)
            elif len(pending.writes) == 1:
                flushing.soon(lambda: self._flush_late(thread, pending))

    def flush(self, thread: str | None = None) -> None:
        """Write what waits."""
        with self._lock:
            for name in [thread] if thread is not None else list(self._pending):
                if name in self._pending:
                    self._commit(name)

    def note(self, thread: str, nodes: Sequence[dict[str, Any]]) -> None:
        """Write what became of nodes that left nothing else behind."""
        with self._lock:
            self._pending.setdefault(thread, _Pending()).nodes += nodes
            self._commit(thread)

    def _flush_late(self, thread: str, pending: _Pending) -> None:
        """From another thread, unless a checkpoint took them along; what goes wrong is told to whoever writes next."""
        try:
            with self._lock:
                if self._pending.get(thread) is pending:
                    self._commit(thread)
        except Exception as error:
            self._failed = error

    def _commit(self, thread: str, state: _State | None = None) -> None:
        self._raise_failed()
        pending = self._pending.get(thread) or _Pending()
        if not (state or pending.writes or pending.nodes):
            return
        fence = self.fence
        if fence is not None and fence.lost:
            raise Fenced
        owner = (fence.run, fence.epoch, fence.lease_s) if fence is not None else (None, None, None)
        done, written = _sorted(pending, state)
        began = time.monotonic()
        try:
            (reply,) = apart.query(
                COMMIT,
                (
                    *owner, thread,
                    *((state.ns, state.id, state.parent, state.step, state.source, state.digest, state.channels,
                       state.notes) if state is not None else (None,) * 8),
                    f"{{{','.join(done)}}}" if done else None,
                    f"[{','.join(written)}]" if written else None,
                    json.dumps(pending.nodes) if pending.nodes and fence else None,
                    json.dumps(pending.stops) if pending.stops and fence else None,
                ),
            )  # fmt: skip
        except RowRefused:
            self._pending.pop(thread, None)  # the next statement would be refused for it, too
            raise
        self._pending.pop(thread, None)
        if fence is not None:
            fence.renewed_at = began
        if fence is not None and reply != "{}":
            answer = json.loads(reply)
            if answer.get("fenced"):
                fence.lose()
                raise Fenced
            if answer.get("cancel"):
                fence.cancel()

    def _raise_failed(self) -> None:
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed

    def _state(
        self, thread: str, ns: str, parent: str, checkpoint: Checkpoint
    ) -> tuple[dict[str, str], dict[str, str], _Known]:
        """The values that are new, where the others stand, and what is known from now on."""
        before = self._known.get((thread, ns))
        earlier = before.channels if before is not None and before.checkpoint == parent else {}
        versions = checkpoint["channel_versions"]
        known = _Known(checkpoint["id"], {})
        kept: dict[str, str] = {}
        texts: dict[str, str] = {}
        for name, value in checkpoint["channel_values"].items():
            version = versions.get(name)
            if (
                self.fence is not None
                and name in earlier
                and version is not None
                and earlier[name][0] == version
            ):
                kept[name] = earlier[name][1]
                known.channels[name] = earlier[name]
                continue
            text = self.codec.dumps(value, name=f"state.{name}")
            texts[name] = text
            kept_as = version if len(text) >= SPARED else None
            known.channels[name] = (kept_as, checkpoint["id"], digest(text), _bytes(text))
        _bounded({name: size for name, (*_, size) in known.channels.items()})
        return texts, kept, known

    def _notes(self, checkpoint: Checkpoint, metadata: Mapping[str, Any], kept: Mapping[str, str]) -> str:
        """Everything but the values; in the database's own order, so that it can be asked for its parts."""
        facts = ",".join(
            f"{json.dumps(name)}:{json.dumps(part) if name in VERSIONS else self.codec.dumps(part, name=name)}"
            for name, part in checkpoint.items()
            if name != "channel_values"
        )
        notes = ",".join(
            f"{json.dumps(name)}:{self.codec.dumps(part, name=f'metadata.{name}')}"
            for name, part in metadata.items()
        )
        return f'{{"checkpoint":{{{facts}}},"metadata":{{{notes}}},"kept":{json.dumps(kept)}}}'

    # reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread, ns, _ = _place(config)
        if self.empty:
            return None
        self.flush(thread)
        found = reading.one(self.codec, thread, ns, get_checkpoint_id(config))
        if found is None:
            return None
        return found._replace(config=config) if get_checkpoint_id(config) else found

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 -- LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        self.flush()
        place = dict(config["configurable"]) if config else {}
        yield from reading.many(
            self.codec,
            thread=place.get("thread_id"),
            ns=place.get("checkpoint_ns"),
            checkpoint=place.get("checkpoint_id"),
            metadata=filter,
            before=get_checkpoint_id(before) if before else None,
            limit=limit,
        )

    # whole threads

    def delete_thread(self, thread_id: str) -> None:
        self.flush()
        reading.forget(threads=[str(thread_id)])

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.flush()
        reading.forget_runs([str(run) for run in run_ids])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.flush()
        reading.copy(str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        self.flush()
        if strategy == "delete":
            reading.forget(threads=[str(thread) for thread in thread_ids])
        elif strategy == "keep_latest":
            for thread in thread_ids:
                reading.keep_latest(self.codec, str(thread))
        else:
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}.")

    # the same for event loops: the database is waited for in a thread

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = await asyncio.to_thread(
            lambda: [*self.list(config, filter=filter, before=before, limit=limit)]
        )
        for one in found:
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await asyncio.to_thread(lambda: self.prune(thread_ids, strategy=strategy))


def parts(codec: Codec, writes: Sequence[tuple[str, Any]]) -> list[Part]:
    """What a task wrote, each in its place. Those below zero count as they were written last, the others as first."""
    return [
        Part(WRITES_IDX_MAP.get(channel, at), channel, codec.dumps(_plain(channel, value), name=f"writes.{channel}"))
        for at, (channel, value) in enumerate(writes)
    ]  # fmt: skip


def placed(found: Iterable[Part]) -> str:
    """Place -> [channel, value]."""
    return f"{{{','.join(part.json() for part in found)}}}"


def _plain(channel: str, value: Any) -> Any:
    return repr(value) if channel == ERROR and isinstance(value, BaseException) else value


def _sorted(pending: _Pending, state: _State | None) -> tuple[list[str], list[str]]:
    """Writes that the state came of, and others: those have rows of their own."""
    done: list[str] = []
    others: list[str] = []
    for (ns, checkpoint, task), wrote in pending.writes.items():
        if state is not None and checkpoint and (ns, checkpoint) == (state.ns, state.parent):
            places = ",".join(part.json(state.texts) for part in wrote.parts)
            done.append(f"{json.dumps(task)}:[{json.dumps(wrote.path)},{{{places}}}]")
        else:
            others.append(
                f'{{"ns":{json.dumps(ns)},"checkpoint":{json.dumps(checkpoint)},"task":{json.dumps(task)},'
                f'"path":{json.dumps(wrote.path)},"regular":{wrote.regular},"special":{wrote.special}}}'
            )
    return done, others


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _bounded(sizes: Mapping[str, int]) -> None:
    size, most = sum(sizes.values()), settings().max_state_bytes
    if size > most:
        raise StateTooLarge(
            f"The state has {size:,} bytes, and {most:,} are allowed; {max(sizes, key=sizes.__getitem__)!r} is the"
            " largest part. Keep files outside and a reference in the state, or raise"
            ' LOCKSTEP["workflows"]["max_state_bytes"].',
            size=size,
        )


def _place(config: RunnableConfig) -> tuple[str, str, str]:
    """Thread, namespace and checkpoint that a configuration names."""
    given = config["configurable"]
    place = str(given["thread_id"]), given.get("checkpoint_ns") or "", given.get("checkpoint_id") or ""
    if "\0" in place[0]:
        raise ValueError("A thread_id has no NUL.")
    return place


def _fingerprint(known: _Known) -> str:
    return digest(*(f"{name} {of}" for name, (_, _, of, _) in sorted(known.channels.items())))
